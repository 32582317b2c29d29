"""The plans that the planner chooses, as the text that `explain` shows."""

from __future__ import annotations

from textwrap import dedent
from typing import Any

import pytest

from lmdbstore.contract.query import Position, Query
from lmdbstore.patterns.pattern import compile_pattern
from lmdbstore.read.plan import make_plan

POSTINGS = {"rare": 10, "some": 150, "many": 20_000, "half": 50_000, "none": 0}


def plan(**query: Any) -> str:
    """Return the plan for a store of 100,000 events as text."""
    return str(make_plan(Query(**query), 100_000, POSTINGS))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, "scan the timeline (100,000 events), oldest first"),
        (
            {"ts_start": 0.0, "ts_end": 1.5, "descending": True, "limit": 1000},
            """\
            scan the timeline (100,000 events), newest first
              from 1970-01-01T00:00:00+00:00 (0.0)
              to 1970-01-01T00:00:01.500000+00:00 (1.5)
              stop after 1,000""",
        ),
        (
            {"flags": ("rare",)},
            "walk the posting set of 'rare' (10) of 100,000 events, oldest first",
        ),
        (
            {"flags": ("some", "rare")},
            """\
            walk the posting set of 'rare' (10) of 100,000 events, oldest first
              look each up in the posting set of 'some' (150)""",
        ),
        (
            {"flags": ("half", "many"), "limit": 9},
            """\
            walk the posting sets of 'many' (20,000) and 'half' (50,000) of 100,000 events, oldest first
              stop after 9""",  # noqa: E501  a line of the plan
        ),
        (
            {"flags": ("half", "many", "rare"), "source": "s", "after": Position(2.0, 7)},
            """\
            walk the posting set of 'rare' (10) of 100,000 events, oldest first
              after 7@2.0
              look each up in the posting set of 'many' (20,000)
              look each up in the posting set of 'half' (50,000)
              test the source 's' on each record""",
        ),
        (
            {"flags": ("half",), "pattern": compile_pattern("a+b"), "ts_end": 1e300},
            """\
            scan the timeline (100,000 events), oldest first
              to 1e+300
              test the flag 'half' on each record
              match 'a+b' page by page""",
        ),
        (
            {"flags": ("half",), "source": "s"},
            """\
            walk the posting set of 'half' (50,000) of 100,000 events, oldest first
              test the source 's' on each record""",
        ),
        ({"flags": ("rare", "none")}, "nothing to read: no event carries 'none'"),
        ({"limit": 0}, "nothing to read: the limit is 0"),
        ({"ts_start": 2.0, "ts_end": 1.0}, "nothing to read: the time range is reversed"),
    ],
)
def test_each_query_has_its_plan(query: dict[str, Any], expected: str) -> None:
    """Each query has the plan in this table."""
    assert plan(**query) == dedent(expected)


def test_an_empty_store_needs_no_plan() -> None:
    """Nothing is read, as there are no events."""
    assert str(make_plan(Query(), 0, {})) == "nothing to read: the store is empty"


@pytest.mark.parametrize(
    ("query", "known"),
    [
        ({}, 100_000),
        ({"descending": True, "limit": 7}, 7),
        ({"flags": ("half",)}, 50_000),
        ({"flags": ("rare",), "limit": 11}, 10),
        ({"flags": ("half", "none")}, 0),
        ({"flags": ("half", "rare")}, None),
        ({"ts_start": 0.0}, None),
        ({"ts_end": 0.0}, None),
        ({"source": "s"}, None),
        ({"pattern": compile_pattern("a")}, None),
        ({"flags": ("half",), "after": Position(2.0, 7)}, None),
    ],
)
def test_events_are_not_counted_where_the_plan_knows_the_number(
    query: dict[str, Any], known: int | None
) -> None:
    """The store knows the number of all events, and the number for one flag."""
    assert make_plan(Query(**query), 100_000, POSTINGS).known_count == known
