"""Tests of `lmdbstore/watch/`."""
