"""Between processes: the barrier, who has a store open, and who holds a snapshot."""
