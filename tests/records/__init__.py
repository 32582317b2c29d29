"""Tests of `lmdbstore.records`."""
