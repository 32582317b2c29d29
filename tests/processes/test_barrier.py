"""Strict consistency: a read that begins during a write waits for the end of the write.

The writer is held between its changes and its commit, in a thread and in another process; the test
observes a reader in this time, and then releases the writer. A reader that has not returned counts
as blocked: on a slow machine that can only hide a failure, never cause one.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import Event, EventWriteException, LMDBEventStore, StoreClosed
from lmdbstore.write.transaction import WriteTransaction
from tests.tools.held_writer import LONG, NEW, READS, HeldWriter, threads, waiting, writing_process

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch, store: LMDBEventStore) -> HeldWriter:
    store.save(Event("old", timestamp=1.0))
    return HeldWriter(monkeypatch)


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_a_read_waits_for_the_write_of_another_thread(
    store: LMDBEventStore, held: HeldWriter, read: Callable[[Any], bool]
) -> None:
    with threads() as pool:
        write = pool.submit(store.save, NEW)
        assert held.reached.wait(LONG)
        reads = [pool.submit(read, store) for _ in range(3)]
        assert waiting(*reads)
        held.go.set()
        assert [one.result(LONG) for one in reads] == [True] * 3
        write.result(LONG)


def test_a_read_that_waited_for_a_failed_write_sees_the_state_before(
    store: LMDBEventStore, held: HeldWriter
) -> None:
    held.error = EventWriteException("made to fail")
    with threads() as pool:
        write = pool.submit(store.save, NEW)
        assert held.reached.wait(LONG)
        reads = [pool.submit(read, store) for read in READS.values()]
        assert waiting(*reads)
        held.go.set()
        assert [one.result(LONG) for one in reads] == [False] * len(reads)
        with pytest.raises(EventWriteException, match="made to fail"):
            write.result(LONG)


def test_snapshot_consistency_never_waits(
    path: Path, store: LMDBEventStore, held: HeldWriter
) -> None:
    with LMDBEventStore(path, consistency="snapshot") as other, threads() as pool:
        write = pool.submit(store.save, NEW)
        assert held.reached.wait(LONG)
        for read in READS.values():
            assert pool.submit(read, other).result(LONG) is False
        held.go.set()
        write.result(LONG)
        assert "new" in other


def test_a_search_that_began_before_a_write_does_not_wait(
    store: LMDBEventStore, held: HeldWriter
) -> None:
    search = store.search()
    with threads() as pool:
        write = pool.submit(store.save, NEW)
        assert held.reached.wait(LONG)
        assert [event.id for event in search] == ["old"]
        held.go.set()
        write.result(LONG)


def test_a_read_waits_for_one_write_and_not_for_later_ones(
    store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = HeldWriter(monkeypatch)
    with threads() as pool:
        write = pool.submit(store.save, NEW)
        assert first.reached.wait(LONG)
        reads = [pool.submit(store.get, "new") for _ in range(3)]
        assert waiting(*reads)
        second = HeldWriter(monkeypatch)  # takes effect for the next commit
        following = pool.submit(store.save, Event("next"))
        first.go.set()
        write.result(LONG)
        assert second.reached.wait(LONG)
        assert [read.result(LONG).id for read in reads] == ["new"] * 3
        second.go.set()
        following.result(LONG)


def test_close_ends_the_wait_of_a_reader(path: Path, store: LMDBEventStore) -> None:
    store.save(Event("old"))
    with writing_process(path, "hold") as child, threads() as pool:
        read = pool.submit(store.get, "new", None)
        assert waiting(read)
        store.close()
        with pytest.raises(StoreClosed):
            read.result(LONG)
        child.go()


# -- in another process ---------------------------------------------------------------------------


# LMDB shows a write when it is complete. So a `get` that finds an event of a write that only adds
# events does not wait for the byte.
FINDING = {"get": READS["get"], "in": READS["in"]}
OTHERS = {name: read for name, read in READS.items() if name not in FINDING}


@pytest.mark.parametrize(("how", "seen"), [("hold", True), ("fail", False), ("after", True)])
@pytest.mark.parametrize("readonly", [False, True])
def test_a_read_waits_for_the_write_of_another_process(
    path: Path, how: str, *, seen: bool, readonly: bool
) -> None:
    with LMDBEventStore(path) as first:
        first.save(Event("old", timestamp=1.0))
    with (
        LMDBEventStore(path, readonly=readonly) as store,
        writing_process(path, how) as child,
        threads() as pool,
    ):
        waits = OTHERS if how == "after" else READS
        reads = [pool.submit(read, store) for read in waits.values()]
        assert waiting(*reads)
        if how == "after":
            assert all(pool.submit(read, store).result(LONG) for read in FINDING.values())
        child.go()
        assert [read.result(LONG) for read in reads] == [seen] * len(reads)


@pytest.mark.parametrize(("how", "seen"), [("hold", False), ("after", True)])
def test_a_reader_settles_the_write_of_a_dead_process(
    path: Path, store: LMDBEventStore, how: str, *, seen: bool
) -> None:
    store.save(Event("old", timestamp=1.0))
    with writing_process(path, how) as child, threads() as pool:
        waits = OTHERS if how == "after" else READS
        reads = [pool.submit(read, store) for read in waits.values()]
        assert waiting(*reads)
        if how == "after":
            assert all(pool.submit(read, store).result(LONG) for read in FINDING.values())
        child.kill()
        assert [read.result(LONG) for read in reads] == [seen] * len(reads)
    assert not store._session._environment.barrier.up
    store.save(Event("next"))


def test_a_readonly_reader_continues_after_the_writing_process_died(path: Path) -> None:
    with LMDBEventStore(path) as first:
        first.save(Event("old", timestamp=1.0))
    with LMDBEventStore(path, readonly=True) as store:
        with writing_process(path, "hold") as child:
            child.kill()
        assert [event.id for event in store.search()] == ["old"]
        assert store._session._environment.barrier.up, "a reader without the right settled it"


def test_a_writer_continues_after_the_writing_process_died(
    path: Path, store: LMDBEventStore
) -> None:
    with writing_process(path, "hold") as child:
        child.kill()
    store.save(Event("next"))
    assert [event.id for event in store.search()] == ["next"]


def test_the_byte_stays_odd_until_the_write_of_a_dead_process_is_settled(
    path: Path, store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer that finds an odd byte changes it only after its transaction has begun."""
    with writing_process(path, "hold") as child:
        child.kill()
    barrier = store._session._environment.barrier
    begun: list[int] = []
    before = barrier.byte[0]
    begin = WriteTransaction.begin

    def noted(txn: WriteTransaction) -> None:
        begun.append(barrier.byte[0])
        begin(txn)

    monkeypatch.setattr(WriteTransaction, "begin", noted)
    store.save(Event("next"))
    assert begun == [before]
    assert before & 1
    assert not barrier.up


def test_a_signal_handler_inside_a_write_does_not_wait_for_itself(
    store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []
    commit = WriteTransaction.commit

    def interrupted(txn: WriteTransaction) -> None:
        os.kill(os.getpid(), signal.SIGUSR1)
        commit(txn)

    def handler(*_: object) -> None:
        seen.append(store.get("new", None))
        with pytest.raises(EventWriteException, match="would wait for itself"):
            store.save(Event("from the handler"))

    monkeypatch.setattr(WriteTransaction, "commit", interrupted)
    before = signal.signal(signal.SIGUSR1, handler)
    try:
        store.save(NEW)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert seen == [None]
    assert [event.id for event in store.search()] == ["new"]
