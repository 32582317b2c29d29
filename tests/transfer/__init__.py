"""Tests of `lmdbstore.transfer`."""
