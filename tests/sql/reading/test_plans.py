"""What the server does for a search, as `explain` shows it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from lmdbstore import Event
from lmdbstore.contract.query import Position, Query
from lmdbstore.sql import store as module
from lmdbstore.sql.reading.conditions import COLUMNS, matching
from lmdbstore.sql.server.names import Names
from lmdbstore.sql.store import SQLEventStore
from lmdbstore.sql.writing.commit import DIED, SAVED
from lmdbstore.testing.helpers import ids
from tests.sql.other_writer import OtherWriter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.sql.servers import Server

EVENTS = 5000


@pytest.fixture
def store(single: str, schema: str) -> Iterator[SQLEventStore]:
    with SQLEventStore(single, schema=schema) as store:
        store.save_many(
            Event(
                str(n),
                f"source {n % 500}",
                float(n),
                [f"flag{n % 250}"],
                f"{n:08} {'Needle' if n == 70 else 'hay'} {'x' * 100}",
            )
            for n in range(EVENTS)
        )
        with OtherWriter(single, schema) as other:
            other.connection.execute(f"ANALYZE {other.names.events}")
        yield store


@pytest.mark.parametrize(
    ("conditions", "index"),
    [
        ({"limit": 10}, "events_ts"),
        ({"order": "desc", "limit": 10}, "events_ts"),
        ({"ts_start": 5.0, "ts_end": 9.0}, "events_ts"),
        ({"source": "source 7"}, "events_source"),
        ({"flags": ["flag7"]}, "events_flags"),
    ],
)
def test_a_search_uses_an_index(
    store: SQLEventStore, conditions: dict[str, object], index: str
) -> None:
    assert f" {index} " in store.explain(**conditions)  # type: ignore[arg-type]  # of `search`


def test_patterns_use_an_index_on_trigrams_if_there_is_one(
    store: SQLEventStore, single: str, schema: str
) -> None:
    found = re.search(r"^ +(CREATE INDEX .*?);$", str(module.__doc__), re.MULTILINE)
    assert found is not None
    statement = found[1].replace("lmdbstore.", f"{Names(schema).schema}.")
    with OtherWriter(single, schema) as other:
        other.connection.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
        other.connection.execute(statement)
    for pattern in ("Needle", "(?i)NEEDLE", "Nee.*dle|Needle"):
        assert "Index Scan on events_lower_idx" in store.explain(match=pattern)
        assert ids(store.search(match=pattern)) == ["70"]
    assert ids(store.search(match="needle")) == []


@pytest.mark.parametrize("descending", [False, True])
def test_shards_look_for_the_place_where_a_page_begins(
    sharded: str, schema: str, *, descending: bool
) -> None:
    """What the coordinator compares is brought to it for each page, from the first event on."""
    query = Query(descending=descending, after=Position(3.0, 7))
    text, parameters = matching(query, None, 9)
    with OtherWriter(sharded, schema) as other:
        found = other.connection.execute(
            f"EXPLAIN (VERBOSE) SELECT {COLUMNS} FROM {other.names.events} WHERE {text} "
            "ORDER BY ts, seq LIMIT 10",
            parameters,
        ).fetchall()
    plan = [str(row[0]) for row in found]
    asked = [line for line in plan if "Remote SQL" in line]
    assert asked
    assert all(f"(ts {'<' if descending else '>'}= 3" in line for line in asked)
    assert not [line for line in plan if "Filter:" in line]


def test_shards_find_what_a_write_has_saved_and_deleted_by_an_index(
    sharded: str, shard_servers: tuple[Server, Sequence[Server]], schema: str
) -> None:
    """Also before their first ANALYZE, when they know nothing of their tables."""
    with SQLEventStore(sharded, schema=schema) as store:
        store.save_many(Event(str(n), timestamp=float(n)) for n in range(EVENTS))
    for condition, indexes in (
        (SAVED, ["events_seq"]),
        (DIED, ["events_died"]),
        (f"{SAVED} OR {DIED}", ["events_seq", "events_died"]),
    ):
        for server in shard_servers[1]:
            with OtherWriter(server.address, schema) as other:
                plan = other.connection.execute(
                    f"EXPLAIN SELECT FROM {other.names.events} WHERE {condition}",
                    [EVENTS] * len(indexes),
                ).fetchall()
            assert not [index for index in indexes if index not in str(plan)]
            assert "Seq Scan" not in str(plan)
