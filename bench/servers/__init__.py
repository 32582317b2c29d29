"""The rows about stores on PostgreSQL."""
