"""What every peer can be asked: the store's own operations, in the smallest form that compares.

Rules: a peer gives whole `Event` objects, so that everybody pays for decoding; events come by
time, and in the order they were saved where times are equal. What a peer cannot do by its nature
it leaves undefined here, and no row asks it. A folder belongs to one peer.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from lmdbstore import Event

__all__ = ["Peer"]


class Peer:
    """An event store under measurement."""

    def __init__(self, folder: Path) -> None:
        """Open the store in `folder`, or make it; the folder exists."""
        self.folder = folder

    def ready(self) -> None:
        """Do what must be done before the next measurement and is not part of it."""

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

    def delete(self, event_id: str) -> None:
        """Delete an event in a transaction of its own."""
        raise NotImplementedError

    def finish(self) -> None:
        """Do what the peer's users do after a bulk load, such as analysing or compacting."""

    def close(self) -> None:
        """Close the store."""
