"""One open folder: creating it, opening it, sharing it in a process, and closing it."""
