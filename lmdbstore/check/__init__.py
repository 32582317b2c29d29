"""Whether a store is sound, and making a damaged one sound again."""
