"""Tests of `lmdbstore.read`."""
