"""What a search may ask beyond times, flags and a pattern; see `contract.query`."""
