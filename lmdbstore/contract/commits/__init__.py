"""The order of commits, for every store: positions, pages, following."""
