"""Moving events: to files and back, and from one store to another."""
