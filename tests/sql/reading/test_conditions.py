"""The bounds of time that are sent to a server: right, one a side, and what a shard can compare."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from itertools import product
from math import inf
from typing import TYPE_CHECKING

import pytest

from lmdbstore.contract.query import Position, Query
from lmdbstore.sql.reading.conditions import matching

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMES = (0.0, 1.0, 2.0)
NUMBERS = (1, 2, 3)
PLACES = list(product(TIMES, NUMBERS))


@pytest.fixture
def table() -> Iterator[sqlite3.Connection]:
    """A table with an event at each place, in a database that knows the same conditions."""
    with closing(sqlite3.connect(":memory:")) as made:
        made.execute("CREATE TABLE events (ts, seq, died)")
        made.executemany("INSERT INTO events VALUES (?, ?, NULL)", PLACES)
        yield made


@pytest.mark.parametrize("head", [None, 9])  # one server, and several
@pytest.mark.parametrize("descending", [False, True])
def test_a_page_follows_a_position_within_the_range(
    table: sqlite3.Connection, head: int | None, *, descending: bool
) -> None:
    afters = [None, *(Position(*place) for place in PLACES)]
    for start, end, after in product((-inf, *TIMES), (*TIMES, inf), afters):
        query = Query(ts_start=start, ts_end=end, descending=descending, after=after)
        text, parameters = matching(query, None, head)
        found = table.execute(
            f"SELECT ts, seq FROM events WHERE {text.replace('%s', '?')}", parameters
        ).fetchall()
        assert sorted(found) == [
            place
            for place in PLACES
            if start <= place[0] <= end
            and (after is None or (place < after if descending else place > after))
        ]
        if head is None:  # PostgreSQL 17 may forget the wider one of two
            assert max(text.count("<"), text.count(">")) <= 1
        else:
            assert "(ts, seq)" not in text
