"""Strict consistency: a read that begins while a write is under way waits for its end.

The writer is held between its changes and its commit, in a thread and in another process; what a
reader does meanwhile is looked at, and then the writer is let go. A blocked reader is seen by its
not having returned: on a slow machine that can only hide a failure, never make one up.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import Event, EventWriteException, LMDBEventStore, StoreClosed
from lmdbstore.write.transaction import WriteTransaction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LONG = 60  # seconds; ends a hang, decides nothing
SHORT = 0.2  # seconds in which a reader that does not wait would long have returned

READS: dict[str, Callable[[Any], Any]] = {
    "get": lambda store: store.get("new", None) is not None,
    "in": lambda store: "new" in store,
    "len": lambda store: len(store) == 2,
    "search": lambda store: "new" in [event.id for event in store.search()],
    "count": lambda store: store.count(flags=["f"]) == 1,
    "flags": lambda store: store.flags() == {"f": 1},
    "explain": lambda store: "2 events" in store.explain(),
}
NEW = Event("new", timestamp=2.0, tags=["f"])


def snapshot_sees_it(store: LMDBEventStore) -> bool:
    with store.snapshot() as view:
        return "new" in view


READS["snapshot"] = snapshot_sees_it


class HeldWriter:
    """Holds the next commit of this process until it is let go, or made to fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self.go = threading.Event(), threading.Event()
        self.error: Exception | None = None
        commit = WriteTransaction.commit

        def held(txn: WriteTransaction) -> None:
            self.reached.set()
            assert self.go.wait(LONG)
            if self.error:
                raise self.error
            commit(txn)

        monkeypatch.setattr(WriteTransaction, "commit", held)


@contextmanager
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


def waiting(*reads: Future[Any]) -> bool:
    """Whether none of the reads has returned, in a while in which it would have."""
    return not wait(reads, SHORT, FIRST_COMPLETED).done


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


def test_a_read_that_waited_for_a_write_that_failed_sees_the_state_before(
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


def test_a_search_that_began_before_goes_on_without_waiting(
    store: LMDBEventStore, held: HeldWriter
) -> None:
    search = store.search()
    with threads() as pool:
        write = pool.submit(store.save, NEW)
        assert held.reached.wait(LONG)
        assert [event.id for event in search] == ["old"]
        held.go.set()
        write.result(LONG)


def test_a_read_waits_for_one_write_and_not_for_those_that_follow(
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


def test_closing_ends_the_wait_of_a_reader(path: Path, store: LMDBEventStore) -> None:
    store.save(Event("old"))
    with writing_process(path, "hold") as child, threads() as pool:
        read = pool.submit(store.get, "new", None)
        assert waiting(read)
        store.close()
        with pytest.raises(StoreClosed):
            read.result(LONG)
        child.go()


# -- in another process ---------------------------------------------------------------------------

CHILD = """
import os, signal, sys
from lmdbstore import Event, LMDBEventStore
from lmdbstore.write.transaction import WriteTransaction

path, how = sys.argv[1:]
commit = WriteTransaction.commit

def held(txn):
    if how == "after":
        commit(txn)
    print("held", flush=True)
    sys.stdin.readline()
    if how == "fail":
        raise OSError("made to fail")
    if how != "after":
        commit(txn)

store = LMDBEventStore(path, create=False)
WriteTransaction.commit = held
try:
    store.save(Event("new", timestamp=2.0, tags=["f"]))
except Exception as error:
    print(type(error).__name__, flush=True)
store.close()
"""


class Child:
    def __init__(self, path: Path, how: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(path), how],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout
        assert self.process.stdout.readline() == "held\n"

    def go(self) -> None:
        assert self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        assert self.process.wait(LONG) == 0

    def kill(self) -> None:
        self.process.kill()
        assert self.process.wait(LONG) == -signal.SIGKILL


@contextmanager
def writing_process(path: Path, how: str) -> Iterator[Child]:
    child = Child(path, how)
    try:
        yield child
    finally:
        child.process.kill()
        child.process.communicate()


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
        reads = [pool.submit(read, store) for read in READS.values()]
        assert waiting(*reads)
        child.go()
        assert [read.result(LONG) for read in reads] == [seen] * len(reads)


@pytest.mark.parametrize(("how", "seen"), [("hold", False), ("after", True)])
def test_a_reader_settles_the_write_of_a_process_that_died(
    path: Path, store: LMDBEventStore, how: str, *, seen: bool
) -> None:
    store.save(Event("old", timestamp=1.0))
    with writing_process(path, how) as child, threads() as pool:
        reads = [pool.submit(read, store) for read in READS.values()]
        assert waiting(*reads)
        child.kill()
        assert [read.result(LONG) for read in reads] == [seen] * len(reads)
    assert not store._environment.barrier.up
    store.save(Event("next"))


def test_a_readonly_reader_goes_on_when_the_writing_process_died(path: Path) -> None:
    with LMDBEventStore(path) as first:
        first.save(Event("old", timestamp=1.0))
    with LMDBEventStore(path, readonly=True) as store:
        with writing_process(path, "hold") as child:
            child.kill()
        assert [event.id for event in store.search()] == ["old"]
        assert store._environment.barrier.up, "a reader without the right settled it"


def test_a_writer_goes_on_when_the_writing_process_died(path: Path, store: LMDBEventStore) -> None:
    with writing_process(path, "hold") as child:
        child.kill()
    store.save(Event("next"))
    assert [event.id for event in store.search()] == ["next"]


def test_the_byte_stays_odd_until_the_write_of_a_dead_process_is_settled(
    path: Path, store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer that finds the byte odd changes it only when its transaction has begun."""
    with writing_process(path, "hold") as child:
        child.kill()
    barrier = store._environment.barrier
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


def test_a_signal_handler_inside_of_a_write_does_not_wait_for_itself(
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
