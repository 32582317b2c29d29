"""The commands: their arguments, and which function gets them."""
