"""Tools of endurance tests: models of what must be true, and the children that they run."""
