"""Tests of `lmdbstore.sql.reading`."""
