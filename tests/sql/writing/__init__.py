"""Tests of `lmdbstore.sql.writing`."""
