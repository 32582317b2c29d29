"""Collecting the events of runs, up to about a page of them.

Rules: nothing is kept of a run that cannot be read to its end: it raises StoreDamaged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmdbstore.contract.query import Position
from lmdbstore.disk import format as fmt
from lmdbstore.records.decoding import decode_parts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmdbstore.contract.event import Event
    from lmdbstore.records.run import Run, Slots

__all__ = ["Found"]

MOST_RUNS = 64
FEW = 16  # events of a run; so few are decoded with those of other runs


class Found:
    """Events that are collected from runs."""

    def __init__(self, most: int, *, counting: bool, exact: bool, together: bool) -> None:
        """Collect about `most` events, not more if `exact`; `together`: decode runs together."""
        self._most = most
        # A run is not read twice to make pages of one size, unless there is a limit.
        self._enough = most if exact else most * 3 // 4
        self._longest = most if exact else most * 5 // 4
        self._counting = counting
        self._together = together
        self._number = 0
        self.runs = 0  # that were read
        self._events: list[Event] = []
        self._local_ids: list[Sequence[int]] = []
        self._parts: list[tuple[memoryview, memoryview]] = []  # not decoded yet

    @property
    def missing(self) -> int:
        """How many events would make a page."""
        return self._most - self._number

    def add(self, events: list[Event], local_ids: list[int]) -> bytes | None:
        """Add events; return the last key if some are left."""
        reached = None
        if self._number + len(events) > self._longest:
            left = self._most - self._number
            events, local_ids = events[:left], local_ids[:left]
            reached = fmt.timeline_key(Position(events[-1].timestamp, local_ids[-1]))
        self._number += len(events)
        if events and not self._counting:
            self._flush()
            self._events += events
            self._local_ids.append(local_ids)
        return reached

    @property
    def full(self) -> bool:
        """Whether no more runs should be read."""
        return self._number >= self._enough or self.runs >= MOST_RUNS

    def take(self, run: Run, slots: Slots, *, alone: bool = False) -> bytes | None:
        """Take events in the order of the slots; return the last key if some are left.

        With `alone`, each is read by itself: the run is damaged elsewhere.
        """
        left = self._most - self._number
        reached = None
        if self._number + len(slots) > self._longest:
            slots = slots[:left]
            reached = run.key(slots[-1])
        if slots and not self._counting:
            local_ids = run.local_ids_at(slots)
            self._decode(run, slots, alone=alone)
            self._local_ids.append(local_ids)
        self._number += len(slots)
        return reached

    def _decode(self, run: Run, slots: Slots, *, alone: bool) -> None:
        if self._together and len(slots) < FEW:
            self._parts += map(run.part, slots)
            return
        self._flush()
        rising = slots[0] <= slots[-1]
        if not rising:
            slots = slots[::-1]
        events = list(map(run.event, slots)) if alone else run.select(slots)
        self._events += events if rising else reversed(events)

    def _flush(self) -> None:
        if self._parts:
            self._events += decode_parts(self._parts)
            self._parts = []

    def all(self) -> tuple[list[Event], list[Sequence[int]], int]:
        """Return the events, their local ids in parts, and their number."""
        self._flush()
        return self._events, self._local_ids, self._number
