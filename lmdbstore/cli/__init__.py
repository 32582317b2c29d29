"""The command line: `main` has the arguments, and each other module does one thing.

Rules: the library imports nothing from this package. Only this package imports click and rich (the
extra `cli`). rich is imported only where something is drawn on a terminal.
"""
