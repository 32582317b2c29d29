"""A search, and what follows a store, in an event loop: pages are read in threads, and given here.

Rules: a page that was read stays where it was read to, so a cancelled wait loses no event: the next
one waits for the page that is being read. Of each search one thread reads, for all of its tasks.
That thread holds no reference to what the program has: so what the program drops is closed, even
while a thread waits for events that never come.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from lmdbstore.contract.left_out import LeftOut
from lmdbstore.contract.search import Changes, Search
from lmdbstore.threads.run_locked import run_locked

from .cancelling import Work, result_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from lmdbstore.contract.commits.paged import Paged
    from lmdbstore.contract.event import Event

    from .outcome import Outcome

    Run = Callable[[Callable[[], bool]], Outcome[bool]]

__all__ = ["AsyncChanges", "AsyncPaged", "AsyncSearch"]

R = TypeVar("R", bound="Paged[Event, Any]")


class _Reading(Generic[R]):
    """What a thread has to do with: a search, which it begins."""

    def __init__(self, begin: Callable[[], R]) -> None:
        self._begin = begin
        self._lock = threading.RLock()  # around the next two; held for a moment only
        self._closed = False
        self.found: R | None = None

    def begin(self) -> bool:
        """Begin it, unless it has begun; return whether it is open."""
        if self.found is None and not self._closed:
            found = self._begin()
            if run_locked(self._lock, self._opened, found):
                found.close()
        return not self._closed

    def _opened(self, found: R) -> bool:
        """Note what was opened; return whether it was closed in the meantime."""
        self.found = found
        return self._closed

    def read_ahead(self) -> bool:
        """Read the next page; return whether there is one."""
        return self.begin() and self.found is not None and self.found.read_ahead()

    def close(self) -> None:
        if (found := run_locked(self._lock, self._ended)) is not None:
            found.close()

    def drop(self) -> None:
        """Give no more, and write nothing."""
        if (found := run_locked(self._lock, self._ended)) is not None:
            found.stop(None)

    def _ended(self) -> R | None:
        self._closed = True
        return self.found


class AsyncPaged(AsyncIterator["Event"], Generic[R]):
    """Events, one after the other: `async for` gives them."""

    def __init__(self, begin: Callable[[], R], run: Run) -> None:
        """Begin with `begin`, in a thread of `run`."""
        self._reading = _Reading(begin)
        self._run = run
        self._under_way: Outcome[bool] | None = None

    def __aiter__(self) -> Self:
        """Give the events that were not given yet."""
        return self

    async def __anext__(self) -> Event:
        """Give the next event; raises what `next` raises, and the call that made this."""
        reading = self._reading
        while (found := reading.found) is None or not found.ready:
            if not await self._in_thread(reading.read_ahead):
                raise StopAsyncIteration
        return next(found)

    async def _in_thread(self, work: Callable[[], bool]) -> bool:
        """Wait for what a thread is doing already, or let one do this."""
        under_way = self._under_way
        if under_way is None or under_way.done():
            under_way = self._under_way = self._run(work)
        return await result_of(under_way, Work.SHARED)

    async def aclose(self) -> None:
        """Give no more events, also to a task that waits. Calling it again does nothing."""
        self._reading.close()

    async def __aenter__(self) -> Self:
        """Begin, and return the object itself; raises what the call that made this raises."""
        if self._reading.found is None:
            await self._in_thread(self._reading.begin)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        await self.aclose()

    def __del__(self) -> None:
        self._reading.close()


class AsyncSearch(AsyncPaged[Search]):
    """The events that a search finds: `async for` gives them.

    The search begins at the start of an `async with` block, or when the first event is asked for:
    then wrong arguments raise, and events that are saved later are not found. A search that is
    abandoned costs nothing. Several tasks may share one: each event is given once. If a task is
    cancelled while it waits, no event is lost.
    """

    @property
    def token(self) -> str | None:
        """The position after the last event given, for `after=`; see `Search.token`.

        Before the search has begun it is None.
        """
        found = self._reading.found
        return None if found is None else found.token

    @property
    def reached(self) -> str | None:
        """The position up to which was read, for `after=`; see `Search.reached`."""
        found = self._reading.found
        return None if found is None else found.reached

    @property
    def left_out(self) -> LeftOut:
        """What was damaged and left out so far, with `damaged="skip"`; see `Search.left_out`."""
        found = self._reading.found
        return LeftOut() if found is None else found.left_out


class AsyncChanges(AsyncPaged[Changes]):
    """Events in the order in which they were saved: `async for` gives them.

    It begins at the start of an `async with` block, or when the first event is asked for. So `async
    with store.follow() as events` gives every event that is saved in the block. Several tasks may
    share one: each event is given once. If a task is cancelled while it waits, no event is lost.
    What waits for new events has a thread of its own: it ends with `aclose`, the `async with`
    block, the store, or when the program drops the object.
    """

    @property
    def position(self) -> str | None:
        """The position after the last event given, for `changes` and `follow`.

        See `Changes.position`. Before it has begun it is None.
        """
        found = self._reading.found
        return None if found is None else found.position
