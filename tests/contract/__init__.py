"""Tests of `lmdbstore.contract`."""
