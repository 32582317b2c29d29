"""Counting what a query finds, in one transaction, and without reading more than it must."""
