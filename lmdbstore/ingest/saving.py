"""Saving events in batches, without those that are in the store already.

Rules: a batch is saved completely or not at all, so an import can be stopped at any time and run
again. An event that the store refuses is counted and reported; the others of its batch are saved.
"""

from __future__ import annotations

import time
from itertools import repeat
from typing import TYPE_CHECKING, Protocol, TypeAlias

from lmdbstore.errors import DuplicateEvent, InvalidEvent

if TYPE_CHECKING:
    from lmdbstore.contract.api import EventStore
    from lmdbstore.contract.event import Event

    from .common import Batch
    from .report import Report

__all__ = ["Preview", "Saver", "Sink"]

# Events in one commit. Larger batches are faster, but a strict reader waits for a whole batch.
BATCH_EVENTS = 10_000
BATCH_BYTES = 32 << 20  # of lines: a batch of very long lines must not fill the memory
BATCH_SECONDS = 1.0  # a slow pipe is saved at least this often, when a line comes
PREVIEWED = 5  # events that a dry run shows

_Place: TypeAlias = tuple[str, int]  # the name of an input, and the number of a line
_Pending: TypeAlias = "tuple[Event, _Place]"


class Sink(Protocol):
    """Where the events of an import go."""

    def add(self, batch: Batch, name: str, size: int) -> bool:
        """Add events, made from `size` bytes of the input `name`; return True if this saved."""

    def flush(self) -> None:
        """Save what was added."""


class Preview:
    """Keeps the first events, and saves nothing."""

    def __init__(self, report: Report) -> None:
        """Count the events in `report`."""
        self._report = report
        self.first: list[Event] = []

    def add(self, batch: Batch, name: str, size: int) -> bool:  # noqa: ARG002  as a Sink has them
        """Keep the events, if they are among the first."""
        self.first += batch.events[: PREVIEWED - len(self.first)]
        self._report.new += len(batch.events)
        return False

    def flush(self) -> None:
        """Do nothing."""


class Saver:
    """Saves events in a store."""

    def __init__(self, store: EventStore, report: Report) -> None:
        """Save in `store`, and count in `report`."""
        self._store = store
        self._report = report
        self._events: list[Event] = []
        self._places: list[_Place] = []  # one for each event
        self._bytes = 0
        self._expecting = False  # the last batch had events that were in the store already
        self._saved_at = time.monotonic()

    def add(self, batch: Batch, name: str, size: int) -> bool:
        """Add events, made from `size` bytes of the input `name`; return True if this saved."""
        self._events += batch.events
        self._places += zip(repeat(name), batch.numbers)
        self._bytes += size
        if self._bytes >= BATCH_BYTES or time.monotonic() >= self._saved_at + BATCH_SECONDS:
            self.flush()
            return True
        if len(self._events) < BATCH_EVENTS:
            return False
        self._save_batches(BATCH_EVENTS)
        return True

    def flush(self) -> None:
        """Save the pending events."""
        self._save_batches(1)

    def _save_batches(self, least: int) -> None:
        """Save whole batches, and what is left if it has at least so many events."""
        while len(self._events) >= least:
            events, self._events = self._events[:BATCH_EVENTS], self._events[BATCH_EVENTS:]
            places, self._places = self._places[:BATCH_EVENTS], self._places[BATCH_EVENTS:]
            self._save(events, places)
        self._bytes = 0
        self._saved_at = time.monotonic()

    def _save(self, events: list[Event], places: list[_Place]) -> None:
        # While all events are new, saving without asking first is cheaper.
        if self._expecting or not self._saved(events):
            absent = self._absent(events, places)
            if not self._saved([event for event, _ in absent]):
                self._save_apart(absent)  # one is invalid, or was saved a moment ago

    def _saved(self, events: list[Event]) -> bool:
        """Save all and return True, or none and return False if one of them is refused."""
        try:
            if events:
                self._report.new += self._store.save_many(events)
        except (DuplicateEvent, InvalidEvent):
            return False
        return True

    def _save_apart(self, pending: list[_Pending]) -> None:
        """Save what can be saved, by halves: a commit for each event would take too long."""
        middle = len(pending) // 2
        if not middle:
            self._save_one(*pending[0])
            return
        for half in (pending[:middle], pending[middle:]):
            if not self._saved([event for event, _ in half]):
                self._save_apart(half)

    def _save_one(self, event: Event, place: _Place) -> None:
        try:
            self._store.save(event)
            self._report.new += 1
        except DuplicateEvent:
            self._report.present += 1
        except InvalidEvent as error:
            self._report.unreadable(*place, str(error))

    def _absent(self, events: list[Event], places: list[_Place]) -> list[_Pending]:
        """Return the events that are not in the store, each id once."""
        by_id: dict[str, _Pending] = {}
        for event, place in zip(events, places, strict=True):
            by_id.setdefault(event.id, (event, place))
        with self._store.snapshot() as view:
            absent = [one for event_id, one in by_id.items() if event_id not in view]
        self._report.present += len(events) - len(absent)
        self._expecting = len(absent) < len(events)
        return absent
