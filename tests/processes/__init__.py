"""Tests of `lmdbstore.processes`."""
