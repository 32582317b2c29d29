"""What the command `search` is asked for: its options, and the neighbours of what it finds."""
