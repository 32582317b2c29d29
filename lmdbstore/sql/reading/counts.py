"""Counting the events of a query in one state of the store: the server does it.

Rules: it reads no contents. `exact` says whether the server alone can decide which events match.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmdbstore.contract.counting.facets import FLAGS, SOURCE, Values
from lmdbstore.contract.query import Position
from lmdbstore.sql.texts import DIGEST, key, original, read_long

from .conditions import Statement, is_exact, matching

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lmdbstore.contract.query import Query

    from .state import Reader, Rows

__all__ = ["Counts"]

FAR = 1e15  # seconds from 1970; what is farther is not divided: the quotient might be no float
LEAST = 1e-290  # seconds; what is nearer to 1970 is not divided either
TIMES = 4096  # that are read at once


class Counts:
    """The events of a query, in a snapshot."""

    def __init__(self, reader: Reader, query: Query) -> None:
        """Count them in the state of `reader`."""
        self._reader, self._query = reader, query
        self.exact = is_exact(query)

    def parts(self, length: float) -> Rows:
        """Return the first and the last time, and the number, of the events in each part of time.

        `length` is that of the parts, in seconds.
        """
        near, least = FAR * min(length, 1.0), LEAST * max(length, 1.0)
        group = (
            f"CASE WHEN abs(ts) < {least!r} THEN CASE WHEN ts < 0 THEN -1 ELSE 0 END "
            f"WHEN abs(ts) < {near!r} THEN floor(ts / {length!r}) ELSE ts END"
        )
        columns = "min(ts), max(ts), count(*)"
        return self._grouped(columns, self._query, f"GROUP BY {group} ORDER BY 1")

    def times(self, first: float, last: float) -> Iterator[list[float]]:
        """Give the times of all events between two times, in order, a page at a time."""
        query = self._query._replace(ts_start=first, ts_end=last)
        while True:
            rows = self._grouped("ts, seq", query, f"ORDER BY ts, seq LIMIT {TIMES}")
            yield [row[0] for row in rows]
            if len(rows) < TIMES:
                return
            query = query._replace(after=Position(*rows[-1]))

    def add_values(self, values: Values, fields: Iterable[str]) -> None:
        """Count the values of some fields."""
        for field in fields:
            column = "source" if field == SOURCE else "flag"
            also = ", unnest(flags) AS flag" if field == FLAGS else ""
            long = f"CASE WHEN starts_with({column}, '{DIGEST}') THEN max(long) END"
            columns = f"{column}, count(*), {long}"
            for value, number, text in self._grouped(
                columns, self._query, f"GROUP BY {column}", also
            ):
                values.add(field, _named(value, text, field), number)

    def _grouped(self, columns: str, query: Query, rest: str, also: str = "") -> Rows:
        if query.impossible:
            return []
        events = self._reader.names.events

        def statement(head: int | None) -> Statement:
            condition = matching(query, None, head)
            return Statement(
                f"SELECT {columns} FROM {events}{also} WHERE {condition.text} {rest}",
                condition.parameters,
            )

        return self._reader.rows(statement)


def _named(key_: str, long: str | None, field: str) -> str:
    """Return the value with a key, of which one event has these long texts."""
    if long is None:
        return original(key_)
    _, source, flags = read_long(long)
    values = [source] if field == SOURCE else flags
    return next(value for value in values if key(value) == key_)
