"""The bytes of events: records, and runs of many of them."""
