"""Endurance tests of many processes and threads."""
