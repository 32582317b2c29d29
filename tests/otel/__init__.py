"""Tests of `lmdbstore.otel`."""
