"""`AsyncEventStore`: a store of the contract for event loops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable
from contextlib import ExitStack, asynccontextmanager, suppress
from functools import partial, wraps
from typing import TYPE_CHECKING, Concatenate, ParamSpec, Self, TypeVar

from lmdbstore.contract.api import EventStore
from lmdbstore.errors import InvalidOption, shown

from .cancelling import Work, result_of
from .cursor import AsyncCursor
from .paged import AsyncChanges
from .saving import Saves
from .view import AsyncEventView, in_thread
from .workers import Workers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from types import TracebackType

    from lmdbstore.contract.commits.cursor import Cursor
    from lmdbstore.contract.event import Event
    from lmdbstore.contract.search import Changes
    from lmdbstore.contract.types import Checkpoint, OnDuplicate, SaveResult, Timeout

__all__ = ["AsyncEventStore"]

P = ParamSpec("P")
V = TypeVar("V")
THREADS = 8


def _changes(
    method: Callable[Concatenate[V, P], Changes], *, waits: bool
) -> Callable[Concatenate[AsyncEventStore, P], AsyncChanges]:
    """Return a method that makes changes, which begin later in a thread."""
    name = getattr(method, "__name__", "")

    @wraps(method)
    def changes(self: AsyncEventStore, /, *arguments: P.args, **named: P.kwargs) -> AsyncChanges:
        begin = partial(getattr(self._store, name), *arguments, **named)
        return AsyncChanges(begin, self._workers.run_apart if waits else self._workers.run)

    return changes


def _cursor(
    method: Callable[Concatenate[V, P], Cursor],
) -> Callable[Concatenate[AsyncEventStore, P], AsyncCursor]:
    """Return a method that makes a worker of a cursor, which begins later in a thread."""
    name = getattr(method, "__name__", "")

    @wraps(method)
    def cursor(self: AsyncEventStore, /, *arguments: P.args, **named: P.kwargs) -> AsyncCursor:
        begin = partial(getattr(self._store, name), *arguments, **named)
        return AsyncCursor(begin, self._workers.run_apart)

    return cursor


class AsyncEventStore(AsyncEventView):
    """A store for asyncio, trio and anyio: the methods of `EventStore`, to be awaited.

    It has the guarantees of the store that it works on, and raises the same. Saves that run at the
    same time, in any number of tasks, share a transaction and a flush; each gets its own error. A
    call that is cancelled has happened or not, and says which: see `lmdbstore.aio`.

    Any number of event loops may use one, and a forked child. Close it, or use it in an `async
    with` block: that closes the store that it works on, too.
    """

    def __init__(self, store: EventStore, *, threads: int = THREADS) -> None:
        """Work on `store`, in this number of threads, and one more for saves.

        Raises:
            InvalidOption: it is not a store, or not a number of threads.
        """
        if not isinstance(store, EventStore):
            raise InvalidOption(
                f"store: {shown(store)} is not an EventStore; pass one, or await "
                "AsyncEventStore.open(LMDBEventStore, path)"
            )
        super().__init__(store, Workers(threads))
        self._store = store
        self._saves = Saves(store, self._workers)

    @classmethod
    async def open(
        cls, make: Callable[P, EventStore], *arguments: P.args, **named: P.kwargs
    ) -> Self:
        """Make a store in a thread, such as `open(LMDBEventStore, "events", create=False)`.

        If this is cancelled, the store is closed before it raises.

        Raises:
            Exception: what `make` raises, such as StoreOpenError.
        """
        workers = Workers(1)
        opening = workers.run(partial(make, *arguments, **named))
        try:
            return cls(await result_of(opening, Work.MUST))
        except BaseException:
            if not opening.exception() and isinstance(store := opening.result(), EventStore):
                with suppress(asyncio.CancelledError):  # the one that is raised is the first
                    await result_of(workers.run(store.close), Work.MUST)
            raise
        finally:
            workers.close()

    async def save(
        self, event: Event, *, on_duplicate: OnDuplicate = "raise", timeout: Timeout = ...
    ) -> None:
        """Save one event: all of it or nothing; see `EventStore.save`.

        When this returns the event is visible, and as durable as the store says. It shares a flush
        with others unless `on_duplicate` or `timeout` is given.
        """
        if timeout is ... and on_duplicate == "raise":
            saved = self._saves.add(event)
        else:
            save = partial(self._store.save, event, on_duplicate=on_duplicate, timeout=timeout)
            saved = self._workers.run(save)
        await result_of(saved, Work.CHANGE)

    async def save_many(
        self,
        events: Iterable[Event] | AsyncIterable[Event],
        *,
        on_duplicate: OnDuplicate = "raise",
        checkpoint: Checkpoint | None = None,
        timeout: Timeout = ...,
    ) -> SaveResult:
        """Save all of the events, or none; see `EventStore.save_many`.

        An asynchronous iterable is read to its end first. Any other one is read in a thread.
        """
        if isinstance(events, AsyncIterable):
            events = [event async for event in events]
        save = partial(
            self._store.save_many,
            events,
            on_duplicate=on_duplicate,
            checkpoint=checkpoint,
            timeout=timeout,
        )
        return await result_of(self._workers.run(save), Work.CHANGE)

    stats = in_thread(EventStore.stats, Work.READ)
    position = in_thread(EventStore.position, Work.READ)
    changes = _changes(EventStore.changes, waits=False)
    follow = _changes(EventStore.follow, waits=True)
    cursor = _cursor(EventStore.cursor)
    cursors = in_thread(EventStore.cursors, Work.READ)
    delete_cursor = in_thread(EventStore.delete_cursor, Work.CHANGE)
    delete = in_thread(EventStore.delete, Work.CHANGE)
    delete_many = in_thread(EventStore.delete_many, Work.CHANGE)

    @asynccontextmanager
    async def snapshot(self, *, timeout: Timeout = ...) -> AsyncIterator[AsyncEventView]:
        """Return a view of the store as it is now, for an `async with` block.

        See `EventStore.snapshot`.
        """
        with ExitStack() as opened:  # closing a snapshot does not wait
            snapshot = partial(self._store.snapshot, timeout=timeout)
            enter = self._workers.run(lambda: opened.enter_context(snapshot()))
            yield AsyncEventView(await result_of(enter, Work.MUST), self._workers)

    async def close(self, *, timeout: Timeout = ...) -> None:
        """Close the store, after the calls that threads have under way; see `EventStore.close`.

        Calls that wait for a thread then raise StoreClosed. A cancelled `close` closes, too.
        """
        close = partial(self._store.close, timeout=timeout)
        await result_of(self._workers.run_apart(close), Work.MUST)
        self._workers.close()

    async def __aenter__(self) -> Self:
        """Return the store itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        await self.close()
