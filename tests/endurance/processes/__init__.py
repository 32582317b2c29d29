"""Many processes and threads, for as long as they are told."""
