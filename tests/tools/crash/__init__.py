"""A workload whose writes fail, are traced, or are cut off by a loss of power."""
