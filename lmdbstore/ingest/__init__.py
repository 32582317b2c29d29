"""Import of log files: each line becomes an event in any store."""
