"""The types of arguments that the built-in types do not describe exactly."""

from __future__ import annotations

from collections.abc import Iterator
from types import EllipsisType
from typing import Literal, Protocol

__all__ = ["Damaged", "Order", "Strings", "Timeout"]

Damaged = Literal["raise", "skip"]
"""What a search does when it meets an event that is damaged: fail, or leave it out."""

Order = Literal["asc", "desc"]
"""By timestamp: the oldest event first, or the newest."""


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
