"""Tests of `lmdbstore.write`."""
