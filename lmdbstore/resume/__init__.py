"""What a store knows of inputs that were read, so that no line is imported twice."""
