"""Strict reads beside a write: those that it may change wait for its end, and all others do not.

The writer is held before its commit or after it, in a thread and in another process, or killed
there. A read that has not returned counts as one that waits, as in `test_barrier`; a read that does
not wait is called in the test itself, which would hang if it waited.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import Event, LMDBEventStore, ReadBusy
from lmdbstore.engine.environment import Environment
from lmdbstore.processes import barrier as barriers
from lmdbstore.processes.barrier import Barrier
from lmdbstore.processes.write_set import EVERYTHING, SIZE, WriteSet, publish
from lmdbstore.write.transaction import WriteTransaction
from tests.tools.children import ROOT
from tests.tools.held_writer import LONG, HeldWriter, threads, waiting
from tests.tools.writes import NEW, READS, WAITS, WRITES, filled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future
    from pathlib import Path


def answers(store: LMDBEventStore, names: set[str]) -> dict[str, object]:
    """Make reads that may wait until a limit; none of these does."""
    return {name: READS[name](store) for name in sorted(names)}


def others(names: set[str]) -> set[str]:
    return READS.keys() - names


@pytest.fixture
def path(path: Path) -> Path:
    with LMDBEventStore(path) as store:
        filled(store)
    return path


@contextmanager
def writing(path: Path, how: str, kind: str) -> Iterator[subprocess.Popen[str]]:
    """Let another process make a write, and hold it "before" or "after" its commit."""
    command = [sys.executable, "-m", "tests.tools.writes", str(path), how, kind]
    pipe = subprocess.PIPE
    child = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT)
    try:
        assert child.stdout
        assert child.stdout.readline() == "held\n"
        yield child
    finally:
        child.kill()
        child.communicate()


def ended(child: subprocess.Popen[str]) -> None:
    child.communicate("\n", timeout=LONG)
    assert child.returncode == 0


def in_limit(store: LMDBEventStore) -> LMDBEventStore:
    """Let a read that waits end with an error, and not hang."""
    store._session.timeout = LONG
    return store


def up(store: LMDBEventStore) -> bool:
    return store._session._environment.barrier.up


@pytest.mark.parametrize("kind", WRITES)
def test_only_reads_that_a_write_of_another_thread_may_change_wait_for_it(
    path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    with in_limit(LMDBEventStore(path)) as store, threads(len(READS) + 4) as pool:
        before = answers(store, {*READS})
        held = HeldWriter(monkeypatch)
        write = pool.submit(WRITES[kind], store)
        try:
            assert held.reached.wait(LONG)
            free = others(WAITS[kind])
            assert answers(store, free) == {name: before[name] for name in free}
            reads = {name: pool.submit(READS[name], store) for name in WAITS[kind]}
            assert waiting(*reads.values())
        finally:
            held.go.set()
        write.result(LONG)
        found = {name: read.result(LONG) for name, read in reads.items()}
        after = answers(store, {*READS})
        assert found == {name: after[name] for name in found}
        assert {name: after[name] for name in free} == {name: before[name] for name in free}


@pytest.mark.parametrize("readonly", [False, True])
@pytest.mark.parametrize("how", ["before", "fail"])
@pytest.mark.parametrize("kind", ["save", "save_many, large", "replace", "delete", "purge"])
def test_only_reads_that_a_write_of_another_process_may_change_wait_for_it(
    path: Path, kind: str, how: str, *, readonly: bool
) -> None:
    with (
        in_limit(LMDBEventStore(path, readonly=readonly)) as store,
        threads(len(READS) + 4) as pool,
    ):
        before = answers(store, {*READS})
        with writing(path, how, kind) as child:
            free = others(WAITS[kind])
            assert answers(store, free) == {name: before[name] for name in free}
            reads = {name: pool.submit(READS[name], store) for name in WAITS[kind]}
            assert waiting(*reads.values())
            ended(child)
        found = {name: read.result(LONG) for name, read in reads.items()}
        after = answers(store, {*READS})
        assert found == {name: after[name] for name in found}
        assert (how == "fail") == (before == after)


@pytest.mark.parametrize("kind", ["save", "save_many, large", "delete"])
@pytest.mark.parametrize("how", ["before", "after"])
@pytest.mark.parametrize("readonly", [False, True])
def test_reads_that_a_dead_writer_could_not_change_do_not_settle_its_write(
    path: Path, kind: str, how: str, *, readonly: bool
) -> None:
    """Whether it is committed or not; the first read that it could change settles it."""
    with in_limit(LMDBEventStore(path, readonly=readonly)) as store:
        before = answers(store, {*READS})
        with writing(path, how, kind) as child:
            free = others(WAITS[kind])
            assert answers(store, free) == {name: before[name] for name in free}
            child.kill()
            child.wait(LONG)
        assert answers(store, free) == {name: before[name] for name in free}
        assert up(store)
        length = len(store)
        assert up(store) == readonly
        expected = {"save": 6, "save_many, large": 605, "delete": 4}[kind]
        assert length == (expected if how == "after" else 5)
        after = answers(store, {*READS})
        assert {name: after[name] for name in free} == {name: before[name] for name in free}
    with LMDBEventStore(path) as store:
        assert answers(store, {*READS}) == after
        store.save(Event("next"))


def test_a_read_begins_its_transaction_after_it_has_seen_the_write(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it might miss the write before that one."""
    order: list[str] = []
    in_progress, inside = Barrier.in_progress, Environment._inside

    def seen(barrier: Barrier) -> WriteSet | None:
        order.append("seen")
        return in_progress(barrier)

    def begun(environment: Environment, *arguments: Any) -> Any:
        order.append("begun")
        return inside(environment, *arguments)

    with in_limit(LMDBEventStore(path)) as store, writing(path, "before", "save") as child:
        monkeypatch.setattr(Barrier, "in_progress", seen)
        monkeypatch.setattr(Environment, "_inside", begun)
        for read in ("get old", "get absent", "history, counted"):
            order.clear()
            READS[read](store)
            assert order[:2] == ["seen", "begun"]
            assert "seen" not in order[1:]
        ended(child)


