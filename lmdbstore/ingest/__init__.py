"""Import of logs: their records become events in any store."""
