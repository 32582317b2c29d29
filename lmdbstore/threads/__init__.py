"""Within one process: the gate, the locks that survive a fork, the fork hooks, and RE2's gate."""
