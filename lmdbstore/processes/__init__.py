"""Between processes: the barrier, the opening lock, open stores and open snapshots."""
