"""The store in memory: one sorted list, searched by a linear filter.

It is the oracle for the tests of the LMDB store, and a fake for the tests of programs that use a
store. So it is written to be obviously correct, and no part of it is written for speed. Nothing is
shared with the caller: events are copied on their way in and out.
"""

from __future__ import annotations

import threading
from bisect import insort
from typing import TYPE_CHECKING, NamedTuple, TypeVar, overload

from lmdbstore.errors import DuplicateEvent, EventNotFound, shown

from .api import EventStore
from .checking import checked_all, checked_id
from .query import Position, Query
from .query_view import QueryView
from .search import Page, Search

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from .event import Event

__all__ = ["MemoryEventStore"]

T = TypeVar("T")
_REQUIRED = object()


class _Entry(NamedTuple):
    position: Position
    event: Event


class _MemoryView(QueryView):
    """Entries sorted by position; a lookup scans all of them."""

    _when_closed = "the snapshot is closed; take a new one"

    def __init__(self, entries: Iterable[_Entry] = ()) -> None:
        super().__init__()
        self._entries = list(entries)
        self._lock = threading.RLock()

    @overload
    def get(self, event_id: str | UUID) -> Event: ...
    @overload
    def get(self, event_id: str | UUID, default: T) -> Event | T: ...
    def get(self, event_id: str | UUID, default: object = _REQUIRED) -> object:
        wanted = checked_id(event_id)
        with self._lock:
            self._check_open()
            for entry in self._entries:
                if entry.event.id == wanted:
                    return _copy(entry.event)
        if default is _REQUIRED:
            raise EventNotFound(f"there is no event with the id {shown(wanted)}")
        return default

    def flags(self) -> dict[str, int]:
        return dict(sorted(super().flags().items()))

    def _locate(self, event_id: str) -> Position:
        with self._lock:
            self._check_open()
            for entry in self._entries:
                if entry.event.id == event_id:
                    return entry.position
        raise EventNotFound(f"after: there is no event with the id {shown(event_id)}")

    def _matching(self, query: Query) -> list[_Entry]:
        with self._lock:
            self._check_open()
            found = [entry for entry in self._entries if _matches(query, entry)]
        if query.descending:
            found.reverse()
        return found[: query.limit]

    def _search(self, query: Query) -> Search:
        found = self._matching(query)
        pages = [Page([_copy(e.event) for e in found], lambda n: found[n].position)] * bool(found)
        token = None if query.after is None else query.after.token
        return self._track(Search(lambda: pages.pop() if pages else None, token, query))

    def _count(self, query: Query) -> int:
        return len(self._matching(query))

    def _explain(self, query: Query) -> str:
        return f"filter all {len(self)} events" if not query.impossible else "no event can match"

    def __repr__(self) -> str:
        """The class, and whether it is closed."""
        return f"<a snapshot of a MemoryEventStore{', closed' if self._closed else ''}>"


class MemoryEventStore(_MemoryView, EventStore):
    """An event store that lasts as long as the object: nothing is written to disk.

    It keeps the whole contract of `EventStore` except durability. Every call takes one lock, so it
    is strictly consistent. Reading is linear in the number of events.
    """

    _when_closed = "the store is closed; make a new one"

    def __init__(self) -> None:
        """Make an empty store."""
        super().__init__()
        self._next_local_id = 1

    def save(self, event: Event) -> None:
        self.save_many([event])

    def save_many(self, events: Iterable[Event]) -> int:
        new = list(checked_all(events))
        with self._lock:
            self._check_open()
            taken = {entry.event.id for entry in self._entries}
            for event in new:
                if event.id in taken:
                    raise DuplicateEvent(f"id: {shown(event.id)} is in the store already")
                taken.add(event.id)
            for event in new:
                position = Position(event.timestamp, self._next_local_id)
                insort(self._entries, _Entry(position, event), key=lambda e: e.position)
                self._next_local_id += 1
        return len(new)

    def delete(self, event_id: str | UUID) -> None:
        wanted = checked_id(event_id)
        with self._lock:
            self.get(wanted)
            self._entries = [entry for entry in self._entries if entry.event.id != wanted]

    def snapshot(self) -> QueryView:
        with self._lock:
            return self._track(_MemoryView(self._entries))

    def __repr__(self) -> str:
        """The class, and whether it is closed."""
        return f"<MemoryEventStore{', closed' if self._closed else ''}>"


def _copy(event: Event) -> Event:
    return event._replace(tags=list(event.tags))


def _matches(query: Query, entry: _Entry) -> bool:
    position, event = entry
    if not query.ts_start <= event.timestamp <= query.ts_end:
        return False
    if query.after is not None:
        if query.descending and position >= query.after:
            return False
        if not query.descending and position <= query.after:
            return False
    return (
        all(flag in event.tags for flag in query.flags)
        and query.source in (None, event.source)
        and (query.pattern is None or query.pattern.found_in(event.content))
    )
