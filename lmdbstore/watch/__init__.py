"""Following of files: what changes in folders, and the files that are rotated in them."""
