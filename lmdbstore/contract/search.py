"""What a search returns: an iterator over pages, with a token for the place it has reached.

Rules: a page is a list of events that was read at once; nothing is held open between two pages. The
list's own iterator, in C, gives the events of a page, and several threads may share it. Only one
thread at a time opens the next page. Stopping a search waits for no thread: one that is opening a
page then drops it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from operator import length_hint
from threading import get_ident
from typing import TYPE_CHECKING, NoReturn

from lmdbstore.errors import EventReadException
from lmdbstore.threads.fork_lock import ForkLock
from lmdbstore.threads.reentry import reentry

from .closing import Closable
from .left_out import LeftOut

if TYPE_CHECKING:
    from .event import Event
    from .query import Position

__all__ = ["Page", "Search"]


class Page:
    """Events that were read at once (at least one), and the position of each."""

    __slots__ = ("events", "position", "rest")

    def __init__(self, events: list[Event], position: Callable[[int], Position]) -> None:
        """Hold `events`; `position(n)` returns the position of event number n."""
        self.events = events
        self.position = position
        self.rest = iter(events)  # the events not given yet

    @property
    def given(self) -> int:
        """Return how many were given; zero or less after the events were dropped."""
        left = length_hint(self.rest)  # first: another thread may drop the events
        return len(self.events) - left


class Search(Iterator["Event"], Closable):
    """The events that a search finds, one after the other.

    `search` makes it. It may be made in one thread and read in another, and in several at once:
    each event is given once. A search that is abandoned costs nothing: no transaction is open
    while the caller has control.
    """

    def __init__(
        self,
        next_page: Callable[[], Page | None],
        token: str | None = None,
        query: object = "events",
        left_out: Callable[[], LeftOut] = LeftOut,
    ) -> None:
        """Read pages from `next_page`, until it returns None.

        `token` is where the search starts, and `query` is what `repr` shows of the conditions.
        `left_out` returns what the pages so far lack.
        """
        self._query = query
        self._next_page: Callable[[], Page | None] | None = next_page  # None at the end
        self._token = token
        self._left_out = left_out
        self._reached: Callable[[], Position] | None = None  # after a page: instead of the token
        self._page = Page([], _nowhere)
        self._opening = ForkLock()
        # The process and the thread that has the lock and opens a page. A forked child inherits the
        # note of a thread that it does not have.
        self._opener: tuple[int, int] | None = None

    @property
    def token(self) -> str | None:
        """The position after the last event given, as a short string for `after=`.

        It stays valid across restarts, and when that event is deleted. Before the first event it is
        the token that the search began with, or None.
        """
        position = self._position()
        return self._token if position is None else position().token

    @property
    def left_out(self) -> LeftOut:
        """What was damaged and left out so far, with `damaged="skip"`.

        Events are read ahead of those that were given, some hundred at a time.
        """
        return self._left_out()

    def _position(self) -> Callable[[], Position] | None:
        """Return a function for the position of the last event given, since few callers ask."""
        page = self._page  # read once: another thread may open the next page
        given = page.given
        return partial(page.position, given - 1) if given > 0 else self._reached

    def __iter__(self) -> Iterator[Event]:  # noqa: PYI034  shares this search's place
        """Give the events that were not given yet."""
        return chain.from_iterable(self._rests())  # in C, like the iterator of a page

    def _rests(self) -> Iterator[Iterator[Event]]:
        while self._has_page():
            yield self._page.rest

    def __next__(self) -> Event:
        """Give the next event.

        Raises:
            StoreClosed: the store was closed before the search was read to its end.
            EventReadException: the store could not be read.
        """
        for event in self._page.rest:
            return event
        while self._has_page():
            for event in self._page.rest:
                return event
        raise StopIteration

    def close(self) -> None:
        """Give no more events. Calling it again does nothing."""
        self.stop(None)

    def stop(self, next_page: Callable[[], Page | None] | None) -> None:
        """Drop the events that were not given, and continue with `next_page` (for stores).

        A search that is at its end stays there.
        """
        # No call comes between this check and the assignment, nor where `_open_pages` does the
        # same: the interpreter switches threads, and runs signal handlers, in calls and loops only.
        if self._next_page is None:
            return
        self._next_page = next_page
        page = self._page
        self._reached = self._position()
        self._page = Page([], _nowhere)
        page.events.clear()  # ends every iterator that still reads the page

    def _has_page(self) -> bool:
        """Open a page that has an event left to give; False at the end."""
        if length_hint(self._page.rest):
            return True
        return self._opening.run(self._open_next)

    def _open_next(self) -> bool:
        opener = os.getpid(), get_ident()
        if self._opener == opener:
            raise reentry(EventReadException, "reading a search")
        try:
            self._opener = opener
            return self._open_pages()
        finally:
            self._opener = None

    def _open_pages(self) -> bool:
        while not length_hint(self._page.rest):
            self._reached = self._position()
            next_page = self._next_page
            if next_page is None:
                return False
            # `next_page` has advanced when it returns a page, so nothing may come in between.
            page = next_page()
            if self._next_page is not next_page:
                continue  # another thread, or a signal handler, stopped the search: see `stop`
            if page is None:
                self._next_page = None
            else:
                self._page = page
        return True

    def __repr__(self) -> str:
        """The conditions, and the position after which the search continues."""
        token, ended = self.token, self._next_page is None and not length_hint(self._page.rest)
        place = "" if token is None else f", at {token!r}"
        return f"<Search for {self._query}{place}{', ended' if ended else ''}>"


def _nowhere(_: int) -> NoReturn:
    raise IndexError("an empty page has no positions")
