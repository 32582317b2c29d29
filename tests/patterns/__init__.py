"""Tests of `lmdbstore.patterns`."""
