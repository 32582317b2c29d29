"""The reading calls of a store on PostgreSQL, and of a snapshot of it.

Rules: a search reads pages by key: each goes on after the last event of the one before, so that
nothing is open in between and memory stays flat. What the server cannot decide (patterns, fields of
JSON) is decided here, page by page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, overload

from lmdbstore.contract.checking import checked_id, checked_name, checked_prefix
from lmdbstore.contract.commits.paged import Page
from lmdbstore.contract.counting.buckets import Tally
from lmdbstore.contract.counting.facets import Values
from lmdbstore.contract.query import Position, Query
from lmdbstore.contract.query_view import QueryView
from lmdbstore.contract.search import Search
from lmdbstore.errors import EventNotFound, shown
from lmdbstore.sql.texts import can_be_kept, key, original, stored
from lmdbstore.threads.deadline import Deadline
from lmdbstore.threads.re2_gate import run_engine

from .conditions import COLUMNS, Statement, event_of, is_exact, is_last, matching, page_of, visible
from .counts import Counts

if TYPE_CHECKING:
    from uuid import UUID

    from lmdbstore.contract.commits.position import Lineage
    from lmdbstore.contract.counting.buckets import Buckets
    from lmdbstore.contract.event import Event
    from lmdbstore.contract.types import Timeout

    from .state import Reader, Rows

__all__ = ["SQLView"]

T = TypeVar("T")
_REQUIRED = object()

FIRST, MOST = 64, 4096  # rows of a page


class Pages:
    """The pages of a search, of the events up to the number `newest`."""

    def __init__(self, reader: Reader, query: Query, newest: int) -> None:
        """Begin at the beginning, or after the query's position."""
        self._reader, self._newest = reader, newest
        self._query = query
        self._left = query.limit
        self._size = FIRST
        self._ended = query.impossible
        self.reached: Position | None = None  # up to here was read

    def next_page(self) -> Page[Event, Position] | None:
        """Return the next page that has events; None at the end.

        After an interrupt, the next call reads the same page again.
        """
        before = self._query, self._left, self._size, self._ended, self.reached
        try:
            while not self._ended:
                rows = self._rows()
                events, places = self._chosen(rows)
                self._advance(rows, places)
                if events:
                    return Page(events, places.__getitem__)
        except BaseException:
            self._query, self._left, self._size, self._ended, self.reached = before
            raise
        return None

    def _rows(self) -> Rows:
        size = self._size
        if self._left is not None and is_exact(self._query):
            size = min(size, self._left)
        self._asked = size
        query, names = self._query, self._reader.names

        def statement(head: int | None) -> Statement:
            condition = matching(query, self._newest, head)
            direction = "DESC" if query.descending else "ASC"
            order = f"ts {direction}, seq {direction}"
            return page_of(names.events, condition, order, size)

        return self._reader.rows(statement, waits=False)

    def _chosen(self, rows: Rows) -> tuple[list[Event], list[Position]]:
        events = [event_of(row) for row in rows]
        places = [Position(row[2], row[6]) for row in rows]
        if not is_exact(self._query):
            admitted = run_engine(_admitted, self._query, events)
            events = [event for event, good in zip(events, admitted, strict=True) if good]
            places = [place for place, good in zip(places, admitted, strict=True) if good]
        if self._left is not None:
            del events[self._left :], places[self._left :]
        return events, places

    def _advance(self, rows: Rows, places: list[Position]) -> None:
        """Go on after a page."""
        if self._left is not None:
            self._left -= len(places)
        if is_last(rows, self._asked) or self._left == 0:
            self._ended = True
        if not rows:
            return
        last = Position(rows[-1][2], rows[-1][6])
        self._size = min(MOST, 2 * self._size, 2 * len(rows) + 1)
        self.reached = last
        self._query = self._query._replace(after=last)


def _admitted(query: Query, events: list[Event]) -> list[bool]:
    """Compare what the server did not; the rest holds."""
    pattern, where = query.pattern, query.where
    found = []
    for event in events:
        content = event.content.encode()
        found.append(
            (pattern is None or pattern.matches(content))
            and (where is None or where.matches(content))
        )
    return found


