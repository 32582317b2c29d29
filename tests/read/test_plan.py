"""The plans that the planner chooses, as the text that `explain` shows."""

from __future__ import annotations

from textwrap import dedent
from typing import Any

import pytest

from lmdbstore.contract.asking.where import checked_where
from lmdbstore.contract.query import Position, Query
from lmdbstore.disk import format as fmt
from lmdbstore.patterns.pattern import compile_pattern
from lmdbstore.read.plan import Term, make_plan, terms_of

POSTINGS = {
    Term("rare"): 10,
    Term("some"): 150,
    Term("many"): 20_000,
    Term("half"): 50_000,
    Term("none"): 0,
    Term("no"): 0,
    Term("all"): 100_000,
    Term("s", is_source=True): 30_000,
    Term("none", is_source=True): 0,
}


def plan(runs: int, **query: Any) -> str:
    """Return the plan for a store of 100,000 events as text."""
    return str(make_plan(Query(**query), 100_000, POSTINGS, runs=runs))


@pytest.mark.parametrize(
    ("runs", "query", "expected"),
    [
        (0, {}, "scan the timeline (100,000 events), oldest first"),
        (1, {}, "scan the timeline (100,000 events in 1 run), oldest first"),
        (
            2000,
            {"ts_start": 0.0, "ts_end": 1.5, "descending": True, "limit": 1000},
            """\
            scan the timeline (100,000 events in 2,000 runs), newest first
              from 1970-01-01T00:00:00+00:00 (0.0)
              to 1970-01-01T00:00:01.500000+00:00 (1.5)
              stop after 1,000""",
        ),
        (
            0,
            {"flags": ("rare",)},
            "walk the posting set of 'rare' (10) of 100,000 events, oldest first",
        ),
        (
            200,
            {"flags": ("some", "rare")},
            """\
            walk the posting set of 'rare' (10) of 100,000 events and 200 runs, oldest first
              look each up in the posting set of 'some' (150)""",
        ),
        (
            200,
            {"flags": ("half", "many"), "limit": 9},
            """\
            walk the posting sets of 'many' (20,000) and 'half' (50,000) of 100,000 events and 200 runs, oldest first
              stop after 9""",  # noqa: E501  a line of the plan
        ),
        (
            200,
            {"flags": ("half", "many", "rare"), "source": "s", "after": Position(2.0, 7)},
            """\
            walk the posting set of 'rare' (10) of 100,000 events and 200 runs, oldest first
              after 7@2.0
              look each up in the posting set of 'many' (20,000)
              look each up in the posting set of the source 's' (30,000)
              look each up in the posting set of 'half' (50,000)""",
        ),
        (
            200,
            {"source": "s", "descending": True},
            """\
            walk the posting set of the source 's' (30,000) of 100,000 events and 200 runs, newest first""",  # noqa: E501  a line of the plan
        ),
        (
            200,
            {"pattern": compile_pattern("opened"), "ts_end": 1e300},
            """\
            scan the timeline (100,000 events in 200 runs), oldest first
              to 1e+300
              leave out the runs whose signature excludes the pattern
              match 'opened' run by run""",
        ),
        (
            0,
            {"pattern": compile_pattern("opened")},
            """\
            scan the timeline (100,000 events), oldest first
              match 'opened' run by run""",
        ),
        (
            200,
            {"pattern": compile_pattern("a*")},
            """\
            scan the timeline (100,000 events in 200 runs), oldest first
              match 'a*' event by event""",
        ),
        (
            200,
            {"flags": ("half",), "pattern": compile_pattern("opened")},
            """\
            walk the posting set of 'half' (50,000) of 100,000 events and 200 runs, oldest first
              match 'opened' run by run""",
        ),
        (
            200,
            {"any_flags": ("some", "none", "rare"), "pattern": compile_pattern("opened")},
            """\
            walk the posting sets of 'rare' (10) or 'some' (150) of 100,000 events and 200 runs, oldest first
              match 'opened' run by run""",  # noqa: E501  a line of the plan
        ),
        (
            200,
            {"any_flags": ("some", "rare"), "flags": ("half",), "source": "s", "limit": 3},
            """\
            walk the posting sets of 'rare' (10) or 'some' (150) of 100,000 events and 200 runs, oldest first
              look each up in the posting set of the source 's' (30,000)
              look each up in the posting set of 'half' (50,000)
              stop after 3""",  # noqa: E501  a line of the plan
        ),
        (
            200,
            {"any_flags": ("some", "many"), "flags": ("rare",), "not_flags": ("half", "x")},
            """\
            walk the posting set of 'rare' (10) of 100,000 events and 200 runs, oldest first
              keep those with 'some' (150) or 'many' (20,000)
              leave out those with one of 'half', 'x'""",
        ),
        (
            200,
            {
                "any_flags": ("half", "all"),
                "where": checked_where({"status": (">=", 500), "user.id": "x"}),
                "pattern": compile_pattern("opened"),
            },
            """\
            scan the timeline (100,000 events in 200 runs), oldest first
              keep those with 'half' (50,000) or 'all' (100,000)
              leave out the runs whose signature excludes the pattern
              match 'opened' run by run
              compare status >= 500 and user.id == 'x'""",
        ),
        (
            200,
            {"any_flags": ("none", "no")},
            "nothing to read: no event carries one of 'none', 'no'",
        ),
        (200, {"flags": ("rare", "none")}, "nothing to read: no event carries 'none'"),
        (200, {"source": "none"}, "nothing to read: no event has the source 'none'"),
        (200, {"limit": 0}, "nothing to read: the limit is 0"),
        (200, {"ts_start": 2.0, "ts_end": 1.0}, "nothing to read: the time range is reversed"),
    ],
)
def test_each_query_has_its_plan(runs: int, query: dict[str, Any], expected: str) -> None:
    """Each query has the plan in this table."""
    assert plan(runs, **query) == dedent(expected)


def test_a_flag_and_a_source_of_one_name_are_different_terms() -> None:
    flag, source = Term("x"), Term("x", is_source=True)
    assert flag != source
    assert (flag.key, source.key) == (fmt.flag_key("x"), fmt.source_key("x"))
    assert flag.key != source.key
    assert (str(flag), str(source)) == ("'x'", "the source 'x'")
    assert terms_of(Query(flags=("b", "a"), source="x")) == [Term("b"), Term("a"), source]
    assert terms_of(Query()) == []


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
        ({"source": "s"}, 30_000),
        ({"source": "s", "limit": 5}, 5),
        ({"source": "s", "flags": ("half",)}, None),
        ({"source": "none", "flags": ("half",)}, 0),
        ({"pattern": compile_pattern("a")}, None),
        ({"flags": ("half",), "after": Position(2.0, 7)}, None),
    ],
)
def test_events_are_not_counted_where_the_plan_knows_the_number(
    query: dict[str, Any], known: int | None
) -> None:
    """The store knows the number of all events, and the number for one flag."""
    assert make_plan(Query(**query), 100_000, POSTINGS).known_count == known
