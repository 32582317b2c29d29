"""Tests of `lmdbstore.care`."""
