"""Searches that are under way while events are sealed: they find all events, each once."""

from __future__ import annotations

import random
import tempfile
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmdbstore import Event, LMDBEventStore, MemoryEventStore
from lmdbstore.patterns.signature import Probe
from lmdbstore.read import executor, found
from lmdbstore.read.run_match import RunMatcher
from lmdbstore.write.seal import RUN
from tests.tools.indexes import assert_indexes_agree
from tests.tools.planting import writing
from tests.tools.properties import examples
from tests.tools.sealing import make_tiny_runs, shape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from lmdbstore.contract.types import Order
    from lmdbstore.records.run import Run, Slots

WORDS = ["alpha", "betas", "Gamma", "DELTA", "größe", "1234567", "10.0.0.1", "x", "two\nlines"]
PATTERNS = [
    "alpha", "(?i)gamma", "betas|delta", "(?i)delta", "größe", "al.ha", r"\d{3}", "alpha.*betas",
    "nowhere", "(?i)NOWHERE", r"10\.0\.0\.1$", "^x$", "", "two\nlines", "(?s)alpha.*x",
]  # fmt: skip


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    make_tiny_runs(monkeypatch)
    make_small_pages(monkeypatch)


def make_small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "FIRST_PAGE", 3)
    monkeypatch.setattr(executor, "LONGEST_PAGE", 5)
    monkeypatch.setattr(executor, "LONGEST_PATTERN", 7)
    monkeypatch.setattr(executor, "KEY_CHUNK", 4)
    monkeypatch.setattr(found, "MOST_RUNS", 2)


def event(number: int, time: float, words: str) -> Event:
    return Event(f"e{number}", f"s{number % 2}", time, ["f"] * (number % 3 == 0), words)


def numbered(first: int, last: int) -> list[Event]:
    """Return events of which every hundredth is rare and every one has a unique word."""
    return [
        event(n, float(n), f"common {n:06d}" + (" rareword" if n % 100 == 7 else ""))
        for n in range(first, last)
    ]


# -- which runs are read ---------------------------------------------------------------------------


