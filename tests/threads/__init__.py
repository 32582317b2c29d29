"""Tests of `lmdbstore.threads`."""
