"""Counting years, or days, where lines do not have them.

Rules: a cycle turns where the position in it goes back by more than lines are out of order. It
turns back where the position jumps ahead by nearly a whole cycle, since a line may be late at the
turn, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from .moment import Parts

__all__ = ["DAYS", "YEARS", "Cycle", "Kind"]

MOST_NOTES = 1000


class Kind(NamedTuple):
    """A cycle that a format does not count."""

    name: str
    period: int
    back: int  # going back by more is a turn
    ahead: int  # jumping ahead by more is a turn back


YEARS = Kind("year", 12 * 31, 31, 341)  # in days, as if each month had 31
DAYS = Kind("day", 24 * 60, 90, 23 * 60)  # in minutes: a clock may be set back by an hour


class Cycle:
    """Where a file is in its cycles."""

    def __init__(self, kind: Kind) -> None:
        """Begin with a file of which nothing was read."""
        self.kind = kind
        self.start: int | None = None  # the cycle in which the file begins, once it is known
        self.seen: object = None
        self.last: Any = None
        self._turns = 0
        self._position: int | None = None
        self._notes: set[tuple[int, Parts, str | None]] = set()

    def turned(self, position: int) -> int:
        """Go to a position; return how often the cycle has turned since the start."""
        before, self._position = self._position, position
        if before is not None:
            step = position - before
            self._turns += (step < -self.kind.back) - (step > self.kind.ahead)
        return self._turns

    def note(self, parts: Parts, weekday: str | None) -> None:
        """Remember a day that exists in some years only."""
        if (weekday or (parts.month, parts.day) == (2, 29)) and len(self._notes) < MOST_NOTES:
            self._notes.add((self._turns, parts, weekday))

    def fits(self, end: int, exists: Callable[[int, Parts, str | None], bool]) -> bool:
        """Return whether all days that were noted exist if the last line is of the year `end`."""
        return all(
            exists(end - self._turns + turns, parts, weekday)
            for turns, parts, weekday in self._notes
        )

    def begin(self, end: int) -> None:
        """Go back to the start of the file; its last line is in the cycle `end`."""
        self.start = end - self._turns
        self._turns, self._position = 0, None
