"""Inputs of an import: their bytes, unpacked, and their lines."""
