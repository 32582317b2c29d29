"""The contract of the order of commits: positions, following, named cursors."""