def test_an_event_that_is_committed_is_found_before_the_writer_says_so(path: Path) -> None:
    with in_limit(LMDBEventStore(path)) as store, writing(path, "after", "save") as child:
        assert store.get("new") == NEW
        assert "new" in store
        with pytest.raises(ReadBusy):
            store.count(timeout=0)
        ended(child)


def test_a_search_that_does_not_wait_for_a_write_leaves_out_what_it_saves(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with in_limit(LMDBEventStore(path)) as store, threads(len(READS) + 4) as pool:
        held = HeldWriter(monkeypatch)
        write = pool.submit(store.save, NEW)
        assert held.reached.wait(LONG)
        search = store.search(flags=["old"])
        held.go.set()
        write.result(LONG)
        store.save(NEW._replace(id="later", tags=["old"]))
        assert [event.id for event in search] == [f"old {n}" for n in range(1, 6)]


def test_a_read_waits_for_the_writes_of_all_threads_that_share_a_transaction(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with in_limit(LMDBEventStore(path)) as store, threads(len(READS) + 4) as pool:
        writer = store._session._environment.writer
        first = HeldWriter(monkeypatch)
        leading = pool.submit(store.save, Event("first", timestamp=50.0))
        assert first.reached.wait(LONG)
        names = ["a", "b", "c"]
        writes = [
            pool.submit(store.save, Event(name, f"of {name}", 1000.0 * n, [f"flag {name}"]))
            for n, name in enumerate(names, 1)
        ]
        while len(writer._queue) < len(writes):
            pass
        for name in names:  # of the next transaction, and not of this one
            assert name not in store
        second = HeldWriter(monkeypatch)
        first.go.set()
        leading.result(LONG)
        assert second.reached.wait(LONG)
        try:
            assert store.count(flags=["old"]) == store.count(ts_end=60.0) - 1 == 5
            reads: list[Future[Any]] = [pool.submit(store.get, name, None) for name in names]
            reads += [pool.submit(store.count, flags=[f"flag {name}"]) for name in names]
            reads += [pool.submit(store.count, source=f"of {name}") for name in names]
            reads += [pool.submit(store.count, 1000.0 * n, 1000.0 * n) for n in (1, 2, 3)]
            assert waiting(*reads)
        finally:
            second.go.set()
        assert [bool(read.result(LONG)) for read in reads] == [True] * len(reads)
        for write in writes:
            write.result(LONG)


# -- what is published ----------------------------------------------------------------------------


def test_reads_wait_if_what_was_published_is_damaged(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each flipped bit, and each other count; then no read relies on it, and none fails."""
    with in_limit(LMDBEventStore(path)) as store, threads(len(READS) + 4) as pool:
        barrier = store._session._environment.barrier
        held = HeldWriter(monkeypatch)
        write = pool.submit(store.save, NEW)
        assert held.reached.wait(LONG)
        try:
            side = barrier.byte
            right = side[:]
            writes = barrier.in_progress()
            assert writes not in (None, EVERYTHING)
            for bit in range(64, SIZE * 8):
                side[bit >> 3] ^= 1 << (bit & 7)
                assert barrier.in_progress() == EVERYTHING, bit
                side[bit >> 3] ^= 1 << (bit & 7)
            for byte in range(1, 256, 2):
                side[0] = byte
                assert barrier.in_progress() == (writes if byte == right[0] else EVERYTHING)
            side[:] = right
            assert "old 3" in store
            side[20] ^= 1
            reads = {name: pool.submit(read, store) for name, read in READS.items()}
            assert waiting(*reads.values())
        finally:
            held.go.set()
        write.result(LONG)
        assert {name: read.result(LONG) for name, read in reads.items()} == answers(store, {*READS})


def test_readers_of_a_barrier_without_room_wait_for_every_write(path: Path) -> None:
    """Another program may have made it of one byte; a store that may write makes it longer."""
    (path / "barrier").write_bytes(b"\0")
    with LMDBEventStore(path, readonly=True) as store, threads(len(READS) + 4) as pool:
        with writing(path, "before", "save") as child:
            reads = {name: pool.submit(read, store) for name, read in READS.items()}
            assert waiting(*reads.values())
            ended(child)
        assert {name: read.result(LONG) for name, read in reads.items()} == answers(store, {*READS})


def test_a_write_is_published_before_the_byte_shows_it_and_its_transaction_begins(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LMDBEventStore(path) as store:
        barrier = store._session._environment.barrier
        seen: list[tuple[bool, WriteSet | None]] = []
        begin = WriteTransaction.begin

        def noted(txn: WriteTransaction) -> None:
            seen.append((barrier.up, barrier.in_progress()))
            begin(txn)

        def publish_first(side: Any, writes: WriteSet) -> int:
            assert not side[0] & 1
            return publish(side, writes)

        monkeypatch.setattr(WriteTransaction, "begin", noted)
        monkeypatch.setattr(barriers, "publish", publish_first)
        store.save(NEW)
        ((is_up, writes),) = seen
        assert is_up
        assert writes is not None
        assert (writes.removes, writes.low, writes.high) == (False, 100.0, 100.0)


def test_a_write_after_a_dead_writer_is_published_when_that_write_is_settled(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then a read of the event that the dead writer has saved, perhaps, has to wait."""
    with LMDBEventStore(path) as store:
        barrier = store._session._environment.barrier
        with writing(path, "before", "save") as child:
            child.kill()
            child.wait(LONG)
        left = barrier.in_progress()
        assert left is not None
        assert left.may_add("new")
        seen: list[WriteSet | None] = []
        begin = WriteTransaction.begin

        def noted(txn: WriteTransaction) -> None:
            seen.append(barrier.in_progress())
            begin(txn)
            seen.append(barrier.in_progress())

        monkeypatch.setattr(WriteTransaction, "begin", noted)
        store.save(Event("next", timestamp=7.0))
        assert seen == [left, left]
        assert not up(store)


def test_an_interrupt_between_publishing_and_the_byte_leaves_no_write_in_progress(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LMDBEventStore(path) as store:
        barrier = store._session._environment.barrier
        counts: list[int] = []

        def interrupted(side: Any, writes: WriteSet) -> int:
            counts.append(publish(side, writes))
            if len(counts) == 1:
                raise KeyboardInterrupt
            return counts[-1]

        monkeypatch.setattr(barriers, "publish", interrupted)
        with pytest.raises(KeyboardInterrupt):
            store.save(NEW)
        assert not up(store)
        assert len(store) == 5
        store.save(NEW)
        assert counts[1] == counts[0] + 2
        assert barrier.byte[0] == counts[1] + 1
        assert "new" in store


@pytest.mark.parametrize("place", ["before", "after"])
def test_a_writer_that_is_killed_as_it_publishes_holds_up_no_one(path: Path, place: str) -> None:
    code = f"""
import os, signal, sys
from lmdbstore import Event, LMDBEventStore
from lmdbstore.processes import barrier

def killed(side, writes):
    side[8:40] = bytes(range(32))  # a part of another write set
    if {place!r} == "after":
        publish(side, writes)
    os.kill(os.getpid(), signal.SIGKILL)

publish, barrier.publish = barrier.publish, killed
LMDBEventStore(sys.argv[1]).save(Event("new"))
"""
    with in_limit(LMDBEventStore(path)) as store:
        subprocess.run([sys.executable, "-c", code, str(path)], check=False, cwd=ROOT)
        assert not up(store)
        assert len(store) == 5
        with writing(path, "before", "save") as child:
            assert "old 3" in store
            with pytest.raises(ReadBusy):
                store.get("new", timeout=0)
            ended(child)
        assert len(store) == 6


Calls = dict[str, "Callable[[LMDBEventStore], object]"]
AT_ONCE: Calls = {
    "get": lambda store: store.get("old 1", timeout=0),
    "count": lambda store: store.count(ts_end=50.0, timeout=0),
    "search": lambda store: list(store.search(flags=["old"], timeout=0)),
}


@pytest.mark.parametrize("call", AT_ONCE.values(), ids=AT_ONCE)
def test_a_limit_of_zero_is_kept_beside_a_write_that_does_not_concern_the_read(
    path: Path, call: Callable[[LMDBEventStore], object]
) -> None:
    with LMDBEventStore(path) as store, writing(path, "before", "save") as child:
        call(store)
        ended(child)
