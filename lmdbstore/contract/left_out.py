"""What a search with `damaged="skip"` leaves out: nothing without a word.

Rules: each event and each run is counted once, however often it is read. A run is counted whole if
it cannot be told which of its events would match.
"""

from __future__ import annotations

from typing import NamedTuple, Self

__all__ = ["Count", "LeftOut", "Losses"]


class LeftOut(NamedTuple):
    """What a search could not read, and left out; false if that is nothing."""

    events: int = 0
    """Events, at least; those of the runs included, whether they would match or not."""
    runs: int = 0
    """Runs of events that could not be read at all."""
    uncounted: int = 0
    """Of these runs, those with an unknown number of events."""

    def __bool__(self) -> bool:
        """Whether anything was left out."""
        return any(self)

    def __str__(self) -> str:
        """Say what was left out."""
        some = "at least " if self.uncounted else ""
        runs = f" ({_number(self.runs, 'whole run')})" if self.runs else ""
        return f"{some}{_number(self.events, 'damaged event')}{runs}"


NOTHING = LeftOut()


class Count(int):
    """A number of events; `left_out` is what could not be read, with `damaged="skip"`."""

    left_out: LeftOut

    def __new__(cls, number: int = 0, left_out: LeftOut = NOTHING) -> Self:
        """Make a number that knows what it lacks."""
        count = super().__new__(cls, number)
        count.left_out = left_out
        return count


class Losses:
    """What a search has left out so far."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._events: set[bytes] = set()
        self._runs: dict[bytes, int | None] = {}

    def add_event(self, key: bytes) -> None:
        """Note an event by its timeline key."""
        self._events.add(key)

    def add_run(self, end: bytes, events: int | None) -> None:
        """Note a run by its end, with the number of its events, if that is known."""
        self._runs[end] = events

    def total(self) -> LeftOut:
        """Return what was left out."""
        numbers = self._runs.values()
        return LeftOut(
            len(self._events) + sum(filter(None, numbers)),
            len(numbers),
            sum(number is None for number in numbers),
        )


def _number(number: int, things: str) -> str:
    return f"{number:,} {things}{'' if number == 1 else 's'}"
