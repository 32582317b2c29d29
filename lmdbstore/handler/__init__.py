"""Records of Python's `logging` become events, on any store of the contract."""
