"""What the package's stores share: the calls about the order of commits.

Rules: an argument is refused in the same words everywhere, before anything is read; a store only
has to say where it is, and to give a feed of its events. A follower waits for no write: what is not
committed yet comes later.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from lmdbstore.contract.query import checked_conditions, checked_timeout
from lmdbstore.contract.query_view import QueryView
from lmdbstore.contract.search import Changes

from .follower import Follower

if TYPE_CHECKING:
    from lmdbstore.contract.event import Event
    from lmdbstore.contract.query import Query
    from lmdbstore.contract.types import Strings, Timeout
    from lmdbstore.threads.deadline import Deadline

    from .follower import Feed
    from .position import Lineage, Present

__all__ = ["Following"]


class Following(QueryView):
    """The calls of a store about the order of commits."""

    @abstractmethod
    def _present(self) -> Present:
        """Return where the store is, without waiting for a write."""

    @abstractmethod
    def _present_after_writes(self, wait: Deadline | None) -> Present:
        """Return where the store is after the write under way."""

    @abstractmethod
    def _feed(self, lineage: Lineage, after: int, until: int | None, query: Query) -> Feed[Event]:
        """Return the events that a query admits, in a range of numbers; None: with later ones."""

    def position(self, *, timeout: Timeout = ...) -> str:
        present = self._present_after_writes(self._deadline(timeout))
        return present.lineage.position(present.last)

    def changes(  # noqa: PLR0913
        self,
        after: str,
        until: str | None = None,
        flags: Strings | None = None,
        match: str | None = None,
        *,
        source: str | None = None,
        timeout: Timeout = ...,
    ) -> Changes:
        wait = self._deadline(timeout)
        self._check_open()
        query = checked_conditions(flags, match, source)
        present = self._present_after_writes(wait)
        low = present.after(after)
        high = present.last if until is None else present.number("until", until)
        feed = self._feed(present.lineage, low, high, query)
        return self._track(Changes(feed, present.lineage.position(low), query))

    def follow(
        self,
        after: str | None = None,
        flags: Strings | None = None,
        match: str | None = None,
        *,
        source: str | None = None,
        timeout: float | None = None,
    ) -> Changes:
        self._check_open()
        limit, query = checked_timeout(timeout), checked_conditions(flags, match, source)
        present = self._present()
        low = present.last if after is None else present.after(after)
        follower = Follower(self._feed(present.lineage, low, None, query), limit)
        return self._track(Changes(follower, present.lineage.position(low), query))
