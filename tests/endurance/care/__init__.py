"""Endurance tests of copies and purges."""
