"""A query as a condition of SQL, and rows as events.

Rules: pure. The condition may let more events through than the query: `is_exact` says whether rows
need not be compared with it here.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from lmdbstore.contract.event import Event
from lmdbstore.sql.texts import MOST_BYTES, key, original, read_long

from .like import like

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmdbstore.contract.query import Position, Query

__all__ = [
    "COLUMNS",
    "PAGE_BYTES",
    "Statement",
    "event_of",
    "is_exact",
    "is_last",
    "joined",
    "matching",
    "page_of",
    "visible",
]

PAGE_BYTES = 1 << 20  # of the contents of a page, about
COLUMNS = "id, source, ts, flags, content, long, seq"


class Statement(NamedTuple):
    """A piece of SQL, and its parameters."""

    text: str
    parameters: Sequence[Any] = ()


def visible(head: int | None, since: str = "seq") -> Statement:
    """Return the condition for what is there in the state `head`.

    None: that which a statement sees on one server, where nothing stays that was deleted. `since`
    is the column with the number from which it is there.
    """
    if head is None:
        return Statement("TRUE")
    return Statement(f"{since} <= %s AND (died IS NULL OR died > %s)", [head, head])


def is_exact(query: Query) -> bool:
    """Whether the server alone decides which events match."""
    return query.pattern is None and query.where is None


def matching(query: Query, newest: int | None, head: int | None) -> Statement:
    """Return the condition for the events of a query.

    `newest` is the number after which no event counts, and `head` the state whose deletions count.
    """
    parts = [visible(head)]
    if newest is not None:
        parts.append(Statement("seq <= %s", [newest]))
    if query.at is not None:
        parts.append(Statement("seq <= %s", [query.at]))
    parts += _times(query, sharded=head is not None)
    if query.source is not None:
        parts.append(Statement("source = %s", [key(query.source)]))
    parts += _flags(query)
    if query.pattern is not None:
        text, texts = like(query.pattern.text)
        if text:
            parts.append(Statement(text, texts))
    return joined(parts)


def joined(parts: Sequence[Statement]) -> Statement:
    """Return all conditions at once."""
    text = " AND ".join(part.text for part in parts)
    return Statement(text, [one for part in parts for one in part.parameters])


def _times(query: Query, *, sharded: bool) -> list[Statement]:
    """Return the conditions for times; of two bounds of a side, the narrower one alone.

    PostgreSQL 17 (seen in 17.10, not in 15 and 18) may forget one of two if the other one is that
    of a row: on an index, `ts <= 1 AND (ts, seq) < (2, 9)` can find (2, 8).
    """
    start, end, after = query.ts_start, query.ts_end, query.after
    parts = []
    if after is not None and (
        after.timestamp <= end if query.descending else after.timestamp >= start
    ):
        parts.append(_following(after, descending=query.descending, sharded=sharded))
        start, end = (start, math.inf) if query.descending else (-math.inf, end)
    if start > -math.inf:
        parts.append(Statement("ts >= %s", [start]))
    if end < math.inf:
        parts.append(Statement("ts <= %s", [end]))
    return parts


def _following(after: Position, *, descending: bool, sharded: bool) -> Statement:
    """Return the condition for the events after a position."""
    sign = "<" if descending else ">"
    if not sharded:
        return Statement(f"(ts, seq) {sign} (%s, %s)", after)
    # postgres_fdw compares rows on the coordinator: each page would bring all events before it.
    return Statement(
        f"ts {sign}= %s AND (ts {sign} %s OR seq {sign} %s)", [after.timestamp, *after]
    )


def _flags(query: Query) -> list[Statement]:
    parts = []
    for flags, text in (
        (query.flags, "flags @> %s"),
        (query.any_flags, "flags && %s"),
        (query.not_flags, "NOT flags && %s"),
    ):
        if flags:
            parts.append(Statement(text, [list(map(key, flags))]))
    return parts


def page_of(events: str, condition: Statement, order: str, rows: int) -> Statement:
    """Return the statement for the first events in an order: so many, and not too many bytes.

    The first event comes, however long it is. Sizes are known without reading the contents.
    """
    size = "octet_length(content)"
    inner = f"SELECT {COLUMNS} FROM {events} WHERE {condition.text} ORDER BY {order} LIMIT {rows}"
    sized = f"SELECT {COLUMNS}, sum({size}) OVER (ORDER BY {order}) - {size} AS before"
    return Statement(
        f"SELECT {COLUMNS} FROM ({sized} FROM ({inner}) AS page) AS sized "
        f"WHERE before < {PAGE_BYTES} ORDER BY {order}",
        condition.parameters,
    )


def is_last(rows: Sequence[Sequence[Any]], asked: int) -> bool:
    """Whether no event follows a page, in doubt False: it is short, and not for its bytes."""
    if not rows:
        return True
    if len(rows) >= asked:
        return False
    return sum(len(row[4]) for row in rows) * MOST_BYTES < PAGE_BYTES


def event_of(row: Sequence[Any]) -> Event:
    """Return the event in the `COLUMNS` of a row."""
    id_, source, timestamp, flags, content, long, _ = row
    if long is not None:
        id_, source, flags = read_long(long)
    else:
        id_, source, flags = original(id_), original(source), list(map(original, flags))
    return tuple.__new__(Event, (id_, source, timestamp, flags, original(content)))
