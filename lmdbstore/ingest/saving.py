"""Saving events in batches, each with the checkpoints of the inputs that they are from.

Rules: a batch and its checkpoints are saved completely or not at all, so an import can be stopped
at any time and run again. Events that are in the store already are passed over. An event that the
store refuses is counted and reported; the others of its batch are saved.
"""

from __future__ import annotations

import time
from contextlib import suppress
from itertools import chain, repeat
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from lmdbstore.contract.checking import checked
from lmdbstore.errors import EventNotFound, InvalidEvent

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lmdbstore.contract.api import EventStore
    from lmdbstore.contract.event import Event
    from lmdbstore.logs.common import Batch
    from lmdbstore.resume.checkpoint import Checkpoint

    from .report import Report

__all__ = ["Preview", "Progressing", "Saver", "Sink", "is_complete"]

# Events in one commit. Larger batches are faster, but a strict reader waits for a whole batch.
BATCH_EVENTS = 10_000
BATCH_BYTES = 32 << 20  # of lines: a batch of very long lines must not fill the memory
BATCH_SECONDS = 1.0  # a slow pipe is saved at least this often, when a line comes
PREVIEWED = 5  # events that a dry run shows

_Place: TypeAlias = tuple[str, int]  # the name of an input, and the number of a line
_Pending: TypeAlias = "tuple[Event, _Place]"


def is_complete(events: int, size: int, since: float) -> bool:
    """Whether so many events, of lines of `size` bytes, are saved now.

    `since` is when the last ones were saved, by the monotonic clock.
    """
    return (
        size >= BATCH_BYTES or events >= BATCH_EVENTS or time.monotonic() >= since + BATCH_SECONDS
    )


class Progressing(Protocol):
    """How far an input is."""

    @property
    def name(self) -> str:
        """The name of the checkpoint."""

    def checkpoint(self) -> Checkpoint:
        """Return the checkpoint for all events that were added."""


class Sink(Protocol):
    """Where the events of an import go."""

    def add(self, batch: Batch, name: str, size: int, progress: Progressing | None) -> bool:
        """Add events, made from `size` bytes of the input `name`; return True if this saved."""

    def replace(self, batch: Batch, name: str, former: str) -> None:
        """Save events, of a line of the input `name`, in place of those that have their ids.

        They also take the place of the event with the id `former`, if it is not "".
        """

    def flush(self) -> None:
        """Save what was added."""


class Preview:
    """Keeps the first events, and saves nothing."""

    def __init__(self, report: Report) -> None:
        """Count the events in `report`."""
        self._report = report
        self.first: list[Event] = []

    def add(self, batch: Batch, name: str, size: int, progress: Progressing | None) -> bool:  # noqa: ARG002  as a Sink has them
        """Keep the events, if they are among the first."""
        self.first += batch.events[: PREVIEWED - len(self.first)]
        self._report.new += len(batch.events)
        return False

    def replace(self, batch: Batch, name: str, former: str) -> None:
        """Do nothing: a dry run knows no stored events."""

    def flush(self) -> None:
        """Do nothing."""


class Saver:
    """Saves events in a store."""

    def __init__(self, store: EventStore, report: Report) -> None:
        """Save in `store`, and count in `report`."""
        self._store = store
        self._report = report
        self._events: list[Event] = []
        self._numbers: list[tuple[str, list[int]]] = []  # of the lines of the events, by input
        self._inputs: dict[str, Progressing] = {}  # those of the events, by checkpoint
        self._bytes = 0
        self._saved_at = time.monotonic()
        self.on_duplicate: Literal["ignore", "replace"] = "ignore"

    def add(self, batch: Batch, name: str, size: int, progress: Progressing | None) -> bool:
        """Add events, made from `size` bytes of the input `name`; return True if this saved.

        `progress` says how far the input is with these events; without it, no checkpoint is saved.
        """
        self._events += batch.events
        self._numbers.append((name, batch.numbers))
        self._bytes += size
        if progress is not None:
            self._inputs[progress.name] = progress
        if is_complete(len(self._events), self._bytes, self._saved_at):
            self.flush()
            return True
        return False

    def flush(self) -> None:
        """Save the pending events."""
        checkpoints = [progress.checkpoint() for progress in self._inputs.values()]
        if self._events or checkpoints:
            try:
                self._save(self._events, checkpoints)
            except InvalidEvent:
                self._save_valid(checkpoints)
        self._events, self._numbers, self._inputs, self._bytes = [], [], {}, 0
        self._saved_at = time.monotonic()

    def replace(self, batch: Batch, name: str, former: str) -> None:
        """See `Sink.replace`. If this is stopped, the line is read and saved again."""
        pending = self._valid(batch.events, zip(repeat(name), batch.numbers))
        events = [event for event, _ in pending]
        self._store.save_many(events, on_duplicate="replace")
        self._report.replaced += len(events)
        if former and events and former not in [event.id for event in events]:
            with suppress(EventNotFound):
                self._store.delete(former)

    def _save(self, events: list[Event], checkpoints: Sequence[Checkpoint] = ()) -> None:
        """Save all, or none; raises InvalidEvent."""
        noted = {one.name: one.text() for one in checkpoints}
        before = self._report.new
        try:
            result = self._store.save_many(
                events, on_duplicate=self.on_duplicate, checkpoint=noted or None
            )
            self._report.new += result.saved
            self._report.present += result.ignored
            self._report.replaced += result.replaced
        except KeyboardInterrupt:  # perhaps after the commit: the report must not tell too few
            if self._report.new == before and self._is_saved(noted):
                self._report.new += len(events)
            raise

    def _is_saved(self, noted: dict[str, str]) -> bool:
        """Whether checkpoints are stored, and so the events of their batch."""
        return bool(noted) and all(
            self._store.checkpoint(name) == text for name, text in noted.items()
        )

    def _save_valid(self, checkpoints: Sequence[Checkpoint]) -> None:
        """Save those of the pending events that can be saved."""
        places = chain.from_iterable(zip(repeat(name), numbers) for name, numbers in self._numbers)
        valid = self._valid(self._events, places)
        try:
            self._save([event for event, _ in valid], checkpoints)
        except InvalidEvent:  # this store refuses more
            self._save_apart(valid)
            self._save([], checkpoints)

    def _save_apart(self, pending: list[_Pending]) -> None:
        """Save what can be saved, by halves: a commit for each event would take too long."""
        try:
            self._save([event for event, _ in pending])
        except InvalidEvent as error:
            if len(pending) == 1:
                self._report.unreadable(*pending[0][1], str(error))
                return
            middle = len(pending) // 2
            self._save_apart(pending[:middle])
            self._save_apart(pending[middle:])

    def _valid(self, events: Iterable[Event], places: Iterable[_Place]) -> list[_Pending]:
        """Return the events that are valid; report the others, each with its place."""
        valid = []
        for event, place in zip(events, places, strict=True):
            try:
                valid.append((checked(event), place))
            except InvalidEvent as error:
                self._report.unreadable(*place, str(error))
        return valid
