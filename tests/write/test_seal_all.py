"""`seal()`, and deletes of sealed events: what is written again, merged and removed, and when."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import lmdb
import pytest

from lmdbstore import (
    Event,
    EventNotFound,
    EventWriteException,
    LMDBEventStore,
    ReadOnlyStore,
    StoreClosed,
)
from lmdbstore.disk import format as fmt
from lmdbstore.engine.open_file import OpenFile
from lmdbstore.engine.session import Session
from lmdbstore.write import seal
from lmdbstore.write.runs import Runs
from lmdbstore.write.transaction import WriteTransaction
from tests.tools.indexes import assert_indexes_agree
from tests.tools.planting import writing
from tests.tools.sealing import TINY, count_puts, make_tiny_runs, shape

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from lmdbstore.write.change import Change

RUN = TINY["RUN"]


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    make_tiny_runs(monkeypatch)


def numbered(numbers: Iterable[float]) -> list[Event]:
    return [Event(f"e{n}", "s", float(n), ["f", f"g{n % 3}"], f"word{n}") for n in numbers]


def ids(store: LMDBEventStore) -> list[str]:
    return [event.id for event in store.search()]


def transactions(store: LMDBEventStore) -> int:
    number: int = store._session._environment.lmdb.info()["last_txnid"]
    return number


# -- all of it -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("tiny")
def test_no_event_is_lost_when_one_that_waits_is_too_young_for_merged_runs(
    store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The local ids of a run are close together; those of a late event may be far away."""
    monkeypatch.setattr(seal, "LOCAL_ID_SPAN", 100)
    store.save_many(numbered(range(2 * RUN)))
    store.seal()
    for n in [*range(RUN - 2), *range(RUN, 2 * RUN - 2)]:
        store.delete(f"e{n}")
    for event in numbered(range(1000, 1120)):
        store.save(event)
    store.save(Event("late", "s", RUN + 1.5))
    before = ids(store)
    store.seal()
    assert ids(store) == before
    assert store.get(f"e{RUN - 1}") is not None
    assert_indexes_agree(store)


