"""What counting reads: as little as it must, and always of one state."""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import Event, LMDBEventStore, MemoryEventStore, StoreDamaged
from lmdbstore.read import live
from lmdbstore.read.counts import matches
from lmdbstore.read.run_range import RunRange
from lmdbstore.records.run import Run
from lmdbstore.write import seal
from tests.tools.damages import small_runs
from tests.tools.planting import writing
from tests.tools.zstd import CAN_COMPRESS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

RUN, RUNS = 8, 10
SEALED = RUN * RUNS
EVENTS = SEALED + 4  # the others are live
BUCKET = 16  # seconds, and as many events: two runs


def event(n: int) -> Event:
    tags = ["all", "even" if n % 2 == 0 else "odd"] + ["rare"] * (n in {21, 50})
    return Event(f"e{n}", "rare" if n == 50 else f"s{n % 3}", float(n), tags, f"text {n}")


@pytest.fixture
def store(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LMDBEventStore]:
    small_runs(monkeypatch, RUN)
    with LMDBEventStore(path, durability="none") as store:
        store.save_many(map(event, range(SEALED)))
        store.seal()
        store.save_many(map(event, range(SEALED, EVENTS)))
        assert store.stats().runs == RUNS
        yield store


@pytest.fixture
def reads(store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count what is read of the store from now on."""
    assert len(store) == EVENTS
    seen: Counter[str] = Counter()

    def count(owner: Any, name: str, what: str) -> None:
        before = getattr(owner, name)

        def counted(*arguments: Any, **named: Any) -> Any:
            if what != "live" or arguments[0]:
                seen[what] += 1
            return before(*arguments, **named)

        monkeypatch.setattr(owner, name, counted)

    count(RunRange, "value", "runs")
    count(Run, "part", "records")
    count(Run, "select", "records")
    count(Run, "check_headers", "headers")
    count(Run, "check_contents", "contents")
    count(live, "decode_live", "live")
    count(live, "checked_records", "live")
    return seen


def test_a_run_in_one_bucket_is_not_read(store: LMDBEventStore, reads: Counter[str]) -> None:
    """The first run is: what it begins with is not known without it."""
    found = store.histogram(BUCKET)
    assert found == [(float(start), min(BUCKET, EVENTS - start)) for start in range(0, 84, BUCKET)]
    # The last event of each second run ends a bucket, and the next run is after that event.
    assert reads == {"runs": 1 + RUNS // 2 - 1}
    reads.clear()
    assert store.histogram("day") == [(0.0, EVENTS)]
    assert reads == {"runs": 1}


def test_a_range_reads_the_runs_that_it_cuts(store: LMDBEventStore, reads: Counter[str]) -> None:
    assert store.histogram("day", ts_start=12, ts_end=66) == [(0.0, 55)]
    assert reads == {"runs": 2}
    reads.clear()
    assert store.histogram("day", ts_start=1e6) == store.histogram("day", ts_end=-1) == []
    assert reads["runs"] <= 1


def test_deleted_events_are_left_out_of_whole_runs(store: LMDBEventStore) -> None:
    for n in (26, 27):
        store.delete(f"e{n}")
    assert store.histogram("day") == [(0.0, EVENTS - 2)]
    assert dict(store.histogram(BUCKET))[16.0] == BUCKET - 2


def test_flags_and_sources_are_counted_by_rows(store: LMDBEventStore, reads: Counter[str]) -> None:
    assert store.histogram("day", flags=["even"]) == [(0.0, EVENTS // 2)]
    assert reads == {"runs": RUNS}
    reads.clear()
    assert store.histogram(1, flags=["rare"])[0] == (21.0, 1)
    assert store.histogram(1, source="rare") == [(50.0, 1)]
    assert reads == {"runs": 3}
    reads.clear()
    assert store.histogram(1, flags=["rare", "even"]) == [(50.0, 1)]
    assert set(reads) == {"runs"}


def test_a_pattern_reads_contents_alone(store: LMDBEventStore, reads: Counter[str]) -> None:
    assert sum(number for _, number in store.histogram(1, match="^text 7")) == 11
    assert set(reads) == {"runs", "contents", "live"}


def test_facets_of_all_events_read_none(store: LMDBEventStore, reads: Counter[str]) -> None:
    facets = store.facets(limit=3)
    assert facets["flags"].values == {"all": EVENTS, "even": EVENTS // 2, "odd": EVENTS // 2}
    assert facets["flags"].others == 1
    assert store.sources() == {"s0": 28, "s1": 28, "s2": 27, "rare": 1}
    assert not reads


def test_facets_read_headers_once_for_each_new_value(
    store: LMDBEventStore, reads: Counter[str]
) -> None:
    facets = store.facets(ts_start=0, ts_end=SEALED - 1)
    assert facets["flags"].values == {"all": SEALED, "even": 40, "odd": 40, "rare": 2}
    # Of the first run, and of those with the first events of the flag and the source "rare".
    assert reads == {"runs": RUNS, "headers": 3}
    reads.clear()
    assert store.facets(flags=["rare"])["source"].values == {"rare": 1, "s0": 1}
    assert reads == {"runs": 2, "headers": 2}


def test_few_events_of_a_run_are_read_alone(
    store: LMDBEventStore, reads: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lmdbstore.read.counts.values.FEW", 2)
    assert store.facets(flags=["rare"])["flags"].values["odd"] == 1
    assert reads == {"runs": 2, "records": 2}


@pytest.mark.parametrize("call", ["search", "count", "histogram", "facets", "explain"])
def test_an_absent_source_is_looked_up(
    store: LMDBEventStore, reads: Counter[str], monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """However many events there are, no run and no live event is looked at."""
    begun, begin = list[str](), store._begin

    def counted(*arguments: Any) -> Any:
        begun.append(call)
        return begin(*arguments)

    monkeypatch.setattr(store, "_begin", counted)
    monkeypatch.setattr(store, "_reads", None)  # a search would read its pages with it
    monkeypatch.setattr(matches, "RunRange", None)  # and a count its runs
    ask: dict[str, Callable[[], Any]] = {
        "search": lambda: list(store.search(source="absent")) == [],
        "count": lambda: store.count(source="absent") == 0,
        "histogram": lambda: store.histogram("day", source="absent") == [],
        "facets": lambda: store.facets(source="absent")["flags"].values == {},
        "explain": lambda: "no event has the source 'absent'" in store.explain(source="absent"),
    }
    assert ask[call]()
    assert (not reads, begun) == (True, [call])


def test_a_rare_source_is_looked_up(store: LMDBEventStore, reads: Counter[str]) -> None:
    assert [one.id for one in store.search(source="rare")] == ["e50"]
    assert reads["runs"] == 1
    assert store.count(source="rare", ts_start=0) == 1
    assert reads["runs"] == 2


def test_a_damaged_run_is_reported_if_it_is_read(store: LMDBEventStore) -> None:
    with writing(store) as (txn, databases):
        (_, _), (end, value), *_ = txn.cursor(db=databases.runs)
        assert txn.put(end, value[:100] + b"?" + value[101:], db=databases.runs)
    assert store.histogram("day") == [(0.0, EVENTS)]
    for call in (lambda: store.histogram(1), lambda: store.facets(ts_end=1e9)):
        with pytest.raises(StoreDamaged, match="run of events that ends at the time 15"):
            call()
    with writing(store) as (txn, databases):
        assert txn.put(end, value, db=databases.runs)


def test_a_deleted_event_of_an_impossible_time_is_no_hindrance(store: LMDBEventStore) -> None:
    store.save_many([Event(str(n), timestamp=1e15 + n) for n in range(RUN)])
    store.seal()
    for n in range(RUN):
        store.delete(str(n))
    assert store.histogram("day") == [(0.0, EVENTS)]


@pytest.mark.parametrize("compressed", [False, True])
def test_counts_are_those_of_the_memory_store(
    path: Path, monkeypatch: pytest.MonkeyPatch, *, compressed: bool
) -> None:
    """With runs and live events that overlap, deleted events, and texts that are no keys."""
    if compressed and not CAN_COMPRESS:
        pytest.skip("zstd is not installed")
    monkeypatch.setattr(matches, "LIVE_CHUNK", 7)
    chance = random.Random(5)
    flags, sources = [f"f{n}" for n in range(30)] + ["y" * 600], ["a", "b", "", "z" * 600]
    events = [
        Event(
            str(n),
            chance.choice(sources),
            1.7e9 + chance.randrange(40 * 86_400) / 2,
            chance.sample(flags, chance.randrange(4)),
            f"{chance.choice(['red', 'blue'])} {n}",
        )
        for n in range(3000)
    ]
    memory = MemoryEventStore()
    with LMDBEventStore(path, durability="none") as store:
        store.save_many(events[::2])
        seal.seal_all(store._session.write, compress=compressed)
        for name in ("RUN", "RUN_BYTES", "WAITING_BYTES", "LATE", "WAITING"):
            monkeypatch.setattr(seal, name, 10**9)
        store.save_many(events[1::2])
        assert store.stats().live == len(events[1::2])
        memory.save_many([*events[::2], *events[1::2]])
        for n in range(0, 3000, 41):
            store.delete(str(n))
            memory.delete(str(n))
        middle = 1.7e9 + 10 * 86_400
        asked: list[dict[str, Any]] = [
            {},
            {"flags": ["f1"]},
            {"flags": ["f1", "f2"]},
            {"flags": ["y" * 600]},
            {"source": "z" * 600},
            {"source": "", "flags": ["f3"], "match": "red"},
            {"ts_start": middle},
            {"ts_start": middle, "ts_end": middle + 5000.0},
            {"match": "blue .*7$", "ts_end": middle},
        ]
        for conditions in asked:
            for bucket in (5000.5, "hour", "day", "month"):
                ours = store.histogram(bucket, "America/New_York", **conditions)
                assert ours == memory.histogram(bucket, "America/New_York", **conditions)
            for limit in (3, None):
                facets = store.facets(limit=limit, **conditions)
                assert facets == memory.facets(limit=limit, **conditions), conditions
        assert store.sources() == memory.sources()