class SQLView(QueryView):
    """A view that reads from PostgreSQL."""

    def __init__(self, reader: Reader, lineage: Lineage) -> None:
        """Read from `reader`; positions are of `lineage`."""
        super().__init__()
        self._reader, self._lineage = reader, lineage

    # -- looking up -------------------------------------------------------------------------------

    @overload
    def get(self, event_id: str | UUID, *, timeout: Timeout = ...) -> Event: ...
    @overload
    def get(self, event_id: str | UUID, default: T, *, timeout: Timeout = ...) -> Event | T: ...
    def get(
        self, event_id: str | UUID, default: object = _REQUIRED, *, timeout: Timeout = ...
    ) -> object:
        wait = self._waiting(timeout)
        wanted = checked_id(event_id)
        self._check_open()
        row = self._row(wanted, COLUMNS, wait)
        if row is not None:
            return event_of(row)
        if default is _REQUIRED:
            raise EventNotFound(f"there is no event with the id {shown(wanted)}")
        return default

    def _row(self, event_id: str, columns: str, wait: Deadline | None) -> tuple[Any, ...] | None:
        events, key_ = self._reader.names.events, key(event_id)
        there = f"SELECT {columns} FROM {events} WHERE id = %s"

        def statement(head: int | None) -> Statement:
            if head is None:
                return Statement(there, [key_])
            # Two parts, since each has an index.
            return Statement(
                f"{there} AND died IS NULL AND seq <= %s UNION ALL "
                f"SELECT {columns} FROM {events} WHERE id = %s AND died > %s AND seq <= %s",
                [key_, head, key_, head, head],
            )

        rows = self._reader.rows(statement, wait)
        return rows[0] if rows else None

    def _locate(self, wait: Deadline | None, event_id: str) -> Position:
        row = self._row(event_id, "ts, seq", wait)
        if row is None:
            raise EventNotFound(f"after: there is no event with the id {shown(event_id)}")
        return Position(*row)

    def _number_of(self, wait: Deadline | None, position: object) -> int:
        self._check_open()
        return self._lineage.number("at", position, self._reader.present(wait))

    def checkpoint(self, name: str, *, timeout: Timeout = ...) -> str | None:
        wait = self._waiting(timeout)
        wanted = checked_name(name)
        self._check_open()
        found = self._noted("key = %s", key(wanted), wait)
        return found.get(wanted)

    def checkpoints(self, prefix: str = "", *, timeout: Timeout = ...) -> dict[str, str]:
        wait = self._waiting(timeout)
        wanted = checked_prefix(prefix)
        self._check_open()
        if not can_be_kept(wanted):
            return {}
        found = self._noted("starts_with(name, %s)", stored(wanted), wait)
        return dict(sorted(found.items()))

    def _noted(self, condition: str, value: str, wait: Deadline) -> dict[str, str]:
        head = self._reader.head
        seen = Statement("died IS NULL") if head is None else visible(head, since="since")
        statement = Statement(
            f"SELECT name, body FROM {self._reader.names.checkpoints} "
            f"WHERE {condition} AND {seen.text}",
            [value, *seen.parameters],
        )
        rows = self._reader.state(statement, wait)
        return {original(name): original(body) for name, body in rows}

    # -- searching --------------------------------------------------------------------------------

    def _search(self, query: Query, wait: Deadline | None) -> Search:
        wait = wait or self._waiting()
        pages = Pages(self._reader, query, self._reader.present(wait))
        token = None if query.after is None else query.after.token
        return self._track(Search(pages.next_page, token, query, reached=lambda: pages.reached))

    def _count(self, query: Query, wait: Deadline | None) -> int:
        if query.impossible or not is_exact(query):
            return sum(1 for _ in self._search(query, wait))
        limit = "" if query.limit is None else f" LIMIT {query.limit}"
        events = self._reader.names.events

        def statement(head: int | None) -> Statement:
            condition = matching(query, None, head)
            one = f"SELECT 1 FROM {events} WHERE {condition.text}{limit}"
            return Statement(f"SELECT count(*) FROM ({one}) AS found", condition.parameters)

        return int(self._reader.rows(statement, wait or self._waiting())[0][0])

    def _explain(self, query: Query, wait: Deadline | None) -> str:
        if query.impossible:
            return "no event can match"
        direction = "DESC" if query.descending else "ASC"
        limit = FIRST if query.limit is None else min(FIRST, query.limit)

        def statement(head: int | None) -> Statement:
            condition = matching(query, None, head)
            return Statement(
                f"EXPLAIN SELECT {COLUMNS} FROM {self._reader.names.events} "
                f"WHERE {condition.text} ORDER BY ts {direction}, seq {direction} LIMIT {limit}",
                condition.parameters,
            )

        plan = [str(row[0]) for row in self._reader.rows(statement, wait or self._waiting())]
        here = [] if is_exact(query) else ["then compared here: what the server cannot decide"]
        return "\n".join(["of the first page, by the server:", *plan, *here])

    # -- counting ---------------------------------------------------------------------------------

    def _tally(self, buckets: Buckets, conditions: dict[str, Any], timeout: Timeout) -> Tally:
        tally = Tally(buckets)
        self._waiting(timeout)
        with self._one_state(timeout) as state:
            view: Any = state
            counts: Counts = view._counts(conditions)  # noqa: SLF001  a view of this class
            if not counts.exact:
                for event in view.search(**conditions):
                    tally.add([event.timestamp])
                return tally
            for first, last, number in counts.parts(buckets.part):
                if not tally.add_within(first, last, number):
                    for times in counts.times(first, last):
                        tally.add(times)
        return tally

    def _values(
        self, fields: tuple[str, ...], conditions: dict[str, Any], timeout: Timeout
    ) -> Values:
        values = Values(fields)
        self._waiting(timeout)
        with self._one_state(timeout) as state:
            view: Any = state
            counts: Counts = view._counts(conditions)  # noqa: SLF001  a view of this class
            if counts.exact:
                counts.add_values(values, fields)
            else:
                for event in view.search(**conditions):
                    values.add_event(event.source, event.tags)
        return values

    def _counts(self, conditions: dict[str, Any]) -> Counts:
        return Counts(self._reader, self._conditions(conditions, None))

    def _waiting(self, timeout: Timeout = ...) -> Deadline:
        """Return the deadline of the call that begins."""
        return self._deadline(timeout) or Deadline(self._limit)
