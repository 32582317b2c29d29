"""The events of a store in the order of commits.

Rules: only what is published is read, so a position is never after an event that may still appear
before it. While there is nothing new, the published number is asked for from time to time.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from lmdbstore.contract.commits.follower import LOOK, Feed
from lmdbstore.contract.commits.paged import Page
from lmdbstore.threads.re2_gate import run_engine

from .conditions import Statement, event_of, is_last, joined, matching, page_of

if TYPE_CHECKING:
    from lmdbstore.contract.commits.position import Lineage
    from lmdbstore.contract.event import Event
    from lmdbstore.contract.query import Query

    from .state import Reader, Rows

__all__ = ["SQLFeed"]

ROWS = 256  # of a page
LONGEST = 0.1  # seconds between two looks


class SQLFeed(Feed["Event"]):
    """The events with numbers after one, up to another one, or with all later ones."""

    def __init__(
        self, reader: Reader, lineage: Lineage, after: int, until: int | None, query: Query
    ) -> None:
        """Begin after the number `after`."""
        self._reader, self._lineage, self._query = reader, lineage, query
        self._place, self._until = after, until
        self._pause = LOOK
        self._ended = threading.Event()

    def next_page(self) -> Page[Event, str] | None:
        """Return the next page, or None if there is no more now."""
        high = self._reader.present(waits=False)
        if self._until is not None:
            high = min(high, self._until)
        low = self._place
        if high <= low:
            return None
        rows = self._rows(low, high)
        reached = high if is_last(rows, ROWS) else int(rows[-1][6])
        page = self._page(rows, reached)
        self._pause = LOOK
        self._place = reached
        return page

    def _rows(self, low: int, high: int) -> Rows:
        query = self._query._replace(pattern=None)  # in this order, it is compared here
        events = self._reader.names.events

        def statement(head: int | None) -> Statement:
            within = Statement("seq > %s AND seq <= %s", [low, high])
            condition = joined([within, matching(query, None, head)])
            return page_of(events, condition, "seq", ROWS)

        return self._reader.rows(statement, waits=False)

    def _page(self, rows: Rows, reached: int) -> Page[Event, str]:
        events, numbers = [event_of(row) for row in rows], [int(row[6]) for row in rows]
        if self._query.pattern is not None:
            chosen = run_engine(_admitted, self._query, events)
            events = [event for event, good in zip(events, chosen, strict=True) if good]
            numbers = [number for number, good in zip(numbers, chosen, strict=True) if good]
        position = self._lineage.position
        return Page(events, lambda n: position(numbers[n]), lambda: position(reached))

    def wait(self, seconds: float) -> None:
        """Wait until there may be more, at most so long."""
        self._ended.wait(min(seconds, self._pause))
        self._pause = min(2 * self._pause, LONGEST)

    def end(self) -> None:
        """Let a thread that waits return."""
        self._ended.set()


def _admitted(query: Query, events: list[Event]) -> list[bool]:
    return [query.admits(event) for event in events]
