"""Tests of `lmdbstore.disk`."""
