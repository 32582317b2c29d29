"""Tests of `lmdbstore.aio`."""
