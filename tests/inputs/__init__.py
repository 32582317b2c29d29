"""Tests of `lmdbstore.inputs`."""
