"""Checking whether a store is sound, and repairing a damaged one."""
