"""Tests of `lmdbstore.engine`."""
