"""Purging: choosing the events that are too old or too many, and deleting them.

Rules: the events are chosen from the oldest on, a page at a time, up to the number that was
published when the purge began; only their ids are read, unless their contents must be compared. A
page is deleted in one transaction, by ids and numbers: an id that was used again keeps its event.

Dropping partitions by time would be faster. But then no unique index on ids is possible, so that
each save would have to look for its id, and note it, in a second table. With 400,000 events on an
idle machine that takes 13 us more for each event that is saved, and 11 us less for each that is
purged (`bench.servers.partitions`): no gain in all, and saving is what programs wait for.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from lmdbstore.contract.commits.shelf import state_in
from lmdbstore.contract.query import Position, Query
from lmdbstore.sql.reading.conditions import (
    Statement,
    event_of,
    is_exact,
    is_last,
    matching,
    page_of,
)
from lmdbstore.threads.re2_gate import run_engine

from .changes import RemoveNumbered

if TYPE_CHECKING:
    from lmdbstore.contract.asking.retained import Retained
    from lmdbstore.sql.reading.state import Reader, Rows
    from lmdbstore.threads.deadline import Deadline

    from .changes import Change

__all__ = ["Progress", "Purge", "PurgedRows", "held_after"]

Progress = Callable[[int, int], object]
PIECE = 8192  # events of a transaction
READ = 512  # events of a page whose contents are read


class PurgedRows(NamedTuple):
    """The events that a purge deleted, or would delete."""

    events: int
    oldest: float | None  # timestamps of the first and the last of them, in seconds
    newest: float | None
    left: int  # remaining events that `max_events` counts, whether they may be deleted or not
    held: int  # events passed over because a named cursor holds them


def held_after(cursors: dict[str, str]) -> int | None:
    """Return the number after which the named cursors hold every event; None: none is held."""
    states = [state_in(name, text) for name, text in cursors.items()]
    return min((state.after for state in states if state.hold), default=None)


class Purge:
    """One call of `purge`."""

    def __init__(
        self,
        reader: Reader,
        limits: Retained,
        held_after: int | None,
        waiting: Callable[[], Deadline],
    ) -> None:
        """Delete no event with a number above `held_after`; each step has a deadline of its own."""
        self._reader, self._limits, self._waiting = reader, limits, waiting
        self._held_after = math.inf if held_after is None else held_after
        self._before = -math.inf if limits.before is None else limits.before
        self._newest = reader.present(waiting())

    def run(
        self, write: Callable[[Change, Deadline], None] | None, progress: Progress | None
    ) -> PurgedRows:
        """Delete, through `write`; None: only say what would be deleted."""
        counted = self._count(self._limits.counted)
        most = self._limits.max_events
        surplus = 0 if most is None else counted - most
        wanted = max(surplus, self._old())
        events = held = passed = 0
        oldest = newest = None
        query: Query | None = self._limits.chosen
        while query is not None:
            rows, query = self._page(query)
            due = [row for n, row in enumerate(rows, passed) if self._is_due(row, n, surplus)]
            passed += len(due)
            free = [row for row in due if row[6] <= self._held_after]
            held += len(due) - len(free)
            removed = self._remove(free, write)
            if removed:
                oldest = free[0][2] if oldest is None else oldest
                newest = free[-1][2]
            events += removed
            if progress is not None and removed:
                progress(events, wanted)
            if len(due) < len(rows):
                break
        return PurgedRows(events, oldest, newest, counted - events, held)

    def _is_due(self, row: tuple[object, ...], number: int, surplus: int) -> bool:
        return row[2] < self._before or number < surplus  # type: ignore[operator]  # a float

    def _old(self) -> int:
        """Return about how many events are too old."""
        if not is_exact(self._limits.chosen) or self._before == -math.inf:
            return 0
        return self._count(self._limits.chosen._replace(ts_end=self._before))

    def _count(self, query: Query) -> int:
        if is_exact(query):
            return int(self._rows("count(*)", query, "")[0][0])
        number, after = 0, query
        while True:
            rows, following = self._page(after)
            number += len(rows)
            if following is None:
                return number
            after = following

    def _page(self, query: Query) -> tuple[Rows, Query | None]:
        """Return the next events that match, and the query for those after them; None: the end."""
        if is_exact(query):
            columns = "id, NULL, ts, NULL, NULL, NULL, seq"
            rows = self._rows(columns, query, f"ORDER BY ts, seq LIMIT {PIECE}")
            whole = len(rows) < PIECE
        else:
            rows = self._read(query)
            whole = is_last(rows, READ)
        after = None if whole else query._replace(after=Position(rows[-1][2], rows[-1][6]))
        return (rows if is_exact(query) else run_engine(_admitted, query, rows)), after

    def _read(self, query: Query) -> Rows:
        """Return the next events with their contents."""
        events = self._reader.names.events

        def statement(head: int | None) -> Statement:
            return page_of(events, matching(query, self._newest, head), "ts, seq", READ)

        return self._reader.rows(statement, self._waiting(), waits=False)

    def _rows(self, columns: str, query: Query, rest: str) -> Rows:
        events = self._reader.names.events

        def statement(head: int | None) -> Statement:
            condition = matching(query, self._newest, head)
            return Statement(
                f"SELECT {columns} FROM {events} WHERE {condition.text} {rest}",
                condition.parameters,
            )

        return self._reader.rows(statement, self._waiting(), waits=False)

    def _remove(self, rows: Rows, write: Callable[[Change, Deadline], None] | None) -> int:
        if write is None or not rows:
            return len(rows)
        change = RemoveNumbered({row[0]: row[6] for row in rows})
        write(change, self._waiting())
        return change.removed


def _admitted(query: Query, rows: Rows) -> Rows:
    return [row for row in rows if query.admits(event_of(row))]
