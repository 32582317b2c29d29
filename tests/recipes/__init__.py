"""Recipes: small programs that the README links, and `test_recipes` runs."""
