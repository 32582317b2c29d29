"""Any store: events, queries, searches, the abstract store, and the store in memory."""
