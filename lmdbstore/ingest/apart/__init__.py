"""A second process, which reads a large file and makes its events, while this one saves them."""
