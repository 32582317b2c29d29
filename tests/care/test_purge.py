"""Purge: which events are deleted and which stay, compared with a naive model."""

from __future__ import annotations

import math
import tempfile
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmdbstore import (
    InvalidQuery,
    LMDBEventStore,
    MemoryEventStore,
    Purged,
    ReadOnlyStore,
    StoreClosed,
    StoreDamaged,
)
from lmdbstore.care import choice
from lmdbstore.care import purge as purging
from tests.tools.damages import (
    change_content,
    change_sealed_content,
    fill,
    make_small,
    small_runs,
)
from tests.tools.indexes import assert_indexes_agree
from tests.tools.planting import writing
from tests.tools.properties import examples
from tests.tools.purges import (
    event,
    expected,
    ids,
    in_use,
    is_counted,
    names,
    record_size,
    run_ends,
)

if TYPE_CHECKING:
    from pathlib import Path


NAIVE = datetime(2025, 1, 1, tzinfo=UTC).replace(tzinfo=None)

# -- which events are deleted ---------------------------------------------------------------------


def test_before_is_exclusive_and_equal_timestamps_stay_together(store: LMDBEventStore) -> None:
    store.save_many(event(n, at=float(n // 3)) for n in range(9))
    purged = store.purge(before=1.0)
    assert purged[:1] + purged[2:5] == (3, 0.0, 0.0, 6)
    assert purged.bytes_left == in_use(store)
    assert ids(store) == names(range(3, 9))
    assert store.purge(before=1.0) == Purged(0, 0, None, None, 6, in_use(store))
    assert store.purge(before=math.nextafter(1.0, 2.0)).events == 3
    assert ids(store) == names(range(6, 9))


def test_a_source_or_a_pattern_alone_chooses_what_is_deleted(
    store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a dry run tells how much; live events and sealed ones."""
    small_runs(monkeypatch, 16)
    store.save_many(
        event(n, *["x"] * (n % 5 == 0), source="door" if n % 2 else "roof", text=f"text {n}")
        for n in range(90)
    )
    for number, how in (
        (5, {"match": "7$", "source": "door", "before": 50.0}),
        (1, {"match": "^text 8.$", "source": "roof", "any_flags": ["x", "absent"], "before": 99.0}),
        (40, {"source": "door"}),
        (8, {"flags": ["x"]}),
        (0, {"match": "absent"}),
        (36, {"match": "text"}),
    ):
        before = len(store)
        arguments: Any = how
        assert store.purge(**arguments, dry_run=True).events == number, how
        assert len(store) == before
        assert store.purge(**arguments).events == number
        assert len(store) == before - number
        assert store.verify() == []
    assert len(store) == 0


def test_what_is_compared_with_a_pattern_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flipped bit in a content could make it seem to match, live or sealed."""
    make_small(monkeypatch)
    for damage in (change_content, change_sealed_content):
        with LMDBEventStore(tmp_path / damage.__name__, durability="none") as store:
            fill(store)
            with writing(store) as (txn, databases):
                damage(txn, databases)
            before = len(store)
            with pytest.raises(StoreDamaged):
                store.purge(match="absent")
            assert len(store) == before


def test_negative_and_infinite_times_work(store: LMDBEventStore) -> None:
    store.save_many(event(n, at=at) for n, at in enumerate([-1.7e308, -1.5, 0.0, 1.5, 1.7e308]))
    assert store.purge(before=-math.inf).events == 0
    assert store.purge(before=datetime(1970, 1, 1, tzinfo=UTC)).events == 2
    assert store.purge(before=math.inf)[:1] == (3,)
    assert len(store) == 0


def test_of_equal_timestamps_the_event_saved_first_is_purged_first(store: LMDBEventStore) -> None:
    store.save_many(event(n, at=1.0) for n in range(9))
    assert store.purge(max_events=4).left == 4
    assert ids(store) == names(range(5, 9))
    assert store.purge(max_events=4).events == 0
    assert store.purge(max_events=0) == Purged(4, 4 * 22, 1.0, 1.0, 0, in_use(store))


def test_flags_choose_which_events_are_purged_and_counted(store: LMDBEventStore) -> None:
    store.save_many(event(n, *["a"] * (n % 2), *["b"] * (n % 3 == 0)) for n in range(12))
    assert store.purge(max_events=5, flags=["a"])[:1] == (1,)
    assert "e1" not in store
    assert store.purge(max_events=1, flags=["a", "b"]).left == 1  # of e3 and e9
    assert "e3" not in store
    assert "e9" in store
    assert store.purge(before=6.0, flags=("nowhere",)).events == 0
    assert store.purge(before=6.0, flags=["b"], keep_flags=["a"])[:1] == (1,)  # e0
    assert ids(store) == names([2, 4, 5, 6, 7, 8, 9, 10, 11])


def test_kept_events_count_and_stay(store: LMDBEventStore) -> None:
    store.save_many(event(n, *["keep"] * (n < 6)) for n in range(12))
    assert store.purge(max_events=8, keep_flags=["keep"])[:1] == (4,)
    assert ids(store) == names([*range(6), 10, 11])
    left = store.purge(max_events=3, keep_flags=["keep", "other"])
    assert (left.events, left.left) == (2, 6), "it ends, and says that there are more"
    assert store.purge(before=100.0, max_events=0, max_bytes=0, keep_flags=["keep"]).left == 6
    assert store.purge(max_events=0, flags=["keep"], keep_flags=["keep"]).events == 0


def test_conditions_add_to_each_other(store: LMDBEventStore) -> None:
    store.save_many(event(n) for n in range(10))
    assert store.purge(before=2.0, max_events=6).left == 6
    assert store.purge(before=7.0, max_events=6).left == 3


def test_bytes_are_counted_after_each_event(store: LMDBEventStore) -> None:
    store.save_many(event(n, "f", text="x" * 200) for n in range(500))
    assert store.stats().live == 500
    most = in_use(store) // 2
    purged = store.purge(max_bytes=most)
    assert in_use(store) == purged.bytes_left <= most
    (last,) = ids(store)[:1]
    with LMDBEventStore(store._path) as other:
        assert other.purge(max_bytes=most).events == 0, "it took no more than it had to"
    assert last == f"e{purged.events}"
    assert 200 < purged.events < 450
    kept = store.purge(max_bytes=0, keep_flags=["f"])
    assert (kept.events, kept.left) == (0, 500 - purged.events)


@pytest.mark.usefixtures("small_pieces")
def test_a_piece_ends_with_the_record_that_is_too_large(
    store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purging, "PURGE_BYTES", 100)
    store.save_many(event(n, text="x" * 45) for n in range(7))
    reported: list[tuple[int, int]] = []
    store.purge(before=100.0, progress=lambda done, total: reported.append((done, total)))
    assert reported == [(2, 7), (4, 7), (5, 7), (7, 7)]


def test_a_purge_writes_in_bounded_transactions(
    store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purging, "PURGE_EVENTS", 2048)
    store.save_many(event(n) for n in range(5000))
    number = store._session._environment.lmdb.info()["last_txnid"]
    seen: list[int] = []

    def progress(done: int, _: int) -> None:
        assert assert_indexes_agree(store) == len(store) == 5000 - done
        seen.append(store._session._environment.lmdb.info()["last_txnid"] - number)

    store.purge(before=4900.0, progress=progress)
    assert seen == [1, 2, 3]


# -- against a model ------------------------------------------------------------------------------


FLAGS = ["a", "b", "c", "", "long" * 200]
subsets = st.lists(st.sampled_from(FLAGS), max_size=2, unique=True)
conditions = st.fixed_dictionaries(
    {},
    optional={
        "before": st.floats(-1, 12) | st.integers(-1, 12),
        "max_events": st.integers(0, 30),
        "flags": subsets,
        "keep_flags": subsets,
        "any_flags": subsets,
        "source": st.sampled_from(["s", "r", "absent"]),
        "match": st.sampled_from(["common", "0[0-4]$", "(?i)COMMON 000", "absent", "7"]),
    },
).filter(lambda how: any(how.get(name) not in (None, []) for name in {*how} - {"keep_flags"}))
batches = st.lists(st.tuples(st.integers(0, 10), st.sets(st.sampled_from(FLAGS))), max_size=30)


@given(st.lists(st.tuples(batches, conditions, st.booleans()), min_size=1, max_size=4))
@examples(40)
def test_the_remaining_events_are_those_of_the_model(
    rounds: list[tuple[Any, dict[str, Any], bool]],
) -> None:
    patch, number = pytest.MonkeyPatch(), 0
    with patch.context() as patched, tempfile.TemporaryDirectory() as folder:
        patched.setattr(purging, "PURGE_EVENTS", 5)
        patched.setattr(choice, "SPAN", 3)
        small_runs(patched, 4)
        with LMDBEventStore(folder + "/events", durability="none") as store:
            for batch, how, seal in rounds:
                store.save_many(
                    event(
                        number + n,
                        *sorted(tags),
                        at=float(at),
                        text=f"common {n:04d}",
                        source="s" if n % 3 else "r",
                    )
                    for n, (at, tags) in enumerate(batch)
                )
                number += len(batch)
                if seal:
                    store.seal()
                before = list(store.search())
                promised = store.purge(**how, dry_run=True)
                assert list(store.search()) == before
                purged = store.purge(**how)
                left = list(store.search())
                assert left == expected(before, **how)
                gone = [event for event in before if event not in left]
                assert purged.events == len(gone)
                assert purged.bytes == sum(map(record_size, gone))
                times = [event.timestamp for event in gone]
                assert purged.oldest == min(times, default=None)
                assert purged.newest == max(times, default=None)
                assert purged.left == sum(is_counted(event, how) for event in left)
                assert promised[:5] == purged[:5]
                assert list(store.search(match="common")) == left
                assert_indexes_agree(store)


@pytest.mark.usefixtures("small_pieces")
def test_a_dry_run_estimates_the_effect_of_max_bytes(store: LMDBEventStore) -> None:
    store.save_many(event(n, text="x" * 500) for n in range(2000))
    most, before = in_use(store) // 4, ids(store)
    promised = store.purge(max_bytes=most, dry_run=True)
    assert ids(store) == before
    purged = store.purge(max_bytes=most)
    assert abs(promised.events - purged.events) < 300, "a run has 256 events"
    assert abs(promised.bytes_left - purged.bytes_left) < 200_000


# -- arguments ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({}, r"^before: None cannot be used; pass before=, max_events= or max_bytes="),
        ({"flags": [], "any_flags": [], "keep_flags": ["b"]}, "^before: None"),
        ({"source": 7}, "^source: 7 cannot be used; pass a str"),
        ({"match": 7}, "^match: 7 cannot be used; pass a regular expression"),
        ({"max_events": 1, "match": "("}, "^match: "),
        ({"max_events": 1, "any_flags": "abc"}, "^any_flags: 'abc'"),
        ({"before": math.nan}, "^before: nan cannot be used; pass seconds"),
        ({"before": "yesterday"}, "^before: 'yesterday'"),
        ({"before": True}, "^before: True"),
        ({"before": NAIVE}, "^before: .* has no time zone; pass an aware"),
        ({"max_events": -1}, "^max_events: -1 cannot be used; pass a whole number, 0 or more"),
        ({"max_events": 1.5}, "^max_events: 1.5"),
        ({"max_bytes": -1}, "^max_bytes: -1"),
        ({"max_bytes": "1MiB"}, "^max_bytes: '1MiB'"),
        ({"max_events": 1, "flags": "abc"}, "^flags: 'abc' cannot be used; pass a list"),
        ({"max_events": 1, "keep_flags": "abc"}, "^keep_flags: 'abc'"),
        ({"max_events": 1, "keep_flags": 7}, "^keep_flags: 7"),
        ({"max_events": 1, "flags": [7]}, "^flags: 7"),
        ({"max_events": 1, "keep_flags": ["\ud800"]}, "^keep_flags: .*surrogate"),
        ({"max_events": 1, "dry_run": "no"}, "^dry_run: 'no' cannot be used; pass True or False"),
        ({"max_events": 1, "dry_run": 0}, "^dry_run: 0"),
        ({"max_events": 1, "progress": 7}, "^progress: 7 cannot be used; pass a function"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_deleted(
    store: LMDBEventStore, how: Any, message: str
) -> None:
    store.save(event(1, "a"))
    with pytest.raises(InvalidQuery, match=message):
        store.purge(**how)
    assert len(store) == 1


def test_a_readonly_store_allows_only_dry_runs(path: Path) -> None:
    with LMDBEventStore(path) as store:
        store.save_many(event(n) for n in range(5))
    with LMDBEventStore(path, readonly=True) as store:
        with pytest.raises(ReadOnlyStore):
            store.purge(before=2.0)
        assert store.purge(before=2.0, dry_run=True).events == 2
        assert len(store) == 5
    with pytest.raises(StoreClosed):
        store.purge(before=2.0)


# -- runs -----------------------------------------------------------------------------------------


def test_empty_runs_are_removed_and_others_stay(
    store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_runs(monkeypatch, 8)
    store.save_many(event(n, *["odd"] * (n % 2), text=f"common {n:06d}") for n in range(80))
    before = run_ends(store)
    assert len(before) == 10
    store.purge(before=20.0)
    assert run_ends(store) == before[2:]
    store.purge(before=50.0, flags=["odd"])
    assert run_ends(store) == before[2:], "each run has an even one left"
    store.purge(before=40.0, keep_flags=["odd"])
    assert run_ends(store) == before[5:]
    assert store.count(match="000045") == 0
    assert store.count(match="000046") == 1
    store.purge(max_events=0)
    assert run_ends(store) == []
    assert sum(store.stats().databases.values()) == 4096, "only the page of numbers is left"


def test_events_that_wait_for_a_run_are_purged_in_time_order(
    store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Live and sealed events lie between each other."""
    small_runs(monkeypatch, 40)
    store.save_many(event(n) for n in range(0, 200, 2))
    for n in (1, 7, 79, 81, 133, 199, 201):
        store.save(event(n))
    assert store.stats().live == 7
    everything = sorted([*range(0, 200, 2), 1, 7, 79, 81, 133, 199, 201])
    for most in (106, 103, 60, 59, 3, 0):
        store.purge(max_events=most)
        assert ids(store) == names(everything[len(everything) - most :])
        assert_indexes_agree(store)


def test_too_many_bytes_cost_runs_and_a_part_of_one(store: LMDBEventStore) -> None:
    """The part is so large that the run is written again, and no larger."""
    store.save_many(event(n, text=f"{n} " * 60) for n in range(6 * 512))
    ends = run_ends(store)
    most = in_use(store) * 2 // 3
    purged = store.purge(max_bytes=most)
    assert purged.bytes_left == in_use(store) <= most
    left = run_ends(store)
    assert left == ends[len(ends) - len(left) :]
    assert len(left) in {4, 5}
    assert most - in_use(store) < 30_000, "an eighth of a run has 13,000 bytes"
    assert store.purge(max_bytes=most).events == 0
    few = in_use(store) - 1
    assert 0 < store.purge(max_bytes=few).events <= 512 // 8


def test_the_bytes_of_sealed_records_are_exact(
    store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_runs(monkeypatch, 16)
    events = [event(n, *["a"] * (n % 3), text="é\n" * (n % 5)) for n in range(64)]
    events = [one._replace(tags=one.tags[:1]) for one in events]
    store.save_many(events)
    for how, gone in (
        ({"before": 3.0}, events[:3]),
        ({"before": 16.0}, events[3:16]),
        ({"before": 60.0, "flags": ["a"]}, [one for one in events[16:60] if one.tags]),
        ({"max_events": 0}, [one for one in events[16:] if not one.tags] + events[61:63]),
    ):
        size = sum(map(record_size, gone))
        assert store.purge(**how, dry_run=True)[:2] == (len(gone), size)
        assert store.purge(**how)[:2] == (len(gone), size)


def test_endless_retention_needs_constant_space(
    store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_runs(monkeypatch, 16)
    runs, model = list[int](), MemoryEventStore()
    for n in range(60):
        made = [event(100 * n + m, text=f"common {m:04d}") for m in range(100)]
        store.save_many(made)
        store.purge(max_events=300)
        store.seal()
        runs.append(len(run_ends(store)))
        model = MemoryEventStore()
        model.save_many(list(store.search()))
        assert store.count(match="0042") == model.count(match="0042")
    assert max(runs[3:]) <= 2 * 300 // 16
