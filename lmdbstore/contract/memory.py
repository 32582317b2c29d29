"""The store in memory: one sorted list, searched by a linear filter.

It is the oracle for the tests of the LMDB store, and a fake for the tests of programs that use a
store. So it is written to be obviously correct, and no part of it is written for speed. Nothing is
shared with the caller: events are copied on their way in and out. A write replaces the whole state,
so it is visible as a whole, and a read needs no lock.
"""

from __future__ import annotations

import threading
import time
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple, TypeVar, overload

from lmdbstore.errors import DuplicateEvent, EventNotFound, shown
from lmdbstore.threads.run_locked import run_locked

from .api import EventStore
from .checking import (
    checked_all,
    checked_checkpoints,
    checked_id,
    checked_ids,
    checked_name,
    checked_on_duplicate,
    checked_prefix,
)
from .commits.cursor_calls import CursorCalls
from .commits.follower import LOOK, Feed
from .commits.paged import Page
from .commits.position import Lineage, Present, new_identity
from .query import Position, Query
from .query_view import QueryView
from .search import Search
from .types import SaveResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from uuid import UUID

    from lmdbstore.threads.deadline import Deadline

    from .event import Event
    from .types import Checkpoint, OnDuplicate, Timeout

__all__ = ["MemoryEventStore"]

T = TypeVar("T")
_REQUIRED = object()


class _Entry(NamedTuple):
    position: Position
    event: Event


class _State(NamedTuple):
    entries: tuple[_Entry, ...] = ()  # sorted by position
    checkpoints: dict[str, str] = {}  # noqa: RUF012  never changed
    last: int = 0  # the local id that was given out last
    cursors: dict[str, str] = {}  # noqa: RUF012  never changed
    lineage: Lineage = Lineage(b"")


class _MemoryView(QueryView):
    """One state; a lookup scans all entries."""

    _when_closed = "the snapshot is closed; take a new one"

    def __init__(self, state: _State = _State()) -> None:  # noqa: B008  never changed
        super().__init__()
        self._state = state

    @overload
    def get(self, event_id: str | UUID, *, timeout: Timeout = ...) -> Event: ...
    @overload
    def get(self, event_id: str | UUID, default: T, *, timeout: Timeout = ...) -> Event | T: ...
    def get(
        self, event_id: str | UUID, default: object = _REQUIRED, *, timeout: Timeout = ...
    ) -> object:
        self._deadline(timeout)
        wanted = checked_id(event_id)
        entry = self._find(wanted)
        if entry is not None:
            return _copy(entry.event)
        if default is _REQUIRED:
            raise EventNotFound(f"there is no event with the id {shown(wanted)}")
        return default

    def checkpoint(self, name: str, *, timeout: Timeout = ...) -> str | None:
        self._deadline(timeout)
        wanted = checked_name(name)
        self._check_open()
        return self._state.checkpoints.get(wanted)

    def checkpoints(self, prefix: str = "", *, timeout: Timeout = ...) -> dict[str, str]:
        self._deadline(timeout)
        wanted = checked_prefix(prefix)
        self._check_open()
        noted = sorted(self._state.checkpoints.items())
        return {name: text for name, text in noted if name.startswith(wanted)}

    def _locate(self, _: Deadline | None, event_id: str) -> Position:
        entry = self._find(event_id)
        if entry is None:
            raise EventNotFound(f"after: there is no event with the id {shown(event_id)}")
        return entry.position

    def _number_of(self, _: Deadline | None, position: object) -> int:
        self._check_open()
        return self._state.lineage.number("at", position, self._state.last)

    def _find(self, event_id: str) -> _Entry | None:
        return next((e for e in self._all() if e.event.id == event_id), None)

    def _all(self) -> tuple[_Entry, ...]:
        self._check_open()
        return self._state.entries

    def _matching(self, query: Query) -> list[_Entry]:
        low, high = query.ts_start, query.ts_end
        found = [e for e in self._all() if low <= e.event.timestamp <= high]
        if query.descending:
            found.reverse()
        if (after := query.after) is not None:
            follows = after.__gt__ if query.descending else after.__lt__
            found = [e for e in found if follows(e.position)]
        if (at := query.at) is not None:
            found = [e for e in found if e.position.local_id <= at]
        return [e for e in found if query.admits(e.event)][: query.limit]

    def _search(self, query: Query, _: Deadline | None) -> Search:
        found = self._matching(query)
        pages = [Page([_copy(e.event) for e in found], lambda n: found[n].position)] * bool(found)
        token = None if query.after is None else query.after.token
        return self._track(Search(lambda: pages.pop() if pages else None, token, query))

    def _count(self, query: Query, _: Deadline | None) -> int:
        return len(self._matching(query))

    def _explain(self, query: Query, _: Deadline | None) -> str:
        return f"filter all {len(self)} events" if not query.impossible else "no event can match"

    def __repr__(self) -> str:
        """The class, and whether it is closed."""
        return f"<a snapshot of a MemoryEventStore{', closed' if self._closed else ''}>"


