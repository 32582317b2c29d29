"""The times in texts: formats as data, zones, and the way from a text to seconds since 1970."""
