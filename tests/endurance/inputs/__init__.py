"""Inputs that nobody expects, for as long as they are told."""
