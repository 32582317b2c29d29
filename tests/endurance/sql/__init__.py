"""Stores on PostgreSQL whose clients and servers are killed."""
