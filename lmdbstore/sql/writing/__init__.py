"""Writing to PostgreSQL: what a batch does, group commit, one transaction or two, purging."""
