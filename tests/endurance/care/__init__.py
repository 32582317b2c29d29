"""Copies and purges, for as long as they are told."""
