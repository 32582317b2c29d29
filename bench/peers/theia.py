"""Theia's own stores: the file store and the relational one on SQLite.

Rules: each store does what its class does. The file store rewrites its file at each save, and at
the end of a batch. It never asks the system to flush: it is not durable, and is compared with a
store that is not durable. It has neither `get` nor `delete`. The relational store matches the whole
content, so a pattern is put between `.*`. It ignores the end of a range and the order, so this
module stops at the end of the range itself, and reads all events for the newest.
"""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

from theia.model import Event as TheiaEvent
from theia.naivestore import NaiveEventStore
from theia.storeapi import EventNotFound

from lmdbstore import Event

from .base import Peer

with warnings.catch_warnings():
    # It uses SQLAlchemy 1, which warns about version 2.
    warnings.simplefilter("ignore")
    from theia import rdbs

__all__ = ["TheiaNaive", "TheiaRDBS"]

EARLIEST = 1.0  # seconds; the relational store takes 0 as no start, which it refuses


class _Theia(Peer):
    store: Any

    def save(self, event: Event) -> None:
        self.store.save(TheiaEvent(*event))

    def matching(self, pattern: str, limit: int | None = None) -> Iterator[Event]:
        return islice(self._search(match=pattern), limit)

    def flagged(self, *flags: str, limit: int | None = None) -> Iterator[Event]:
        return islice(self._search(flags=list(flags)), limit)

    def count(self) -> int:
        return sum(1 for _ in self._search())

    def close(self) -> None:
        self.store.close()

    def _search(self, start: float = EARLIEST, **query: Any) -> Iterator[Event]:
        return map(_event, self.store.search(start, **query))


class TheiaNaive(_Theia):
    """Files with the events of one minute each."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.store = NaiveEventStore(str(folder), flush_interval=0)

    def save_many(self, events: list[Event]) -> None:
        self.store.flush_interval = 1  # not 0: saves wait for the flush
        for event in events:
            self.save(event)
        self.store._flush_open_files()  # noqa: SLF001  instead of its timer thread
        self.store.flush_interval = 0

    def newest(self, number: int) -> Iterable[Event]:
        return islice(self._search(order="desc"), number)

    def between(self, start: float, end: float) -> Iterable[Event]:
        return self._search(start, ts_end=end)


class TheiaRDBS(_Theia):
    """A table, through SQLAlchemy, with a commit for each event."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.store = rdbs.create_store(f"sqlite:///{folder / 'events.db'}")

    def save_many(self, events: list[Event]) -> None:
        for event in events:
            self.save(event)

    def get(self, event_id: str) -> Event | None:
        with suppress(EventNotFound):
            return _event(self.store.get(event_id))
        return None

    def newest(self, number: int) -> Iterable[Event]:
        return reversed(deque(self._search(), number))

    def between(self, start: float, end: float) -> Iterable[Event]:
        return takewhile(lambda event: event.timestamp <= end, self._search(start))

    def matching(self, pattern: str, limit: int | None = None) -> Iterator[Event]:
        return super().matching(f"(?s:.*)(?:{pattern})(?s:.*)", limit)

    def delete(self, event_id: str) -> None:
        self.store.delete(event_id)


def _event(event: Any) -> Event:
    return Event(event.id, event.source, float(event.timestamp), event.tags, event.content)
