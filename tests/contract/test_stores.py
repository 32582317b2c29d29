"""Every store keeps the contract, and so does a store with only the abstract methods."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import EventStore, EventView, LMDBEventStore, MemoryEventStore
from lmdbstore.testing import EventStoreContract

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from lmdbstore import Changes, Cursor, CursorInfo, Event, SaveResult, Search
    from lmdbstore.contract.types import Damaged, Order, Strings, Time, Timeout, Where


class TestMemory(EventStoreContract):
    @pytest.fixture
    def store(self) -> Iterator[EventStore]:
        with MemoryEventStore() as store:
            yield store


class TestLMDB(EventStoreContract):
    """With the default options: every save is on the disk when it returns."""

    @pytest.fixture
    def store(self, path: Path) -> Iterator[EventStore]:
        with LMDBEventStore(path) as store:
            yield store


class TestLMDBThatNeverWaits(EventStoreContract):
    """Without flushes and without waiting for writers."""

    @pytest.fixture
    def store(self, path: Path) -> Iterator[EventStore]:
        with LMDBEventStore(path, durability="none", consistency="snapshot") as store:
            yield store


class TestAbstractMethodsOnly(EventStoreContract):
    """The methods that `EventView` and `EventStore` build on the abstract methods are correct."""

    @pytest.fixture
    def store(self) -> Iterator[EventStore]:
        with MinimalStore() as store:
            yield store


class MinimalView(EventView):
    """The abstract methods of a view, delegated to another view."""

    def __init__(self, view: EventView) -> None:
        self._view = view

    def get(self, *arguments: Any, **named: Any) -> Any:
        return self._view.get(*arguments, **named)

    def checkpoint(self, name: str, *, timeout: Timeout = ...) -> str | None:
        return self._view.checkpoint(name, timeout=timeout)

    def checkpoints(self, prefix: str = "", *, timeout: Timeout = ...) -> dict[str, str]:
        return self._view.checkpoints(prefix, timeout=timeout)

    def search(
        self,
        ts_start: Time | None = None,
        ts_end: Time | None = None,
        flags: Strings | None = None,
        match: str | None = None,
        order: Order = "asc",
        *,
        source: str | None = None,
        any_flags: Strings | None = None,
        not_flags: Strings | None = None,
        where: Where | None = None,
        limit: int | None = None,
        after: Event | str | None = None,
        damaged: Damaged = "raise",
        at: str | None = None,
        timeout: Timeout = ...,
    ) -> Search:
        named: Any = {"source": source, "limit": limit, "after": after, "timeout": timeout}
        named |= {"damaged": damaged, "where": where, "at": at}
        named |= {"any_flags": any_flags, "not_flags": not_flags}
        return self._view.search(ts_start, ts_end, flags, match, order, **named)


class MinimalStore(MinimalView, EventStore):
    """The abstract methods of a store, delegated to a store in memory."""

    _view: MemoryEventStore

    def __init__(self) -> None:
        super().__init__(MemoryEventStore())

    def save(self, event: Event, **named: Any) -> None:
        self._view.save(event, **named)

    def save_many(self, events: Iterable[Event], **named: Any) -> SaveResult:
        return self._view.save_many(events, **named)

    def delete(self, event_id: Any, *, timeout: Timeout = ...) -> None:
        self._view.delete(event_id, timeout=timeout)

    def delete_many(self, ids: Any, *, timeout: Timeout = ...) -> int:
        return self._view.delete_many(ids, timeout=timeout)

    def position(self, *, timeout: Timeout = ...) -> str:
        return self._view.position(timeout=timeout)

    def cursor(self, name: str, *rest: Any, **named: Any) -> Cursor:
        return self._view.cursor(name, *rest, **named)

    def cursors(self, *, timeout: Timeout = ...) -> dict[str, CursorInfo]:
        return self._view.cursors(timeout=timeout)

    def delete_cursor(self, name: str, *, timeout: Timeout = ...) -> None:
        self._view.delete_cursor(name, timeout=timeout)

    def changes(self, after: str, until: str | None = None, *rest: Any, **named: Any) -> Changes:
        return self._view.changes(after, until, *rest, **named)

    @contextmanager
    def snapshot(self, *, timeout: Timeout = ...) -> Iterator[EventView]:
        with self._view.snapshot(timeout=timeout) as view:
            yield MinimalView(view)

    def close(self, *, timeout: Timeout = ...) -> None:
        self._view.close(timeout=timeout)
