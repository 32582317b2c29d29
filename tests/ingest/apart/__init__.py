"""Tests of imports with a second process."""
