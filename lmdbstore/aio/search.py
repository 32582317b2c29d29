"""A search in an event loop: each page is read in a thread, and its events are given here.

Rules: a page that was read stays in the search, so a cancelled wait loses no event: the next one
goes on with what was read in the meantime.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Self

from lmdbstore.contract.left_out import LeftOut

from .cancelling import Work, result_of

if TYPE_CHECKING:
    from types import TracebackType

    from lmdbstore.contract.event import Event
    from lmdbstore.contract.search import Search

    from .workers import Workers

__all__ = ["AsyncSearch"]


class AsyncSearch(AsyncIterator["Event"]):
    """The events that a search finds: `async for` gives them.

    The search begins when the first event is asked for: then wrong arguments raise, and events that
    are saved later are not found. A search that is abandoned costs nothing. Several tasks may share
    one: each event is given once. If a task is cancelled while it waits, no event is lost.
    """

    def __init__(self, begin: Callable[[], Search], workers: Workers) -> None:
        """Begin the search with `begin`, in a thread."""
        self._begin = begin
        self._workers = workers
        self._search: Search | None = None
        self._beginning = threading.Lock()  # taken in threads only
        self._closed = False

    @property
    def token(self) -> str | None:
        """The position after the last event given, for `after=`; see `Search.token`.

        Before the first event is asked for it is None.
        """
        return None if self._search is None else self._search.token

    @property
    def left_out(self) -> LeftOut:
        """What was damaged and left out so far, with `damaged="skip"`; see `Search.left_out`."""
        return LeftOut() if self._search is None else self._search.left_out

    def __aiter__(self) -> Self:
        """Give the events that were not given yet."""
        return self

    async def __anext__(self) -> Event:
        """Give the next event; raises what `next` of a `Search` raises, and `search` itself."""
        while (search := self._search) is None or not search.ready:
            more = not self._closed and await result_of(
                self._workers.run(self._read_ahead), Work.READ
            )
            if not more:
                raise StopAsyncIteration
        return next(search)

    def _read_ahead(self) -> bool:
        """Read the next page, in a thread; return whether there is one."""
        with self._beginning:
            if self._search is None:
                self._search = self._begin()
        return self._search.read_ahead()

    async def aclose(self) -> None:
        """Give no more events. Calling it again does nothing."""
        self._closed = True
        if self._search is not None:
            self._search.close()  # waits for nothing

    async def __aenter__(self) -> Self:
        """Return the search itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        await self.aclose()
