"""Tests of `lmdbstore.ingest`."""
