"""Endurance tests of disks that fail."""