def test_a_rare_pattern_reads_few_runs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The words of one run are in no other run."""
    read: list[int] = []
    matching = RunMatcher.matching

    def counted(matcher: RunMatcher, run: Run, slots: Slots) -> list[int]:
        read.append(run.events)
        return matching(matcher, run, slots)

    monkeypatch.setattr(RunMatcher, "matching", counted)
    with LMDBEventStore(path, durability="none") as store:
        store.save_many(numbered(0, 20_000))
        orders: tuple[Order, ...] = ("asc", "desc")
        for order in orders:
            read.clear()
            assert [event.id for event in store.search(match="005123", order=order)] == ["e5123"]
            assert sum(read) < 4 * RUN
            assert "signature" in store.explain(match="005123", order=order)
        with store.snapshot() as view:
            read.clear()
            assert view.count(match="005123") == 1
            assert sum(read) < 4 * RUN
        assert "signature" not in store.explain(match=r"\d+")


@pytest.mark.parametrize(
    ("low", "high", "order"), [(0, 20, "asc"), (0, 20, "desc"), (980, 1000, "desc")]
)
def test_signatures_beyond_the_range_are_not_looked_at(
    path: Path, monkeypatch: pytest.MonkeyPatch, low: float, high: float, order: Order
) -> None:
    """They may be far more than those of the range, and on a disk that is slow."""
    make_tiny_runs(monkeypatch)
    looked = 0
    passing = Probe.passing

    def counted(probe: Probe, values: Iterable[memoryview], begin: int) -> Iterator[memoryview]:
        nonlocal looked
        given = list(values)
        looked += len(given)
        return passing(probe, given, begin)

    monkeypatch.setattr(Probe, "passing", counted)
    with LMDBEventStore(path, durability="none") as store:
        store.save_many(numbered(0, 1000))
        assert not list(store.search(low, high, match="nowhere", order=order))
    assert 0 < looked < 40


def test_a_search_with_a_wrong_signature_misses_an_event(path: Path) -> None:
    """This shows that the tests here can fail."""
    with LMDBEventStore(path, durability="none") as store:
        store.save_many(numbered(0, RUN))
        store.seal()
        end, right = store._session.read(
            lambda txn, databases: next(iter(txn.cursor(db=databases.summaries)))
        )
        with writing(store) as (txn, databases):
            txn.put(end, right[:10] + bytes(128), db=databases.summaries)
        assert store.count(match="rareword") == 0
        with writing(store) as (txn, databases):
            txn.put(end, right[:10], db=databases.summaries)
        assert store.count(match="rareword") == 6
        with writing(store) as (txn, databases):
            txn.put(end, right, db=databases.summaries)
        assert store.count(match="rareword") == 6


# -- the same answers whatever is sealed -----------------------------------------------------------


Action = tuple[str, int, list[str]]
actions = st.lists(
    st.tuples(
        st.sampled_from(["save", "many", "many", "late", "late", "delete", "delete", "seal"]),
        st.integers(0, 40),
        st.lists(st.sampled_from(WORDS), min_size=1, max_size=3),
    ),
    max_size=25,
)


class _Model:
    """The store, and the memory store."""

    def __init__(self, store: LMDBEventStore) -> None:
        self.store, self.model = store, MemoryEventStore()
        self.next = 0
        self.chance = random.Random(7)

    def act(self, action: Action) -> None:
        kind, number, words = action
        if kind == "seal":
            self.store.seal()
        elif kind == "delete" and self.next:
            first = number % self.next
            for id_ in [f"e{n}" for n in range(first, first + number % 7)]:
                if id_ in self.model:
                    self.model.delete(id_)
                    self.store.delete(id_)
        else:
            self._save(kind, number, words)

    def _save(self, kind: str, number: int, words: list[str]) -> None:
        made = []
        for _ in range(1 if kind == "save" else number):
            n, self.next = self.next, self.next + 1
            time = float(n // 3) if kind != "late" else self.chance.uniform(-1, n)
            made.append(event(n, time, " ".join(self.chance.sample(words, 1 + n % len(words)))))
        self.model.save_many(made)
        if len(made) == 1 or number % 2:
            for one in made:
                self.store.save(one)
        else:
            self.store.save_many(made)

    def check(self, low: float, high: float) -> None:
        for pattern in PATTERNS:
            orders: tuple[Order, ...] = ("asc", "desc")
            for order in orders:
                expected = list(self.model.search(low, high, None, pattern, order))
                for limit in (None, 3):
                    found = self.store.search(low, high, None, pattern, order, limit=limit)
                    assert list(found) == expected[:limit], (pattern, order, limit)
            assert self.store.count(low, high, ["f"], pattern) == sum(
                "f" in event.tags for event in expected
            )
            assert self.store.count(low, high, match=pattern, source="s1") == sum(
                event.source == "s1" for event in expected
            )
        assert self.store.count(low, high) == self.model.count(low, high)
        with self.store.snapshot() as view:
            assert list(view.search(low, high)) == list(self.model.search(low, high))
            assert view.count(low, high, match="alpha") == self.model.count(
                low, high, match="alpha"
            )


@given(actions, st.floats(-2, 200), st.floats(-2, 200))
@examples(40)
def test_after_any_writes_searches_find_what_the_memory_store_finds(
    done: list[Action], one: float, other: float
) -> None:
    patch = pytest.MonkeyPatch()
    with patch.context() as patched, tempfile.TemporaryDirectory() as folder:
        make_tiny_runs(patched)
        make_small_pages(patched)
        with LMDBEventStore(folder + "/events", durability="none") as store:
            model = _Model(store)
            for action in done:
                model.act(action)
            model.check(min(one, other), max(one, other))
            model.check(-3.0, 1000.0)
            assert_indexes_agree(store)


# -- searches under way ----------------------------------------------------------------------------


def merged(store: LMDBEventStore, n: int) -> None:
    """Delete most events of neighbouring runs, and merge what is left."""
    for m in range(n, n + 30):
        if m % 5 and f"e{m}" in store:
            store.delete(f"e{m}")
    store.seal()


def split(store: LMDBEventStore, n: int) -> None:
    """Save late events until a run becomes too long."""
    store.save_many(Event(f"late{n}-{m}", timestamp=n + 0.5 + m / 100) for m in range(20))


def rewritten(store: LMDBEventStore, n: int) -> None:
    if f"e{n + 3}" in store:
        store.delete(f"e{n + 3}")
    store.save(Event(f"late{n}", timestamp=n + 0.5, content="common"))
    store.seal()


def sealed_late(store: LMDBEventStore, n: int) -> None:
    for m in range(4):
        store.save(Event(f"late{n}-{m}", timestamp=n + 0.1 + m / 10, content="common"))


def sealed_all(store: LMDBEventStore, _: int) -> None:
    store.seal()


CHANGES: list[Callable[[LMDBEventStore, int], None]] = [
    merged, split, rewritten, sealed_late, sealed_all,
]  # fmt: skip
QUERIES: list[dict[str, Any]] = [
    {}, {"flags": ["f"]}, {"match": "common"}, {"match": "common|never", "flags": ["f"]},
    {"source": "s1"}, {"limit": 250}, {"flags": ["f"], "source": "s1"},
]  # fmt: skip


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("query", QUERIES, ids=str)
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_searches_lose_nothing_and_return_nothing_twice_while_runs_change(
    path: Path, order: Order, query: dict[str, Any]
) -> None:
    """Events are sealed, and runs are merged, split and rewritten, wherever the search is."""
    for seed, change in enumerate(CHANGES):
        chance = random.Random(seed)
        with LMDBEventStore(path.with_name(f"events{seed}"), durability="none") as store:
            for start in range(0, 300, 50):
                store.save_many(numbered(start, start + 50))
            before = [event.id for event in store.search(**{**query, "limit": None})]
            search = store.search(**query, order=order)
            found = [next(search).id]
            for n in chance.sample(range(300), 25):
                change(store, n)
                found += [event.id for event in islice(search, 4)]
            found += [event.id for event in search]
            left = {event.id for event in store.search()}
            expected = before if order == "asc" else before[::-1]
            assert len(found) == len(set(found))
            assert found == [name for name in expected if name in set(found)]
            if "limit" not in query:
                assert set(found) >= set(before) & left
            assert_indexes_agree(store)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_a_token_stays_valid_while_runs_change(path: Path, order: Order) -> None:
    with LMDBEventStore(path, durability="none") as store:
        store.save_many(numbered(0, 200))
        expected = [event.id for event in store.search(order=order)]
        found: list[str] = []
        token = None
        for n in range(0, 200, 5):
            page = store.search(order=order, limit=5, after=token)
            found += [event.id for event in page]
            token = page.token
            store.save(Event(f"late{n}", timestamp=-1.0 if order == "asc" else 1e6))
            rewriting = store.search(ts_start=150.0, limit=1)
            next(rewriting)
            store.seal()
        assert [name for name in found if name.startswith("e")] == expected


@pytest.mark.usefixtures("small")
def test_a_snapshot_shows_what_was_before_sealing(path: Path) -> None:
    with LMDBEventStore(path, durability="none") as store:
        store.save_many(numbered(0, 50))
        store.save_many([event(n, n / 10, "late") for n in range(1000, 1005)])
        with store.snapshot() as view:
            before = list(store.search())
            searches: list[Iterator[Event]] = [view.search(), view.search(match="common")]
            heads = [[next(search) for _ in range(2)] for search in searches]
            for n in range(0, 50, 2):
                store.delete(f"e{n}")
            store.seal()
            store.save_many(numbered(100, 150))
            assert list(view.search()) == before
            assert view.count() == len(view) == len(before)
            assert [*heads[0], *searches[0]] == before
            assert [*heads[1], *searches[1]] == [e for e in before if "common" in e.content]
            assert view.get("e4").id == "e4"
        assert shape(store).dead == 0
