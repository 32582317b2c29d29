"""Writing: what a change does, the write transaction, and the writer with its group commit."""
