"""Any store: events, queries, searches, the abstract store, and its form in memory."""
