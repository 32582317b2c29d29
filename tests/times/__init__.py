"""Tests of `lmdbstore.times`."""
