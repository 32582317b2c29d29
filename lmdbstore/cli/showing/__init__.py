"""How the events of a search are shown."""
