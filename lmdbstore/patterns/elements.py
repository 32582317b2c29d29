"""What is known of a pattern that is being read: its elements, its open groups, and the result.

Rules: of an element it is known whether it can match without a character, which characters it may
match, and how often it repeats; the text of it is `parse`'s.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = [
    "ALWAYS",
    "ASSERTION",
    "IF_ASSERTED",
    "NEVER",
    "PLAIN",
    "REPEAT",
    "Group",
    "Part",
    "Rendered",
]

NEVER, IF_ASSERTED, ALWAYS = range(3)  # when a part matches the empty text: see `Part.empty`
PLAIN, ASSERTION, REPEAT = range(3)


class Rendered(NamedTuple):
    """A pattern as the engines take it, and what is known about its matches."""

    test: str
    single: str
    page: str
    oracle: str
    empty: int  # NEVER, IF_ASSERTED or ALWAYS
    unbounded: bool  # a match may extend across the header of the next record
    crosses_lines: bool  # a match may extend over many lines
    in_line: bool  # a match has a character, and no newline


class Part:
    """What is known about an element, or about a row of them."""

    __slots__ = ("chars", "empty", "kind", "product")

    def __init__(self, empty: int, chars: int = 0, product: int = 1, kind: int = PLAIN) -> None:
        self.empty = empty  # NEVER, IF_ASSERTED (at anchors and boundaries only) or ALWAYS
        self.chars = chars  # header_like of all its characters
        self.product = product  # the largest product of nested bounds
        self.kind = kind  # PLAIN, ASSERTION or REPEAT: the latter two cannot be repeated

    def add(self, other: Part, empty: int) -> None:
        """Add a part that comes after this one, or is an alternative to it."""
        self.empty = empty
        self.chars |= other.chars
        self.product = max(self.product, other.product)


class Group:
    """An open group: its finished alternatives, the row being read, and that row's last part."""

    __slots__ = ("done", "flags", "last", "row", "start")

    def __init__(self, start: int, flags: str) -> None:
        self.start = start
        self.flags = flags
        self.done = Part(NEVER)
        self.row = Part(ALWAYS)
        self.last: Part | None = None  # what a repeat would apply to

    def put(self, part: Part | None) -> None:
        """End the last part, and begin `part`."""
        if self.last is not None:
            self.row.add(self.last, min(self.row.empty, self.last.empty))
        self.last = part

    def end_row(self) -> None:
        """End an alternative."""
        self.put(None)
        self.done.add(self.row, max(self.done.empty, self.row.empty))
        self.row = Part(ALWAYS)
