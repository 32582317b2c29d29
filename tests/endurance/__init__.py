"""Tests that run as long as `--minutes` says: see `tests.tools.rounds`."""
