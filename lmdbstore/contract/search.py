"""What reading a store returns: a search in time order, and changes in the order of commits."""

from __future__ import annotations

from operator import length_hint
from typing import TYPE_CHECKING

from .commits.paged import Paged
from .event import Event
from .left_out import LeftOut
from .query import Position

if TYPE_CHECKING:
    from collections.abc import Callable

    from .commits.follower import Source
    from .commits.paged import Page

__all__ = ["Changes", "Search"]


class Search(Paged[Event, Position]):
    """The events that a search finds, one after the other.

    `search` makes it. It may be made in one thread and read in another, and in several at once:
    each event is given once. A search that is abandoned costs nothing: no transaction is open
    while the caller has control.
    """

    def __init__(
        self,
        next_page: Callable[[], Page[Event, Position] | None],
        token: str | None = None,
        query: object = "events",
        left_out: Callable[[], LeftOut] = LeftOut,
        reached: Callable[[], Position | None] = lambda: None,
    ) -> None:
        """Read pages from `next_page`, until it returns None.

        `token` is where the search starts, and `query` is what `repr` shows of the conditions.
        `left_out` returns what the pages so far lack, and `reached` up to where nothing matched
        after the last page with events; None: there.
        """
        super().__init__(next_page, "a search")
        self._query = query
        self._token = token
        self._left_out = left_out
        self._passed = reached

    @property
    def token(self) -> str | None:
        """The position after the last event given, as a short string for `after=`.

        It stays valid across restarts, and when that event is deleted. Before the first event it is
        the token that the search began with, or None.
        """
        position = self._position()
        return self._token if position is None else position().token

    @property
    def reached(self) -> str | None:
        """The position up to which was read, for `after=`: `token`, or after it.

        Between the two nothing matches. A search that is closed before its end goes on from here.
        """
        position = self._passed()
        return self.token if position is None else position.token

    @property
    def left_out(self) -> LeftOut:
        """What was damaged and left out so far, with `damaged="skip"`.

        Events are read ahead of those that were given, some hundred at a time.
        """
        return self._left_out()

    def __repr__(self) -> str:
        """The conditions, and the position after which the search continues."""
        token, ended = self.token, self._next_page is None and not length_hint(self._page.rest)
        place = "" if token is None else f", at {token!r}"
        return f"<Search for {self._query}{place}{', ended' if ended else ''}>"


class Changes(Paged[Event, str]):
    """Events in the order in which they were saved, one after the other.

    `changes` and `follow` make it. It may be made in one thread and read in another, and in several
    at once: each event is given once. No transaction is open while it waits, or while the caller
    has control. Ctrl-C ends a wait, and nothing is lost: it can be read on.
    """

    def __init__(self, source: Source[Event], position: str, query: object = "events") -> None:
        """Read pages from a source; `position` is where it starts."""
        super().__init__(source.next_page, "changes")
        self._source = source
        self._start = position
        self._query = query

    @property
    def position(self) -> str:
        """The position after the last event given, as a short string.

        It is after all events that were found not to match, too, if none came that does. It is for
        `follow`, and for `after=` and `until=` of `changes`, and stays valid across restarts.
        """
        position = self._position()
        return self._start if position is None else position()

    def stop(self, next_page: Callable[[], Page[Event, str] | None] | None) -> None:
        """Drop what was not given, and continue with `next_page` (for stores)."""
        super().stop(next_page)
        self._source.end()  # a thread that waits goes on with `next_page`

    def __repr__(self) -> str:
        """The conditions, and the position after which it continues."""
        ended = self._next_page is None and not length_hint(self._page.rest)
        return f"<Changes: {self._query}, at {self.position!r}{', ended' if ended else ''}>"
