"""The calls of the API, each a function from parameters to an answer."""
