"""Results that are read page by page: an iterator, and the place that it has reached.

Rules: a page is a list of items that was read at once; nothing is held open between two pages. The
list's own iterator, in C, gives the items of a page, and several threads may share it. Only one
thread at a time opens the next page. Stopping waits for no thread: one that is opening a page then
drops it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from operator import length_hint
from threading import get_ident
from typing import Generic, NoReturn, TypeVar

from lmdbstore.contract.closing import Closable
from lmdbstore.errors import EventReadException
from lmdbstore.threads.fork_lock import ForkLock
from lmdbstore.threads.reentry import reentry

__all__ = ["Page", "Paged"]

T = TypeVar("T")  # an item
P = TypeVar("P")  # a place


class Page(Generic[T, P]):
    """Items that were read at once, and the place of each.

    A page may be empty if it says where its reading ended.
    """

    __slots__ = ("end", "events", "position", "rest", "size")

    def __init__(
        self, events: list[T], position: Callable[[int], P], end: Callable[[], P] | None = None
    ) -> None:
        """Hold `events`; `position(n)` returns the place of number n.

        `end` returns where reading continues after the page; None: after its last item.
        """
        self.events = events
        self.position = position
        self.end = end
        self.size = len(events)
        self.rest = iter(events)  # what was not given yet

    @property
    def given(self) -> int:
        """Return how many were given; zero or less after the items were dropped."""
        left = length_hint(self.rest)  # first: another thread may drop the items
        return len(self.events) - left

    @property
    def reached(self) -> Callable[[], P] | None:
        """Return a function for the place after what was given; None: nothing was given yet."""
        given = self.given
        if self.end is not None and given == self.size:
            return self.end
        return partial(self.position, given - 1) if given > 0 else None


class Paged(Iterator[T], Closable, Generic[T, P]):
    """Items, one after the other.

    It may be made in one thread and read in another, and in several at once: each item is given
    once. One that is abandoned costs nothing: no transaction is open while the caller has control.
    """

    def __init__(self, next_page: Callable[[], Page[T, P] | None], what: str) -> None:
        """Read pages from `next_page`, until it returns None; `what` is the name of the call."""
        self._what = what
        self._next_page: Callable[[], Page[T, P] | None] | None = next_page  # None at the end
        self._reached: Callable[[], P] | None = None  # after a page
        self._page: Page[T, P] = Page([], _nowhere)
        self._opening = ForkLock()
        # The process and the thread that has the lock and opens a page. A forked child inherits the
        # note of a thread that it does not have.
        self._opener: tuple[int, int] | None = None

    def _position(self) -> Callable[[], P] | None:
        """Return a function for the place after the last item given, since few callers ask."""
        # The page is read once: another thread may open the next one.
        return self._page.reached or self._reached

    def __iter__(self) -> Iterator[T]:  # noqa: PYI034  shares the place of this one
        """Give what was not given yet."""
        return chain.from_iterable(self._rests())  # in C, like the iterator of a page

    def _rests(self) -> Iterator[Iterator[T]]:
        while self._has_page():
            yield self._page.rest

    def __next__(self) -> T:
        """Give the next one.

        Raises:
            StoreClosed: the store was closed before this was read to its end.
            EventReadException: the store could not be read.
        """
        for item in self._page.rest:
            return item
        while self._has_page():
            for item in self._page.rest:
                return item
        raise StopIteration

    @property
    def ready(self) -> bool:
        """Whether `next` gives what was read already, and so does not wait."""
        return bool(length_hint(self._page.rest))

    def read_ahead(self) -> bool:
        """Read the next page unless something is ready; False: there is no more.

        Raises what `next` raises.
        """
        return self._has_page()

    def close(self) -> None:
        """Give no more. Calling it again does nothing."""
        self.stop(None)

    def stop(self, next_page: Callable[[], Page[T, P] | None] | None) -> None:
        """Drop what was not given, and continue with `next_page` (for stores).

        One that is at its end stays there.
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
        """Open a page that has something left to give; False at the end."""
        if length_hint(self._page.rest):
            return True
        return self._opening.run(self._open_next)

    def _open_next(self) -> bool:
        opener = os.getpid(), get_ident()
        if self._opener == opener:
            raise reentry(EventReadException, f"reading {self._what}")
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
                continue  # another thread, or a signal handler, stopped this: see `stop`
            if page is None:
                self._next_page = None
            else:
                self._page = page
        return True


def _nowhere(_: int) -> NoReturn:
    raise IndexError("an empty page has no positions")
