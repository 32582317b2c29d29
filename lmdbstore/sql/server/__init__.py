"""The server: connections, tables, errors, and standing over several servers."""
