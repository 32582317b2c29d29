"""The types of arguments and results that the built-in types do not describe exactly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from types import EllipsisType
from typing import Literal, Protocol, Self

__all__ = [
    "Checkpoint",
    "Damaged",
    "OnDuplicate",
    "Order",
    "SaveResult",
    "Scalar",
    "Strings",
    "Time",
    "Timeout",
    "Where",
]

Checkpoint = tuple[str, str] | Mapping[str, str]
"""A name and a text, or several of them."""

Damaged = Literal["raise", "skip"]
"""What a search does when it meets an event that is damaged: fail, or leave it out."""

OnDuplicate = Literal["raise", "ignore", "replace"]
"""What a save does about an id that is there: fail, or keep the first or the last event."""

Order = Literal["asc", "desc"]
"""By timestamp: the oldest event first, or the newest."""

Scalar = str | float | bool | None
"""A value of JSON without parts."""

Where = Mapping[str, Scalar | tuple[str, Scalar] | Sequence[tuple[str, Scalar]]]
"""What the fields of a content in JSON must be, by their paths; see `contract.asking.where`."""

Time = float | datetime
"""A time: seconds since 1970-01-01 UTC, or a datetime that has a zone."""

Timeout = float | None | EllipsisType
"""Seconds that a call may wait for others; None: for ever; `...`, or not given: the store's own."""


class _ManyStrings(Protocol):
    """A list, tuple, set or the like of strings.

    A `str` is not one, although it gives strings: only strings can be looked up in it.
    """

    def __iter__(self) -> Iterator[str]: ...
    def __contains__(self, value: object, /) -> bool: ...


Strings = Iterator[str] | _ManyStrings
"""Any number of strings: a list, a set, a generator and the like, but not a single string."""


class SaveResult(int):
    """The number of events that were saved; an `int` with the numbers of the others.

    `saved`, `ignored` and `replaced` add up to the number of events given.
    """

    ignored: int
    """Events that were left out, because their ids were there."""
    replaced: int
    """Events whose ids were there: each took the place of the one before it."""

    def __new__(cls, saved: int = 0, ignored: int = 0, replaced: int = 0) -> Self:
        """Make a result."""
        result = super().__new__(cls, saved)
        result.ignored, result.replaced = ignored, replaced
        return result

    @property
    def saved(self) -> int:
        """Events whose ids were new."""
        return int(self)

    def __repr__(self) -> str:
        """Show the three numbers."""
        return f"SaveResult(saved={int(self)}, ignored={self.ignored}, replaced={self.replaced})"

    __str__ = int.__repr__  # as `format` does
