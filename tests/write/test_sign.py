"""Signed runs: searches that skip runs find all events, whatever is written at the same time."""

from __future__ import annotations

import random
import tempfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmdbstore import Event, InvalidOption, LMDBEventStore, MemoryEventStore
from lmdbstore.read.record_match import matching_records
from lmdbstore.read.runs import RUN
from lmdbstore.write import sign as signing
from tests.tools.indexes import assert_indexes_agree
from tests.tools.planting import writing
from tests.tools.properties import examples
from tests.tools.stores import signed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lmdbstore.contract.types import Order
    from lmdbstore.patterns.pattern import Pattern


WORDS = ["alpha", "betas", "Gamma", "DELTA", "größe", "1234567", "10.0.0.1", "x"]
PATTERNS = [
    "alpha", "(?i)gamma", "betas|delta", "(?i)delta", "größe", "al.ha", r"\d{3}", "alpha.*betas",
    "nowhere", "(?i)NOWHERE", r"10\.0\.0\.1$", "^x$", "",
]  # fmt: skip


def event(number: int, time: float, words: str) -> Event:
    return Event(f"e{number}", f"s{number % 2}", time, ["f"] * (number % 3 == 0), words)


def numbered(first: int, last: int) -> list[Event]:
    """Return events of which every hundredth is rare and every second has a unique word."""
    return [
        event(n, float(n), f"common {n:06d}" + (" rareword" if n % 100 == 7 else ""))
        for n in range(first, last)
    ]


@pytest.fixture
def short_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing, "RUN", 8)
    monkeypatch.setattr("lmdbstore.write.save.RUN", 8)


# --- which runs get a signature --------------------------------------------------------------


@pytest.mark.usefixtures("short_runs")
def test_save_many_signs_the_runs_that_it_completes(store: LMDBEventStore) -> None:
    store.save_many(numbered(0, 5))
    assert signed(store) == []
    store.save_many(numbered(5, 20))
    assert len(signed(store)) == 2
    for n in range(20, 40):
        store.save(numbered(n, n + 1)[0])
    assert len(signed(store)) == 2, "not on the path of single saves"
    store.save_many(numbered(40, 41))
    assert len(signed(store)) == 4, "what others left is done bit by bit"
    assert store.sign() == 8  # one more run; the tail is not signed
    assert assert_indexes_agree(store) == 41
    runs = signed(store)
    assert store.sign() == 0
    assert signed(store) == runs, "nothing is signed before the first run"


@pytest.mark.usefixtures("short_runs")
def test_runs_of_small_batches_are_signed_when_they_are_full(store: LMDBEventStore) -> None:
    for n in range(0, 100, 3):
        store.save_many(numbered(n, n + 3))
        assert len(signed(store)) == (n + 3) // 8
    assert_indexes_agree(store)


@pytest.mark.usefixtures("short_runs")
def test_a_late_event_removes_only_the_signature_of_its_run(store: LMDBEventStore) -> None:
    store.save_many(numbered(0, 80))
    before = signed(store)
    assert len(before) == 10
    store.save(Event("late", timestamp=20.5, content="surprise"))
    assert [event.id for event in store.search(match="surprise")] == ["late"]
    assert signed(store) == before[:2] + before[3:]
    late = [Event(f"l{n}", timestamp=n, content="surprise") for n in (41.5, 70.5, 70.6, 99.0)]
    store.save_many(late)
    assert store.count(match="surprise") == 5
    assert_indexes_agree(store)
    assert store.sign() > 0
    assert store.count(match="surprise") == 5
    assert_indexes_agree(store)


@pytest.mark.usefixtures("short_runs")
def test_a_delete_keeps_signatures_and_a_rebuild_renews_them(store: LMDBEventStore) -> None:
    store.save_many(numbered(0, 80))
    before = signed(store)
    for n in range(16, 40):
        store.delete(f"e{n}")
    assert signed(store) == before
    assert store.count(match="common") == 56
    assert store.sign(rebuild=True) == 56
    assert len(signed(store)) == 7
    assert store.count(match="common") == 56
    assert_indexes_agree(store)


@pytest.mark.usefixtures("short_runs")
def test_an_older_log_that_is_imported_later_is_signed_too(store: LMDBEventStore) -> None:
    store.save_many(numbered(1000, 1100))
    store.save_many(numbered(0, 100))
    assert len(signed(store)) == 24
    assert store.count(match="rareword") == 2
    assert_indexes_agree(store)


def test_signing_continues_at_its_position_and_uses_many_transactions(path: Path) -> None:
    with LMDBEventStore(path, durability="none", signatures=False) as store:
        store.save_many(numbered(0, 25_000))
        assert signed(store) == []
        before = store._session._environment.lmdb.info()["last_txnid"]
        assert store.sign() == 48 * RUN
        assert store._session._environment.lmdb.info()["last_txnid"] - before == 3
        assert len(signed(store)) == 48
        assert_indexes_agree(store)


# --- searches --------------------------------------------------------------------------------


