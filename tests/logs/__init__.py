"""Tests of `lmdbstore.logs`."""
