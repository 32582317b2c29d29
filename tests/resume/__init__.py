"""Tests of `lmdbstore.resume`, and of imports that go on."""
