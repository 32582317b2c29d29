"""Writing: the changes, the write transaction, and the writer with its group commit."""
