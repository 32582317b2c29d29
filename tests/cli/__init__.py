"""Tests of `lmdbstore.cli`."""
