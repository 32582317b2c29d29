"""The rows about following a store: how late an event comes, and what waiting costs.

Modules, bottom up: `sides` has the followers and the writers of each peer. `rows` runs them.
"""
