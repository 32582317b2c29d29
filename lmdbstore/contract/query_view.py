"""What the package's stores and snapshots share: checking arguments into a `Query`, and closing.

Rules: an argument is refused in the same words everywhere; a view only has to answer a `Query`. A
view that is closed also closes what was opened on it: searches that were not read to their end, and
snapshots.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import ref

from lmdbstore.errors import StoreClosed
from lmdbstore.threads.deadline import Deadline
from lmdbstore.threads.fork_lock import ForkLock

from .api import EventView
from .closing import Closable
from .commits.paged import Paged
from .left_out import Count
from .public_methods import own_public_methods
from .query import Position, Query, checked_query, checked_timeout

if TYPE_CHECKING:
    from .event import Event
    from .search import Search
    from .types import Damaged, Order, Strings, Time, Timeout, Where

__all__ = ["QueryView"]

Opened = TypeVar("Opened", bound="Paged[Any, Any] | QueryView")


class QueryView(EventView, Closable):
    """A view that answers queries."""

    def __init_subclass__(cls, **named: Any) -> None:
        """Give a class of the package its own public methods; see `contract.public_methods`."""
        super().__init_subclass__(**named)
        if cls.__module__.startswith(__name__.partition(".")[0] + "."):
            own_public_methods(cls)

    _limit: float | None = None  # seconds; how long a call may wait for others
    _closed = False  # also while a constructor fails
    _when_closed = "the store is closed; open it again"  # what its calls then raise

    def __init__(self) -> None:
        """Make an open view."""
        self._closed = False
        self._opening = ForkLock()
        # Changed and listed in built-in calls: what is garbage leaves by itself.
        self._opened: set[ref[Paged[Any, Any] | QueryView]] = set()

    def _track(self, opened: Opened) -> Opened:
        """Register what must end with this view."""
        return self._opening.run(self._add_opened, opened)

    def _add_opened(self, opened: Opened) -> Opened:
        self._check_open()
        self._opened.add(ref(opened, self._opened.discard))
        return opened

    def _end(self) -> None:
        """Close the view and what was opened on it; waits for no thread that uses it."""
        for item in self._opening.run(self._close_to_new):
            if isinstance(item, Paged):
                item.stop(self._no_page)
            else:
                item._end()  # noqa: SLF001  a view of this class

    def _close_to_new(self) -> list[Paged[Any, Any] | QueryView]:
        """Refuse to open more on this view; return what is open."""
        self._closed = True
        return [item for found in list(self._opened) if (item := found()) is not None]

    def close(self) -> None:
        """Close the view. Closing again does nothing."""
        self._end()

    def _no_page(self) -> None:
        self._check_open()

    def _check_open(self) -> None:
        """Raise StoreClosed if the view was closed."""
        if self._closed:
            raise StoreClosed(self._when_closed)

    @abstractmethod
    def _locate(self, wait: Deadline | None, event_id: str) -> Position:
        """Return the position of an event; raises EventNotFound if there is none."""

    @abstractmethod
    def _number_of(self, wait: Deadline | None, position: object) -> int:
        """Return the number of the last event before a position, given as `at`.

        Raises InvalidQuery if it is not a position of the view's past.
        """

    @abstractmethod
    def _search(self, query: Query, wait: Deadline | None) -> Search: ...

    @abstractmethod
    def _count(self, query: Query, wait: Deadline | None) -> int: ...

    @abstractmethod
    def _explain(self, query: Query, wait: Deadline | None) -> str: ...

    def search(  # noqa: PLR0913
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
        wait = self._deadline(timeout, after, at)
        self._check_open()
        query = checked_query(
            ts_start,
            ts_end,
            flags,
            match,
            order,
            locate=partial(self._locate, wait),
            number_of=partial(self._number_of, wait),
            source=source,
            any_flags=any_flags,
            not_flags=not_flags,
            where=where,
            limit=limit,
            after=after,
            damaged=damaged,
            at=at,
        )
        return self._search(query, wait)

    def count(  # noqa: PLR0913
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
    ) -> Count:
        wait = self._deadline(timeout, after, at)
        self._check_open()
        query = checked_query(
            ts_start,
            ts_end,
            flags,
            match,
            order,
            locate=partial(self._locate, wait),
            number_of=partial(self._number_of, wait),
            source=source,
            any_flags=any_flags,
            not_flags=not_flags,
            where=where,
            limit=limit,
            after=after,
            damaged=damaged,
            at=at,
        )
        if query.skip_damaged:  # to know what is damaged, all has to be read
            found = self._search(query, wait)
            return Count(sum(1 for _ in found), found.left_out)
        return Count(self._count(query, wait))

    def explain(  # noqa: PLR0913
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
    ) -> str:
        wait = self._deadline(timeout, after, at)
        self._check_open()
        query = checked_query(
            ts_start,
            ts_end,
            flags,
            match,
            order,
            locate=partial(self._locate, wait),
            number_of=partial(self._number_of, wait),
            source=source,
            any_flags=any_flags,
            not_flags=not_flags,
            where=where,
            limit=limit,
            after=after,
            damaged=damaged,
            at=at,
        )
        return self._explain(query, wait)

    def _deadline(
        self, timeout: object, after: object = None, at: object = None
    ) -> Deadline | None:
        """Return the deadline of the call that begins; None: that of the store, for its one read.

        A call that continues after an event, or that is about a position, reads twice.
        """
        if timeout is not ...:
            return Deadline(checked_timeout(timeout))
        if (after is None and at is None) or self._limit is None:
            return None
        return Deadline(self._limit)

    def _conditions(self, given: dict[str, Any], wait: Deadline | None) -> Query:
        """Return the query of a call that has only conditions on events."""
        self._check_open()
        names = ("ts_start", "ts_end", "flags", "match", "source", "limit", "after")
        arguments: Any = dict.fromkeys(names) | {"order": "asc"} | given
        return checked_query(
            **arguments,
            locate=partial(self._locate, wait),
            number_of=partial(self._number_of, wait),
        )
