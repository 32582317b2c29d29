"""One open folder: making it, opening it, sharing it in a process, and closing it."""
