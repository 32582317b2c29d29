"""The bounds of time that are sent to a server: right, and one a side."""

from __future__ import annotations

from itertools import product
from math import inf

import pytest

from lmdbstore.contract.query import Position, Query
from lmdbstore.sql.reading.conditions import Statement, matching

TIMES = (0.0, 1.0, 2.0)
NUMBERS = (1, 2, 3)


def admits(condition: Statement, ts: float, seq: int) -> bool:
    """Whether an event meets a condition about times, as a server evaluates it."""
    left = iter(condition.parameters)
    meets = True
    for part in condition.text.split(" AND "):
        if part != "TRUE":
            row = (ts, seq) if part.startswith("(ts, seq)") else (ts,)
            bound = tuple(next(left) for _ in row)
            sign = part.removeprefix("(ts, seq)").split()[0 if len(row) == 2 else 1]
            meets &= {
                "<=": row <= bound,
                ">=": row >= bound,
                "<": row < bound,
                ">": row > bound,
            }[sign]
    return meets


@pytest.mark.parametrize("descending", [False, True])
def test_there_is_one_bound_a_side_and_it_is_the_narrower_one(*, descending: bool) -> None:
    """PostgreSQL 17 may forget the wider one of two."""
    afters = [None, *(Position(ts, seq) for ts, seq in product(TIMES, NUMBERS))]
    for start, end, after in product((-inf, *TIMES), (*TIMES, inf), afters):
        query = Query(ts_start=start, ts_end=end, descending=descending, after=after)
        condition = matching(query, None, None)
        assert condition.text.count("<") <= 1
        assert condition.text.count(">") <= 1
        for place in product(TIMES, NUMBERS):
            follows = after is None or (place < after if descending else place > after)
            assert admits(condition, *place) == (start <= place[0] <= end and follows)
