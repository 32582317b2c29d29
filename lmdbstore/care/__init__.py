"""Keeping a store in shape: copies, compaction, purging, and statistics."""