class MemoryEventStore(_MemoryView, CursorCalls, EventStore):
    """An event store that lasts as long as the object: nothing is written to disk.

    It keeps the whole contract of `EventStore` except durability. Reading and writing are linear in
    the number of events. No call waits longer than another one takes, so `timeout` is only checked.
    """

    _when_closed = "the store is closed; make a new one"

    def __init__(self) -> None:
        """Make an empty store."""
        super().__init__(_State(lineage=Lineage(new_identity())))
        self._writing = threading.RLock()

    def save(
        self, event: Event, *, on_duplicate: OnDuplicate = "raise", timeout: Timeout = ...
    ) -> None:
        self.save_many([event], on_duplicate=on_duplicate, timeout=timeout)

    def save_many(
        self,
        events: Iterable[Event],
        *,
        on_duplicate: OnDuplicate = "raise",
        checkpoint: Checkpoint | None = None,
        timeout: Timeout = ...,
    ) -> SaveResult:
        self._deadline(timeout)
        mode = checked_on_duplicate(on_duplicate)
        noted = checked_checkpoints(checkpoint)
        new = list(checked_all(events))
        return run_locked(self._writing, self._add, new, mode, noted)

    def _add(
        self, new: list[Event], on_duplicate: OnDuplicate, noted: dict[str, str]
    ) -> SaveResult:
        entries = {entry.event.id: entry for entry in self._all()}
        numbers = {"saved": 0, "ignored": 0, "replaced": 0}
        last = self._state.last
        for local_id, event in enumerate(new, last + 1):
            if event.id not in entries:
                numbers["saved"] += 1
            elif on_duplicate == "raise":
                raise DuplicateEvent(f"id: {shown(event.id)} is in the store already")
            elif on_duplicate == "ignore":
                numbers["ignored"] += 1
                continue
            else:
                numbers["replaced"] += 1
            entries[event.id] = _Entry(Position(event.timestamp, local_id), event)
        if numbers["ignored"] < len(new) or noted:  # else nothing is written
            last += len(new)
        in_order = tuple(sorted(entries.values(), key=attrgetter("position")))
        checkpoints = self._state.checkpoints | noted
        self._state = self._state._replace(entries=in_order, checkpoints=checkpoints, last=last)
        return SaveResult(**numbers)

    def delete(self, event_id: str | UUID, *, timeout: Timeout = ...) -> None:
        self._deadline(timeout)
        wanted = checked_id(event_id)
        if not run_locked(self._writing, self._remove, {wanted}):
            raise EventNotFound(f"there is no event with the id {shown(wanted)}")

    def delete_many(self, ids: Iterable[str | UUID], *, timeout: Timeout = ...) -> int:
        self._deadline(timeout)
        self._check_open()
        return run_locked(self._writing, self._remove, set(checked_ids(ids)))

    def _remove(self, ids: set[str]) -> int:
        before = self._all()
        kept = tuple(entry for entry in before if entry.event.id not in ids)
        self._state = self._state._replace(entries=kept)
        return len(before) - len(kept)

    def _present(self) -> Present:
        self._check_open()
        return Present(self._state.lineage, self._state.last)

    def _present_after_writes(self, wait: Deadline | None) -> Present:  # noqa: ARG002
        return self._present()

    def _feed(self, lineage: Lineage, after: int, until: int | None, query: Query) -> Feed[Event]:
        return _MemoryFeed(self._present_state, lineage, after, until, query)

    def _present_state(self) -> _State:
        self._check_open()
        return self._state

    def _cursor_text(self, name: str) -> str | None:
        return self._present_state().cursors.get(name)

    def _cursor_texts(self, wait: Deadline | None) -> dict[str, str]:  # noqa: ARG002
        return dict(sorted(self._present_state().cursors.items()))

    def _change_cursor(
        self,
        name: str,
        change: Callable[[str | None], str | None],
        wait: Deadline | None = None,  # noqa: ARG002
    ) -> None:
        run_locked(self._writing, self._put_cursor, name, change)

    def _put_cursor(self, name: str, change: Callable[[str | None], str | None]) -> None:
        cursors = dict(self._present_state().cursors)
        text = change(cursors.pop(name, None))
        put = {} if text is None else {name: text}
        self._state = self._state._replace(cursors=cursors | put)

    def _process(self) -> str:
        return "memory"  # no other process has it

    def _has_ended(self, process: str) -> bool:  # noqa: ARG002
        return True

    def snapshot(self, *, timeout: Timeout = ...) -> QueryView:
        self._deadline(timeout)
        self._check_open()
        return self._track(_MemoryView(self._state))

    def close(self, *, timeout: Timeout = ...) -> None:
        self._deadline(timeout)
        super().close()

    def __repr__(self) -> str:
        """The class, and whether it is closed."""
        return f"<MemoryEventStore{', closed' if self._closed else ''}>"


class _MemoryFeed(Feed["Event"]):
    """The events in a range of local ids, all that are there in one page."""

    def __init__(
        self,
        state: Callable[[], _State],
        lineage: Lineage,
        after: int,
        until: int | None,
        query: Query,
    ) -> None:
        self._state = state
        self._lineage = lineage
        self._after, self._until = after, until
        self._query = query

    def next_page(self) -> Page[Event, str] | None:
        state = self._state()
        reached = state.last if self._until is None else min(state.last, self._until)
        if reached <= self._after:
            return None
        inside = range(self._after + 1, reached + 1)
        found = [e for e in state.entries if e.position.local_id in inside]
        found = [e for e in found if self._query.admits(e.event)]
        found.sort(key=lambda entry: entry.position.local_id)
        position = self._lineage.position
        events = [_copy(entry.event) for entry in found]
        page = Page(
            events, lambda n: position(found[n].position.local_id), lambda: position(reached)
        )
        self._after = reached
        return page

    def wait(self, seconds: float) -> None:
        time.sleep(min(seconds, LOOK))

    def end(self) -> None:
        pass  # it never waits long


def _copy(event: Event) -> Event:
    return event._replace(tags=list(event.tags))
