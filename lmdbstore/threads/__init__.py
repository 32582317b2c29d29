"""Within one process: the gate, the lock that survives a fork, the fork hooks, and RE2's gate."""
