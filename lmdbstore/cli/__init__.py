"""The command line: `main` holds the arguments, every other module one thing that it does.

Rules: nothing here is imported by the library, and only this package imports click and rich (the
extra `cli`); rich is imported where something is drawn on a terminal, and nowhere else.
"""
