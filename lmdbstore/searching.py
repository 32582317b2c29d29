"""`search`, `count` and `explain` of our own stores: arguments in, a checked `Query` out.

Both stores and the snapshots share it, so that an argument is refused in the same words
everywhere. What is left to a store is to answer a `Query`.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from .api import EventView
from .query import Position, Query, checked_query

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .event import Event
    from .search import Search

__all__ = ["QueryView"]


class QueryView(EventView):
    """A view that answers queries."""

    @abstractmethod
    def _locate(self, event_id: str) -> Position:
        """Return where an event stands; EventNotFound where there is none."""

    @abstractmethod
    def _search(self, query: Query) -> Search: ...

    @abstractmethod
    def _count(self, query: Query) -> int: ...

    @abstractmethod
    def _explain(self, query: Query) -> str: ...

    @abstractmethod
    def _check_open(self) -> None:
        """Raise StoreClosed if the view was closed."""

    def search(  # noqa: PLR0913
        self,
        ts_start: float | None = None,
        ts_end: float | None = None,
        flags: Iterable[str] | None = None,
        match: str | None = None,
        order: str = "asc",
        *,
        source: str | None = None,
        limit: int | None = None,
        after: Event | str | None = None,
    ) -> Search:
        """See `EventView.search`."""
        return self._search(
            self._query(ts_start, ts_end, flags, match, order, source, limit, after)
        )

    def count(  # noqa: PLR0913
        self,
        ts_start: float | None = None,
        ts_end: float | None = None,
        flags: Iterable[str] | None = None,
        match: str | None = None,
        order: str = "asc",
        *,
        source: str | None = None,
        limit: int | None = None,
        after: Event | str | None = None,
    ) -> int:
        """See `EventView.count`."""
        return self._count(self._query(ts_start, ts_end, flags, match, order, source, limit, after))

    def explain(  # noqa: PLR0913
        self,
        ts_start: float | None = None,
        ts_end: float | None = None,
        flags: Iterable[str] | None = None,
        match: str | None = None,
        order: str = "asc",
        *,
        source: str | None = None,
        limit: int | None = None,
        after: Event | str | None = None,
    ) -> str:
        """See `EventView.explain`."""
        return self._explain(
            self._query(ts_start, ts_end, flags, match, order, source, limit, after)
        )

    def _query(  # noqa: PLR0913, PLR0917
        self,
        ts_start: object,
        ts_end: object,
        flags: object,
        match: object,
        order: object,
        source: object,
        limit: object,
        after: object,
    ) -> Query:
        self._check_open()
        return checked_query(
            ts_start,
            ts_end,
            flags,
            match,
            order,
            source=source,
            limit=limit,
            after=after,
            locate=self._locate,
        )
