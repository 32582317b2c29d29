"""Counting events by time, and by what they carry, for every store."""
