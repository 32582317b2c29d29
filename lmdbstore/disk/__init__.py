"""Bytes and files: the format, the names in a store's folder, and reading a file without LMDB."""
