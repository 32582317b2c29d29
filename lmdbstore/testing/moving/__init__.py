"""The contract of what moves events elsewhere."""
