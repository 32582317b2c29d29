"""What endurance tests share: models of what must be true, and the children that they run."""
