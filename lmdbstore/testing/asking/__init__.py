"""The contract of what is asked for: times, flags, contents and neighbours."""
