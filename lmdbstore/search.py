"""What a search returns: an iterator over pages, with a token for the place it has come to.

Rules: a page is a list of events that was read at once; between two pages nothing is held open.
The events of a page are handed out by the list's own iterator, in C, which several threads may
share; turning to the next page is done by one thread at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import length_hint
from typing import TYPE_CHECKING, NamedTuple, Self

from .locks import ForkLock

if TYPE_CHECKING:
    from types import TracebackType

    from .event import Event
    from .query import Position

__all__ = ["Page", "Search"]


class Page(NamedTuple):
    """Events that were read at once (at least one), and where each of them stands."""

    events: list[Event]
    position: Callable[[int], Position]


class Search(Iterator["Event"]):
    """The events that a search finds, one after the other.

    It may be made in one thread and read in another, and in several at once: each event is given
    once. It costs nothing to forget one: no transaction is open while the caller has control.
    """

    def __init__(self, next_page: Callable[[], Page | None], token: str | None = None) -> None:
        """Read pages from `next_page`, until it returns None; `token` is where it starts."""
        self._next_page: Callable[[], Page | None] | None = next_page  # None at the end
        self._token = token
        # The page being given out and its iterator, replaced together: the token needs both.
        self._open: tuple[Page | None, Iterator[Event]] = (None, iter(()))
        self._turning = ForkLock()

    @property
    def token(self) -> str | None:
        """The position behind the last event given, as a short string for `after=`.

        It stays good across restarts, and when that event is deleted. Before the first event it
        is the token that the search began with, or None.
        """
        page, events = self._open
        if page is not None:
            given = len(page.events) - length_hint(events)
            if given:
                return page.position(given - 1).token
        return self._token

    def __iter__(self) -> Iterator[Event]:  # noqa: PYI034  shares this search's place
        """Give the events that were not given yet."""
        while self._turn():
            yield from self._open[1]

    def __next__(self) -> Event:
        """Give the next event.

        Raises:
            StoreClosed: the store was closed before the search was read to its end.
            EventReadException: the store could not be read.
        """
        for event in self._open[1]:
            return event
        while self._turn():
            for event in self._open[1]:
                return event
        raise StopIteration

    def close(self) -> None:
        """Give no more events. Calling it again does nothing."""
        self.stop(None)

    def stop(self, next_page: Callable[[], Page | None] | None) -> None:
        """Drop the events that were not given, and go on with `next_page` (for stores).

        A search that is at its end stays there.
        """
        with self._turning:
            if self._next_page is None:
                return
            page, _ = self._open
            self._token = self.token
            self._next_page = next_page
            self._open = (None, iter(()))
            if page is not None:
                page.events.clear()  # ends every iterator that still reads the page

    def _turn(self) -> bool:
        """Open a page that has an event left to give; False at the end."""
        if length_hint(self._open[1]):
            return True
        with self._turning:
            if length_hint(self._open[1]):
                return True
            page = None if self._next_page is None else self._next_page()
            self._token = self.token
            if page is None:
                self._next_page = None
                self._open = (None, iter(()))
                return False
            self._open = (page, iter(page.events))
            return True

    def __enter__(self) -> Self:
        """Return the search itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the search."""
        self.close()
