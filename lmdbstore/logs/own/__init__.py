"""The tables that `export` writes."""
