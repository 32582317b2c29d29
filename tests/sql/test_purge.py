"""Purging a store on PostgreSQL does what purging a store on LMDB does."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import Event, InvalidQuery, LMDBEventStore
from lmdbstore.sql.store import SQLEventStore
from lmdbstore.sql.writing import purge as purging
from lmdbstore.testing.helpers import ids

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CASES: list[dict[str, Any]] = [
    {"before": 30.0},
    {"before": float("inf")},
    {"max_events": 40},
    {"max_events": 0},
    {"before": 20.0, "max_events": 70},
    {"before": 50.0, "flags": ["a"]},
    {"before": 50.0, "flags": ["a"], "keep_flags": ["b"]},
    {"max_events": 10, "keep_flags": ["a"]},
    {"flags": ["a", "b"]},
    {"any_flags": ["a", "b"]},
    {"source": "s1"},
    {"match": "7"},
    {"match": "7", "before": 40.0, "source": "s1"},
    {"match": "[0-4]", "max_events": 20},
    {"before": -1.0},
]


@pytest.fixture
def store(address: str, schema: str) -> Iterator[SQLEventStore]:
    with SQLEventStore(address, schema=schema) as store:
        yield store


def events() -> list[Event]:
    chance = random.Random(4)
    found = [
        Event(str(n), f"s{n % 3}", float(n // 2), chance.sample("abc", n % 3), f"text {n}")
        for n in range(100)
    ]
    chance.shuffle(found)
    return found


@pytest.mark.parametrize("arguments", CASES, ids=map(str, CASES))
def test_the_same_events_go(
    store: SQLEventStore,
    path: Path,
    arguments: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(purging, "PIECE", 7)
    monkeypatch.setattr(purging, "READ", 5)
    calls: list[tuple[int, int]] = []
    with LMDBEventStore(path, durability="none") as other:
        for each in (store, other):
            each.save_many(events())
        expected = other.purge(**arguments)
        planned = store.purge(**arguments, dry_run=True)
        assert len(store) == 100
        found = store.purge(**arguments, progress=lambda *given: calls.append(given))
        assert found == planned
        assert list(store.search()) == list(other.search())
    assert (found.events, found.oldest, found.newest, found.left, found.held) == (
        expected.events,
        expected.oldest,
        expected.newest,
        expected.left,
        expected.held,
    )
    assert not calls or calls[-1][0] == found.events


def test_what_a_cursor_holds_stays(store: SQLEventStore) -> None:
    store.save_many(Event(str(n), timestamp=float(n)) for n in range(10))
    with store.cursor("c", timeout=0, hold=True, batch=4) as cursor:
        for _ in range(4):
            next(cursor)
        cursor.ack()
    found = store.purge(before=8.0)
    assert (found.events, found.held, found.left) == (4, 4, 6)
    assert ids(store.search()) == ["4", "5", "6", "7", "8", "9"]


def test_an_id_that_is_used_again_keeps_its_event(
    store: SQLEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.save_many(Event(str(n), timestamp=float(n)) for n in range(4))
    remove = purging.Purge._remove

    def again(self: Any, rows: Any, write: Any) -> int:
        store.save(Event("1", timestamp=99.0), on_duplicate="replace")
        return remove(self, rows, write)

    monkeypatch.setattr(purging.Purge, "_remove", again)
    assert store.purge(before=50.0).events == 3
    assert ids(store.search()) == ["1"]


def test_a_snapshot_keeps_what_is_purged(store: SQLEventStore) -> None:
    store.save_many(Event(str(n), timestamp=float(n)) for n in range(50))
    with store.snapshot() as view:
        assert store.purge(before=25.0).events == 25
        assert len(view) == len(ids(view.search())) == 50
    assert len(store) == 25


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({}, "before"),
        ({"before": "x"}, "before"),
        ({"max_events": -1}, "max_events"),
        ({"flags": "a"}, "flags"),
        ({"keep_flags": "a", "before": 1.0}, "keep_flags"),
        ({"any_flags": "a"}, "any_flags"),
        ({"source": 1}, "source"),
        ({"match": "("}, "match"),
        ({"before": 1.0, "dry_run": 1}, "dry_run"),
        ({"before": 1.0, "progress": 1}, "progress"),
    ],
)
def test_a_wrong_argument_is_named(
    store: SQLEventStore, arguments: dict[str, Any], named: str
) -> None:
    with pytest.raises(InvalidQuery, match=named):
        store.purge(**arguments)
