"""Disks that fail, for as long as they are told."""
