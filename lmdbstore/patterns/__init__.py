"""Regular expressions: the subset that `match` takes, its engines, and what a pattern needs."""
