"""Tests of `lmdbstore.check`."""