def test_a_rare_pattern_reads_few_records(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The words of one run are in no other run, so only this run and the tail are read."""
    with LMDBEventStore(path, durability="none") as store:
        store.save_many(numbered(0, 20_000))
        read: list[int] = []

        def counted(pattern: Pattern, records: Sequence[bytes]) -> list[int]:
            read.append(len(records))
            return matching_records(pattern, records)

        monkeypatch.setattr("lmdbstore.read.filter.matching_records", counted)
        for order in ("asc", "desc"):
            read.clear()
            assert [event.id for event in store.search(match="005123", order=order)] == ["e5123"]
            assert sum(read) < 4 * RUN
            assert "signature" in store.explain(match="005123", order=order)
        with store.snapshot() as view:
            read.clear()
            assert view.count(match="005123") == 1
            assert sum(read) < 4 * RUN
        assert "signature" not in store.explain(match=r"\d+")
    with LMDBEventStore(path, signatures=False) as plain:
        assert "signature" not in plain.explain(match="005123")
        read.clear()
        assert plain.count(match="005123") == 1
        assert sum(read) == 20_000


def test_a_search_with_a_wrong_signature_misses_an_event(path: Path) -> None:
    """This shows that the tests here can fail."""
    with LMDBEventStore(path, durability="none") as store:
        store.save_many(numbered(0, RUN))
        (low, end), = signed(store)  # fmt: skip
        with writing(store) as (txn, databases):
            txn.put(low, bytes(128) + end, db=databases.signatures)
        assert store.count(match="rareword") == 0
        assert store.sign(rebuild=True) == RUN
        assert store.count(match="rareword") == 6


def test_an_option_that_is_not_a_bool_is_refused(path: Path) -> None:
    with pytest.raises(InvalidOption, match="signatures"):
        LMDBEventStore(path, signatures=1)  # type: ignore[arg-type]  # on purpose
    with LMDBEventStore(path) as store, pytest.raises(InvalidOption, match="rebuild"):
        store.sign(rebuild="yes")  # type: ignore[arg-type]  # on purpose


Action = tuple[str, int, list[str]]
actions = st.lists(
    st.tuples(
        st.sampled_from(["save", "many", "many", "late", "delete", "sign", "rebuild", "unsigned"]),
        st.integers(0, 40),
        st.lists(st.sampled_from(WORDS), min_size=1, max_size=3),
    ),
    max_size=12,
)


class _Model:
    """The store, and a store without signatures that reads everything."""

    def __init__(self, store: LMDBEventStore, unsigned: LMDBEventStore) -> None:
        self.store, self.unsigned, self.model = store, unsigned, MemoryEventStore()
        self.next = 0
        self.chance = random.Random(7)

    def act(self, action: Action) -> None:
        kind, number, words = action
        if kind == "sign":
            self.store.sign()
        elif kind == "rebuild":
            self.store.sign(rebuild=True)
        elif kind == "delete" and self.next:
            id_ = f"e{number % self.next}"
            if id_ in self.model:
                self.model.delete(id_)
                self.store.delete(id_)
        else:
            self._save(kind, number, words)

    def _save(self, kind: str, number: int, words: list[str]) -> None:
        count = 1 if kind in ("save", "late") else number
        made = []
        for _ in range(count):
            n, self.next = self.next, self.next + 1
            time = float(n) if kind != "late" else self.chance.uniform(-1, n)
            made.append(event(n, time, " ".join(self.chance.sample(words, 1 + n % len(words)))))
        self.model.save_many(made)
        if count == 1:
            self.store.save(made[0])
        else:
            (self.unsigned if kind == "unsigned" else self.store).save_many(made)

    def check(self, low: float, high: float) -> None:
        for pattern in PATTERNS:
            for order in ("asc", "desc"):
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


@given(actions, st.floats(-2, 200), st.floats(-2, 200))
@examples(30)
def test_after_any_writes_searches_find_the_same_with_and_without_signatures(
    done: list[Action], one: float, other: float
) -> None:
    patch = pytest.MonkeyPatch()
    with patch.context() as patched, tempfile.TemporaryDirectory() as folder:
        patched.setattr(signing, "RUN", 4)
        patched.setattr("lmdbstore.write.save.RUN", 4)
        patched.setattr("lmdbstore.read.runs.MOST_RUNS", 3)
        path = folder + "/events"
        with (
            LMDBEventStore(path, durability="none") as store,
            LMDBEventStore(path, durability="none", signatures=False) as unsigned,
        ):
            model = _Model(store, unsigned)
            for action in done:
                model.act(action)
            model.check(min(one, other), max(one, other))
            model.check(-3.0, 1000.0)
            assert_indexes_agree(store)


@pytest.mark.usefixtures("short_runs")
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_signing_does_not_change_the_results_of_a_running_search(path: Path, order: Order) -> None:
    """It finds the events that were there when it began and were not deleted."""
    with LMDBEventStore(path, durability="none", signatures=False) as store:
        store.save_many(numbered(0, 2000))
        with LMDBEventStore(path, durability="none") as other:
            other.sign()
            search = other.search(match="common|never", order=order)
            found = [next(search).id]
            for n in range(0, 2000, 100):
                other.save(Event(f"late{n}", timestamp=n + 0.5, content="common late"))
                other.delete(f"e{n + 50}")
                other.sign(rebuild=n % 200 == 0)
                found.append(next(search).id)
            found += [event.id for event in search]
    assert not any(id_.startswith("late") for id_ in found)
    assert len(found) == len(set(found)) >= 1980
    assert set(found) >= {f"e{n}" for n in range(2000) if n % 100 != 50}
