"""The feed: events in the order of commits."""
