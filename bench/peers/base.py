"""The operations of every peer: those of the store, in the smallest comparable form.

Rules: a peer gives whole `Event` objects, so that every peer decodes them. Events are ordered by
time; events with equal times are in the order of saving. A peer does not define the operations that
it cannot do, and no row uses them. A folder belongs to one peer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

from lmdbstore import Event

__all__ = ["TOP", "Peer"]

TOP = 10  # values that `top` gives of each field


class Peer:
    """An event store to be measured."""

    def __init__(self, folder: Path) -> None:
        """Open the store in `folder`, or make it; the folder exists."""
        self.folder = folder

    def ready(self) -> None:
        """Prepare the next measurement; this is not timed."""

    def save(self, event: Event) -> None:
        """Save one event in a transaction of its own."""
        raise NotImplementedError

    def save_many(self, events: list[Event]) -> None:
        """Save the events in one transaction."""
        raise NotImplementedError

    def get(self, event_id: str) -> Event | None:
        """Return the event with this id, or None."""
        raise NotImplementedError

    def newest(self, number: int) -> Iterable[Event]:
        """Give the last events, newest first."""
        raise NotImplementedError

    def between(self, start: float, end: float) -> Iterable[Event]:
        """Give the events of a range of time, in seconds, both ends inclusive."""
        raise NotImplementedError

    def flagged(self, *flags: str, limit: int | None = None) -> Iterable[Event]:
        """Give the events that have all the flags."""
        raise NotImplementedError

    def matching(self, pattern: str, limit: int | None = None) -> Iterable[Event]:
        """Give the events in whose content the regular expression is found."""
        raise NotImplementedError

    def count(self) -> int:
        """Return the number of events."""
        raise NotImplementedError

    def count_between(self, start: float, end: float) -> int:
        """Return how many events `between` gives."""
        raise NotImplementedError

    def count_flagged(self, flag: str) -> int:
        """Return how many events `flagged` gives."""
        raise NotImplementedError

    def count_matching(self, pattern: str) -> int:
        """Return how many events `matching` gives."""
        raise NotImplementedError

    def histogram(self, seconds: float, flag: str | None = None) -> Iterable[tuple[float, int]]:
        """Give the start and the number of events of each bucket, of those that have the flag."""
        raise NotImplementedError

    def top(self, start: float = -math.inf, end: float = math.inf) -> Iterable[tuple[str, int]]:
        """Give the `TOP` most frequent flags of a range of time, and then the sources."""
        raise NotImplementedError

    def delete(self, event_id: str) -> None:
        """Delete an event in a transaction of its own."""
        raise NotImplementedError

    def seal(self) -> None:
        """Pack the events that were saved since the last time."""
        raise NotImplementedError

    def finish(self) -> None:
        """Do what users of the peer do after a bulk load, such as analysing or compacting."""

    def close(self) -> None:
        """Close the store."""