@pytest.mark.usefixtures("tiny")
def test_a_piece_is_sealed_again_if_it_was_not_committed(
    store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full map grows, and then the change is carried out again."""
    store.save_many(numbered(range(4 * TINY["PIECE_RUNS"] * RUN)))
    store.seal()
    late = [Event(f"late{n}", "s", n * RUN + 0.5) for n in range(4 * TINY["PIECE_RUNS"])]
    for event in late:
        store.save(event)
    check, calls = WriteTransaction.check_room, list[bool]()

    def full_at_first(txn: WriteTransaction, *, many: bool) -> None:
        calls.append(many)
        if len(calls) == 2:
            raise lmdb.MapFullError("full")
        check(txn, many=many)

    monkeypatch.setattr(WriteTransaction, "check_room", full_at_first)
    monkeypatch.setattr(OpenFile, "make_room", lambda *_: "")
    assert store.seal() == len(late)
    assert shape(store).live == 0


@pytest.mark.usefixtures("tiny")
def test_everything_is_sealed(store: LMDBEventStore) -> None:
    for event in numbered(range(5)):
        store.save(event)
    assert store.seal() == 5
    assert shape(store)[:4] == ([5], 0, 0, 0)
    store.save_many(numbered(range(5, 12)))
    store.save(Event("late", timestamp=1.5))
    assert store.seal() == 8
    found = shape(store)
    assert sum(found.runs) == 13
    assert (found.live, found.unsigned) == (0, 0)
    assert ids(store) == ["e0", "e1", "late", *[f"e{n}" for n in range(2, 12)]]
    assert_indexes_agree(store)


def test_an_empty_store_has_nothing_to_seal(store: LMDBEventStore) -> None:
    before = transactions(store)
    assert store.seal() == 0
    assert transactions(store) == before


@pytest.mark.parametrize("size", [0, 3_000, 9_000, 25_000])
def test_a_second_call_changes_nothing(
    store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """Runs that are short because their events are large are complete."""
    make_tiny_runs(monkeypatch)
    store.save_many(event._replace(content="x " * (size // 2)) for event in numbered(range(100)))
    for n in range(10, 60, 2):
        store.save(Event(f"late{n}", timestamp=n + 0.5, content="x " * (size // 2)))
    store.delete("e40")
    assert store.seal() > 0
    before, puts = transactions(store), count_puts(monkeypatch)
    assert store.seal() == 0
    assert puts == []
    assert transactions(store) == before
    assert len(ids(store)) == 124


@pytest.mark.usefixtures("tiny")
def test_small_runs_are_merged(store: LMDBEventStore) -> None:
    """Many calls leave no small runs."""
    for n in range(0, 60, 2):
        store.save_many(numbered(range(n, n + 2)))
        store.seal()
        found = shape(store)
        pairs = list(zip(found.runs, found.runs[1:], strict=False))
        assert all(a + b > RUN for a, b in pairs[:-1]), "the last one was just made"
        assert found.live == 0
    assert ids(store) == [f"e{n}" for n in range(60)]
    for n in range(0, 60, 3):
        store.delete(f"e{n}")
        store.delete(f"e{n + 1}")
    store.seal()
    found = shape(store)
    assert sum(found.runs) == 20
    assert len(found.runs) <= 5
    assert found.dead == 0


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("calls", [1, 2])
def test_events_whose_local_ids_are_far_apart_are_kept(store: LMDBEventStore, calls: int) -> None:
    """They cannot be in one run, because its rows have 4 bytes for a local id."""
    store.save_many(numbered(range(0, 12, 2)))
    store.seal()
    with writing(store) as (txn, databases):
        txn.put(fmt.NEXT, fmt.encode_number(1 << 40), db=databases.meta)
    store.save_many(numbered(range(1, 13, 2)))
    store.save_many(numbered([100]))
    store.delete("e4")
    for _ in range(calls):
        store.seal()
        assert ids(store) == [f"e{n}" for n in range(12) if n != 4] + ["e100"]
        assert store.count(flags=["g0"]) == 4
        assert_indexes_agree(store)


@pytest.mark.usefixtures("tiny")
def test_small_runs_of_local_ids_far_apart_are_not_merged(store: LMDBEventStore) -> None:
    store.save_many(numbered(range(3)))
    store.seal()
    with writing(store) as (txn, databases):
        txn.put(fmt.NEXT, fmt.encode_number(1 << 40), db=databases.meta)
    store.save_many(numbered(range(3, 6)))
    store.seal()
    store.seal()
    assert shape(store).runs == [3, 3]
    assert ids(store) == [f"e{n}" for n in range(6)]


@pytest.mark.usefixtures("tiny")
def test_each_transaction_looks_at_a_few_runs(
    store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    puts = count_puts(monkeypatch)
    store.save_many(numbered(range(400)))
    for n in range(0, 400, 4):
        store.save(Event(f"late{n}", timestamp=n + 0.5))
    done: list[int] = []
    write = Session.write

    def noted(session: Session, change: Change, *arguments: Any) -> None:
        puts.clear()
        write(session, change, *arguments)
        done.append(sum(puts))

    monkeypatch.setattr(Session, "write", noted)
    store.seal()
    assert len(done) > 10
    assert max(done) <= TINY["PIECE_RUNS"] * (TINY["LONGEST"] + RUN)
    assert shape(store).live == 0


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("stop", [1, 2, 5])
def test_an_interrupted_call_keeps_what_it_sealed_and_the_next_continues(
    store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(seal, "RUN", 10**6)  # nothing is sealed
        store.save_many(numbered(range(200)))
    assert shape(store).live == 200
    write, calls = Session.write, list[Any]()

    def interrupted(session: Session, change: Change, *arguments: Any) -> None:
        if len(calls) == stop:
            raise KeyboardInterrupt
        calls.append(change)
        write(session, change, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(Session, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            store.seal()
    left = shape(store).live
    assert left == 200 - stop * TINY["PIECE_RUNS"] * RUN
    assert ids(store) == [f"e{n}" for n in range(200)]
    assert store.seal() == left
    assert shape(store).live == 0
    assert ids(store) == [f"e{n}" for n in range(200)]


def test_a_failure_inside_a_transaction_changes_nothing(
    store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_tiny_runs(monkeypatch)
    store.save_many(numbered(range(20)))
    store.save_many(numbered([n + 0.5 for n in range(0, 20, 9)]))
    before = shape(store)
    with monkeypatch.context() as patched:
        patched.setattr(Runs, "finish", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            store.seal()
    assert shape(store) == before
    assert_indexes_agree(store)
    store.seal()
    assert shape(store).live == 0


def test_only_a_store_that_may_write_is_sealed(path: Path) -> None:
    with LMDBEventStore(path) as store:
        store.save(Event("a"))
    with LMDBEventStore(path, readonly=True) as store, pytest.raises(ReadOnlyStore):
        store.seal()
    with pytest.raises(StoreClosed):
        store.seal()


@pytest.mark.usefixtures("tiny")
def test_writes_come_between_the_transactions_of_a_call(
    store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events saved in the meantime, before and after the place that was reached, are kept."""
    store.save_many(numbered(range(200)))
    store.save_many(numbered([n + 0.5 for n in range(0, 200, 5)]))
    write, extra = Session.write, list[str]()

    def beside(session: Session, change: Change, *arguments: Any) -> None:
        write(session, change, *arguments)
        if isinstance(change, seal.Seal) and len(extra) < 20:
            n = len(extra)
            for event_id, time in ((f"new{n}", float(n)), (f"far{n}", 199.0 - n)):
                extra.append(event_id)
                store.save(Event(event_id, timestamp=time))
            store.delete(f"e{n + 100}")

    monkeypatch.setattr(Session, "write", beside)
    store.seal()
    assert len(extra) == 20
    assert set(extra) <= set(ids(store))
    assert len(ids(store)) == len(store) == 240 + 20 - 10
    assert_indexes_agree(store)


def test_two_threads_may_call_it_at_once(
    store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_tiny_runs(monkeypatch)
    store.save_many(numbered(range(300)))
    store.save_many(numbered([n + 0.5 for n in range(0, 300, 3)]))
    threads = [threading.Thread(target=store.seal) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert shape(store).live == 0
    assert len(ids(store)) == 400
    assert_indexes_agree(store)


# -- deletes of sealed events ----------------------------------------------------------------------


def test_a_deleted_event_is_marked_and_the_run_written_again_at_one_in_eight(
    store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.save_many(numbered(range(64)))
    store.seal()
    puts = count_puts(monkeypatch)
    for n in range(7):
        store.delete(f"e{n * 9}")
        assert puts == []
        assert shape(store)[:2] == ([64], n + 1)
    store.delete("e1")
    assert puts == [56]
    assert shape(store)[:2] == ([56], 0)
    gone = {1, *range(0, 63, 9)}
    assert ids(store) == [f"e{n}" for n in range(64) if n not in gone]
    assert store.count(flags=["f"]) == 56
    assert store.count(match="word") == 56
    assert store.count(0.5, 30.0) == len(set(range(1, 31)) - gone)
    for n in gone:
        assert f"e{n}" not in store
        with pytest.raises(EventNotFound):
            store.delete(f"e{n}")
    assert_indexes_agree(store)


@pytest.mark.usefixtures("tiny")
def test_a_run_whose_events_are_all_deleted_is_removed(store: LMDBEventStore) -> None:
    store.save_many(numbered(range(40)))
    store.seal()
    ends = shape(store).ends
    for n in range(8, 16):
        store.delete(f"e{n}")
        assert_indexes_agree(store)
    assert shape(store).ends == ends[:1] + ends[2:]
    store.save(numbered([9])[0])
    assert ids(store) == [f"e{n}" for n in range(40) if not 8 <= n < 16 or n == 9]


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("order", [1, -1])
def test_all_events_are_deleted_one_by_one(store: LMDBEventStore, order: int) -> None:
    store.save_many(numbered(range(30)))
    store.save_many(numbered([3.5, 3.25]))
    for event_id in ids(store)[::order]:
        store.delete(event_id)
        assert event_id not in store
    assert shape(store)[:4] == ([], 0, 0, 0)
    assert store.flags() == {}
    assert len(store) == 0
    assert store.seal() == 0


@pytest.mark.usefixtures("tiny")
def test_the_end_of_a_run_stays_when_its_last_event_is_deleted(store: LMDBEventStore) -> None:
    store.save_many(numbered(range(16)))
    store.seal()
    ends = shape(store).ends
    store.delete("e7")
    store.delete("e15")
    assert shape(store).ends == ends
    store.save_many(numbered([7.0, 15.0, 14.5]))
    assert ids(store)[-3:] == ["e14", "e14.5", "e15.0"]
    assert store.count(6.5, 7.5) == 1
    store.seal()
    assert len(ids(store)) == 17


@pytest.mark.usefixtures("tiny")
def test_an_id_is_free_again_when_its_sealed_event_is_deleted(store: LMDBEventStore) -> None:
    store.save_many(numbered(range(30)))
    store.seal()
    store.delete("e5")
    store.save(Event("e5", timestamp=5.0, content="again"))
    assert store.get("e5").content == "again"
    store.seal()
    assert store.get("e5").content == "again"
    assert ids(store) == [f"e{n}" for n in range(30)]


def test_the_text_of_deleted_events_is_gone_after_sealing(store: LMDBEventStore) -> None:
    """Until then it may be in the value of its run."""
    store.save_many(numbered(range(64)))
    store.seal()
    store.delete("e33")
    store.seal()
    with store._session._environment.lmdb.begin() as txn:
        databases = store._session._environment.databases
        for _, value in txn.cursor(db=databases.runs):
            assert b"word33" not in value
            assert b"word34" in value


def test_a_refused_write_seals_nothing(
    store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_tiny_runs(monkeypatch)
    store.save_many(numbered(range(9)))
    before = shape(store)
    with pytest.raises(EventWriteException):
        store.save_many([*numbered(range(9, 60)), *numbered([3])])
    assert shape(store) == before
    assert_indexes_agree(store)
