"""Time limits: a call waits for a stopped process or a busy thread until its limit, and no longer.

A process is stopped in the middle of a write, with all of its locks, or of an opening. A limit that
is over late, on a slow machine, is right too: no test asserts that a call returns soon.
"""

from __future__ import annotations

import fcntl
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import (
    Event,
    EventStoreException,
    EventWriteException,
    InvalidOption,
    LMDBEventStore,
    OpenBusy,
    ReadBusy,
    StoreBusy,
    StoreClosed,
    WriteBusy,
    verify,
)
from lmdbstore.processes.lock_holders import LOCKS, described, held_up_by
from lmdbstore.threads.deadline import Deadline
from lmdbstore.threads.forking import process_lock
from lmdbstore.threads.run_locked import run_locked
from lmdbstore.write.save import Save
from tests.tools.children import ROOT, in_child
from tests.tools.held_writer import LONG, NEW, HeldWriter, threads, waiting
from tests.tools.stopped import THEIRS, stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future
    from pathlib import Path

LIMIT = 0.15  # seconds

Calls = dict[str, "Callable[[Any, dict[str, Any]], object]"]
TIMED_READS: Calls = {
    "get": lambda store, how: store.get("old", **how),
    "get, default": lambda store, how: store.get("absent", None, **how),
    "search": lambda store, how: list(store.search(**how)),
    "search after": lambda store, how: list(store.search(after=Event("old"), **how)),
    "count": lambda store, how: store.count(**how),
    "explain": lambda store, how: store.explain(**how),
    "flags": lambda store, how: store.flags(**how),
    "snapshot": lambda store, how: store.snapshot(**how).close(),
    "stats": lambda store, how: store.stats(**how),
}
TIMED_WRITES: Calls = {
    "save": lambda store, how: store.save(Event("ours"), **how),
    "save_many": lambda store, how: store.save_many([Event("ours"), Event("too")], **how),
    "delete": lambda store, how: store.delete("old", **how),
}
READS_OF_THE_STORE: Calls = {
    "in": lambda store, _: "old" in store,
    "len": lambda store, _: len(store),
    "pages": lambda store, _: store.verify(pages=True),
    "backup": lambda store, _: store.backup(f"{store._path}-copy"),
    "purge": lambda store, _: store.purge(max_events=0),
    "compact": lambda store, _: store.compact(),
    "flush": lambda store, _: store.flush(),
}
WRITES_OF_THE_STORE: Calls = {"sign": lambda store, _: store.sign(rebuild=True)}


@pytest.fixture
def filled(path: Path) -> Path:
    with LMDBEventStore(path) as store:
        store.save(Event("old", timestamp=1.0, tags=["f"]))
    return path


def busy(
    kind: type[StoreBusy], call: Callable[[], object], *words: str, limit: float = LIMIT
) -> None:
    """Check that a call waits until its limit, and says these words."""
    began = time.monotonic()
    with pytest.raises(kind) as caught:
        call()
    assert time.monotonic() - began >= limit
    said = str(caught.value)
    for word in (f"waited {limit:g} s", "timeout=", *words):
        assert word in said, said


def named(pid: int) -> str:
    """Return how a stopped process is named, where the system lists its locks."""
    return f"(process {pid}, which is stopped)" if os.path.exists(LOCKS) else "does not name"


# -- a writer of another process ------------------------------------------------------------------


@pytest.mark.parametrize("per_call", [True, False])
def test_every_call_that_waits_for_a_stopped_writer_ends_at_its_limit(
    filled: Path, *, per_call: bool
) -> None:
    limit = {"timeout": LIMIT}
    with LMDBEventStore(filled, **({} if per_call else limit)) as store:  # type: ignore[arg-type]  # of a dict
        how = limit if per_call else {}
        reads = TIMED_READS | ({} if per_call else READS_OF_THE_STORE)
        writes = TIMED_WRITES | ({} if per_call else WRITES_OF_THE_STORE)
        with stopped(filled, "write") as other:
            for read in reads.values():
                busy(ReadBusy, partial(read, store, how), named(other.pid), "nothing was read")
            for write in writes.values():
                busy(WriteBusy, partial(write, store, how), named(other.pid), "nothing was written")
            other.go()
        assert sorted(event.id for event in store.search()) == sorted(["old", THEIRS])
        store.save(Event("ours"))
        assert len(store) == 3
        assert store.verify() == []


def test_a_limit_of_the_call_replaces_that_of_the_store(filled: Path) -> None:
    with (
        LMDBEventStore(filled, timeout=LONG) as patient,
        LMDBEventStore(filled, timeout=0) as hasty,
        threads() as pool,
    ):
        with stopped(filled, "write") as other:
            busy(ReadBusy, lambda: patient.get("old", timeout=0), limit=0)
            busy(WriteBusy, lambda: patient.save(NEW, timeout=0), limit=0)
            busy(ReadBusy, lambda: hasty.get("old"), limit=0)
            busy(WriteBusy, lambda: hasty.save(NEW), named(other.pid), limit=0)
            read = pool.submit(hasty.get, "old", timeout=None)
            write = pool.submit(hasty.save, NEW, timeout=None)
            assert waiting(read, write)
            other.go()
            assert read.result(LONG).id == "old"
            write.result(LONG)
        hasty.delete("new")


def test_without_a_limit_calls_wait(filled: Path) -> None:
    with LMDBEventStore(filled) as store, threads() as pool:
        with stopped(filled, "write") as other:
            calls: list[Future[Any]] = [pool.submit(store.get, "old", None)]
            calls += [pool.submit(store.save, NEW), pool.submit(store.delete, "old")]
            opening = pool.submit(LMDBEventStore, filled)
            assert waiting(*calls)
            opening.result(LONG).close()  # it shares what is open
            other.go()
            for call in calls:
                call.result(LONG)
        assert {event.id for event in store.search()} == {"new", THEIRS}


def test_a_search_waits_before_its_first_page_only(filled: Path) -> None:
    with LMDBEventStore(filled, timeout=LIMIT) as store:
        search = store.search()
        with stopped(filled, "write"):
            assert [event.id for event in search] == ["old"]


def test_a_reader_with_the_right_to_read_alone_waits_until_its_limit(filled: Path) -> None:
    with LMDBEventStore(filled, readonly=True, timeout=LIMIT) as store:
        with stopped(filled, "write") as other:
            busy(ReadBusy, lambda: store.get("old"), named(other.pid))
            other.go()
        assert THEIRS in store


def test_a_verification_of_pages_waits_until_its_limit(filled: Path) -> None:
    with stopped(filled, "write") as other:
        busy(
            ReadBusy, lambda: verify(filled, pages=True, timeout=LIMIT), named(other.pid), "changed"
        )
        other.go()
    assert verify(filled, pages=True, timeout=LIMIT) == []
    with pytest.raises(InvalidOption, match="timeout"):
        verify(filled, timeout=-1)


# -- threads of this process ----------------------------------------------------------------------


def test_a_follower_gives_up_while_its_leader_waits_for_another_process(filled: Path) -> None:
    with LMDBEventStore(filled) as store, threads() as pool:
        with stopped(filled, "write") as other:
            leader = pool.submit(store.save, Event("leader"))
            assert waiting(leader)
            follower = partial(store.save, Event("follower"), timeout=LIMIT)
            busy(WriteBusy, follower, named(other.pid), "nothing was written")
            busy(WriteBusy, partial(store.save, NEW, timeout=0), named(other.pid), limit=0)
            patient = pool.submit(store.save, Event("patient"))
            assert waiting(leader, patient)
            other.go()
            leader.result(LONG)
            patient.result(LONG)
        assert {event.id for event in store.search()} == {"old", THEIRS, "leader", "patient"}


@contextmanager
def no_thread_leads(store: LMDBEventStore) -> Iterator[None]:
    """Let no thread of this process lead a write, for a `with` block."""
    held, go = threading.Event(), threading.Event()

    def hold() -> None:
        held.set()
        assert go.wait(LONG)

    with threads() as pool:
        holder = pool.submit(store._session._environment.writer.while_idle, hold)
        assert held.wait(LONG)
        try:
            yield
        finally:
            go.set()
            holder.result(LONG)


@contextmanager
def locked(file: Path) -> Iterator[int]:
    """Hold the lock of a file as another process does; yield the descriptor."""
    with open(file, "rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        yield other.fileno()


def test_a_leader_takes_no_change_before_it_has_the_lock(filled: Path) -> None:
    """So the outcome of a change is known as long as another process writes."""
    with LMDBEventStore(filled) as store, threads() as pool:
        queue = store._session._environment.writer._queue
        with locked(filled / "barrier"):
            with no_thread_leads(store):
                leader = pool.submit(store.save, Event("leader"))
                while len(queue) < 1:
                    time.sleep(0.001)
                follower = pool.submit(store.save, Event("follower"), timeout=5 * LIMIT)
                while len(queue) < 2 and not follower.done():
                    time.sleep(0.001)
            with pytest.raises(WriteBusy, match="nothing was written"):
                follower.result(LONG)
            assert not leader.done()
        leader.result(LONG)
        assert {event.id for event in store.search()} == {"old", "leader"}


def test_a_change_that_may_not_wait_is_never_in_the_queue(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No other thread can take it, so its outcome is always known."""
    with LMDBEventStore(filled) as store:
        writer, seen = store._session._environment.writer, list[int]()
        may_lead = writer._may_lead

        def noted(job: Any) -> bool:
            seen.append(len(writer._queue))
            return may_lead(job)

        monkeypatch.setattr(writer, "_may_lead", noted)
        with no_thread_leads(store):
            busy(WriteBusy, lambda: store.save(NEW, timeout=0), "nothing was written", limit=0)
        store.save(NEW, timeout=0)
        assert seen == [0, 0]


def test_a_leader_that_gives_up_leaves_the_others_their_turn(filled: Path) -> None:
    with LMDBEventStore(filled) as store, threads() as pool:
        with stopped(filled, "write") as other:
            leader = pool.submit(store.save, Event("leader"), timeout=LIMIT)
            followers = [
                pool.submit(store.save, Event(f"f{n}"), timeout=None if n else LIMIT)
                for n in range(4)
            ]
            many = pool.submit(store.save_many, [Event("many")])
            with pytest.raises(WriteBusy, match="nothing was written"):
                leader.result(LONG)
            with pytest.raises(WriteBusy, match="nothing was written"):
                followers[0].result(LONG)
            assert waiting(*followers[1:], many)
            other.go()
            for follower in followers[1:]:
                follower.result(LONG)
            many.result(LONG)
        found = {event.id for event in store.search()}
        assert found == {"old", THEIRS, "f1", "f2", "f3", "many"}


def test_a_thread_waits_for_the_write_of_another_thread_until_its_limit(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LMDBEventStore(filled) as store, threads() as pool:
        held = HeldWriter(monkeypatch)
        write = pool.submit(store.save, NEW)
        assert held.reached.wait(LONG)
        how = {"timeout": LIMIT}
        thread = "another thread of this process" if os.path.exists(LOCKS) else "does not name"
        for read in TIMED_READS.values():
            busy(ReadBusy, partial(read, store, how), thread)
        for change in TIMED_WRITES.values():
            busy(WriteBusy, partial(change, store, how), thread, "nothing was written")
        busy(WriteBusy, lambda: store.save(Event("ours"), timeout=0), thread, limit=0)
        held.go.set()
        write.result(LONG)
        assert len(store) == 2


class Turned(Deadline):
    """A limit that is over when the test says so."""

    def __init__(self) -> None:
        super().__init__(LIMIT)
        self.is_over = False

    @property
    def left(self) -> float:
        return 0.0 if self.is_over else 0.001


@pytest.mark.parametrize("fails", [False, True])
def test_the_outcome_of_a_change_that_a_leader_has_taken_is_unknown(
    filled: Path, monkeypatch: pytest.MonkeyPatch, *, fails: bool
) -> None:
    """The leader may write it, or fail: the caller is told that, and the store is right."""
    with LMDBEventStore(filled) as store, threads() as pool:
        first = HeldWriter(monkeypatch)
        before = pool.submit(store.save, NEW)
        assert first.reached.wait(LONG)
        queue, deadline = store._session._environment.writer._queue, Turned()
        leader = pool.submit(store.save, Event("leader"))
        while len(queue) < 1:
            time.sleep(0.001)
        taken = pool.submit(store._session.write, Save(Event("taken")), deadline)
        while len(queue) < 2:
            time.sleep(0.001)
        second = HeldWriter(monkeypatch)  # takes effect for the next commit
        second.error = EventWriteException("made to fail") if fails else None
        first.go.set()
        before.result(LONG)
        assert second.reached.wait(LONG)
        assert not taken.done()
        deadline.is_over = True
        with pytest.raises(WriteBusy, match="not known whether it will be written"):
            taken.result(LONG)
        second.go.set()
        if fails:
            with pytest.raises(EventWriteException, match="made to fail"):
                leader.result(LONG)
        else:
            leader.result(LONG)
        found = {event.id for event in store.search()}
        assert found == {"old", "new"} | (set() if fails else {"leader", "taken"})
        assert not queue


def test_a_change_that_an_interrupted_leader_puts_back_after_its_caller_left_is_dropped(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise it would stay at the head of the queue, where no thread leads it."""
    with LMDBEventStore(filled) as store, threads() as pool:
        writer, deadline = store._session._environment.writer, Turned()
        begun, go = threading.Event(), threading.Event()

        def interrupted(_: Any) -> None:
            begun.set()
            assert go.wait(LONG)
            raise KeyboardInterrupt

        first = HeldWriter(monkeypatch)
        before = pool.submit(store.save, NEW)
        assert first.reached.wait(LONG)
        leader = pool.submit(store.save, Event("leader"))
        while len(writer._queue) < 1:
            time.sleep(0.001)
        taken = pool.submit(store._session.write, Save(Event("taken")), deadline)
        while len(writer._queue) < 2:
            time.sleep(0.001)
        with monkeypatch.context() as patch:
            patch.setattr(writer, "_carry_out", interrupted)
            first.go.set()
            assert begun.wait(LONG)
            deadline.is_over = True
            with pytest.raises(WriteBusy, match="not known"):
                taken.result(LONG)
            go.set()
            with pytest.raises(KeyboardInterrupt):
                leader.result(LONG)
        before.result(LONG)
        assert not writer._queue
        store.save_many([Event("next")])
        assert {event.id for event in store.search()} == {"old", "new", "next"}


def test_settling_the_write_of_a_dead_process_waits_until_the_limit(filled: Path) -> None:
    """The reader takes the write path for it, which a thread of its process may hold."""
    with LMDBEventStore(filled, timeout=LIMIT) as store:
        with stopped(filled, "write"):
            pass  # it is killed
        environment = store._session._environment
        assert environment.barrier.up
        with no_thread_leads(store):
            busy(ReadBusy, lambda: store.get("old"))
        assert [event.id for event in store.search()] == ["old"]
        assert not environment.barrier.up


# -- opening --------------------------------------------------------------------------------------


def test_an_opening_waits_for_a_stopped_opening_until_its_limit(filled: Path) -> None:
    with stopped(filled, "opening") as other:
        for consistency in ("strict", "snapshot"):
            open_ = partial(LMDBEventStore, filled, consistency=consistency)
            busy(OpenBusy, partial(open_, timeout=LIMIT), named(other.pid), "not opened")
            busy(OpenBusy, partial(open_, timeout=0), named(other.pid), limit=0)
        busy(OpenBusy, lambda: verify(filled, timeout=LIMIT), named(other.pid))
        other.go()
    with LMDBEventStore(filled, timeout=LIMIT) as store:
        assert THEIRS in store


def test_a_strict_opening_waits_for_a_stopped_writer_until_its_limit(filled: Path) -> None:
    with stopped(filled, "write") as other, threads() as pool:
        busy(OpenBusy, lambda: LMDBEventStore(filled, timeout=LIMIT), named(other.pid))
        busy(OpenBusy, lambda: LMDBEventStore(filled, timeout=0), named(other.pid), limit=0)
        opening = pool.submit(LMDBEventStore, filled)
        assert waiting(opening)
        other.go()
        with opening.result(LONG) as store:
            assert not store._session._environment.reads_only
            assert THEIRS in store
            store.save(NEW)


def test_an_opening_waits_for_another_thread_until_its_limit(filled: Path, tmp_path: Path) -> None:
    held, go = threading.Event(), threading.Event()

    def hold() -> None:
        held.set()
        assert go.wait(LONG)

    with threads() as pool:
        holder = pool.submit(run_locked, process_lock(), hold)
        assert held.wait(LONG)
        for place in (filled, tmp_path / "new"):
            open_ = partial(LMDBEventStore, place, timeout=LIMIT)
            busy(OpenBusy, open_, "another thread of this process")
        go.set()
        holder.result(LONG)
    assert not (tmp_path / "new").exists()


def test_a_strict_opening_that_waits_for_a_writer_holds_up_no_other_opening_and_no_fork(
    filled: Path, tmp_path: Path
) -> None:
    with stopped(filled, "write") as other, threads() as pool:
        opening = pool.submit(LMDBEventStore, filled)
        assert waiting(opening)
        with LMDBEventStore(tmp_path / "new") as new:
            new.save(NEW)
            in_child(lambda: new.save(Event("of the child")))
            assert len(new) == 2
        with LMDBEventStore(filled, consistency="snapshot") as reader:
            assert "old" in reader
            assert waiting(opening)
            other.go()
            opening.result(LONG).close()


def test_the_first_call_of_a_child_waits_until_its_limit(filled: Path) -> None:
    with LMDBEventStore(filled, timeout=LIMIT) as store, stopped(filled, "write") as other:

        def child() -> None:
            busy(ReadBusy, lambda: store.get("old"), named(other.pid))
            busy(WriteBusy, lambda: store.save(NEW), named(other.pid))
            busy(ReadBusy, store.snapshot, named(other.pid))

        in_child(child)
        other.go()
        in_child(lambda: store.save(NEW))
        assert len(store) == 3


def test_a_strict_child_that_began_beside_a_writer_writes_while_it_holds_a_snapshot(
    filled: Path,
) -> None:
    with LMDBEventStore(filled) as store, stopped(filled, "write") as other:

        def child() -> None:
            with threads() as pool:
                taking = pool.submit(store.snapshot)
                assert waiting(taking)
                os.kill(other.pid, signal.SIGCONT)
                with taking.result(LONG) as view:
                    assert THEIRS in view
                    store.save(NEW)
                    assert "new" not in view

        in_child(child)
        other.go()
        assert len(store) == 3


def test_a_strict_snapshot_of_a_child_waits_until_its_store_can_write(filled: Path) -> None:
    """Otherwise the next write would be refused while the snapshot is open."""
    with LMDBEventStore(filled) as store, locked(filled / "barrier") as other:

        def child() -> None:
            with threads() as pool:
                assert "old" in store
                assert store._session._environment.reads_only
                taking = pool.submit(store.snapshot)
                assert waiting(taking)
                fcntl.flock(other, fcntl.LOCK_UN)
                with taking.result(LONG):
                    store.save(NEW)

        in_child(child)
        assert len(store) == 2


# -- consistency="snapshot" -----------------------------------------------------------------------


def sees_the_old(store: LMDBEventStore) -> None:
    """Make every read of a store that holds one event."""
    for call in TIMED_READS.values():
        call(store, {"timeout": 0})
        call(store, {})
    assert store.stats().events == len(store) == 1
    assert "old" in store


def test_a_reader_of_snapshots_never_waits_for_a_stopped_writer(filled: Path) -> None:
    """Not at its opening, in its reads, or at the first read of a child; its writes wait."""
    with (
        stopped(filled, "write") as other,
        LMDBEventStore(filled, consistency="snapshot") as store,
    ):
        sees_the_old(store)
        in_child(lambda: sees_the_old(store))
        for write in TIMED_WRITES.values():
            how = {"timeout": LIMIT}
            busy(WriteBusy, partial(write, store, how), named(other.pid), "nothing was written")
        sees_the_old(store)
        store.flush()
        assert store.verify() == []
        other.go()
        store.save(NEW)
        assert len(store) == 3
    with LMDBEventStore(filled) as store:
        assert {event.id for event in store.search()} == {"old", "new", THEIRS}


def test_a_reader_that_has_the_store_open_never_waits_either(filled: Path) -> None:
    with LMDBEventStore(filled, consistency="snapshot") as store, stopped(filled, "write"):
        assert not store._session._environment.reads_only
        sees_the_old(store)
        in_child(lambda: sees_the_old(store))


def test_an_open_snapshot_refuses_the_first_write_of_a_store_that_was_opened_beside_a_writer(
    filled: Path,
) -> None:
    with (
        stopped(filled, "write") as other,
        LMDBEventStore(filled, consistency="snapshot", timeout=LIMIT) as store,
    ):
        view = store.snapshot()
        other.go()
        with pytest.raises(EventWriteException, match="close the snapshot") as caught:
            store.save(NEW)
        assert not isinstance(caught.value, StoreBusy)
        assert [event.id for event in view.search()] == ["old"]
        with LMDBEventStore(filled) as strict:
            assert THEIRS in strict
        view.close()
        store.save(NEW)
        with store.snapshot() as view:
            store.save(Event("next"))
            assert "next" not in view


def test_a_snapshot_makes_a_writer_of_its_store_if_the_other_writer_is_done(filled: Path) -> None:
    with (
        stopped(filled, "write") as other,
        LMDBEventStore(filled, consistency="snapshot") as store,
    ):
        other.go()
        with store.snapshot():
            store.save(NEW)
        assert len(store) == 3


def test_stores_of_one_process_may_differ_in_consistency_and_limit(filled: Path) -> None:
    with (
        stopped(filled, "write") as other,
        LMDBEventStore(filled, consistency="snapshot") as store,
        LMDBEventStore(filled, consistency="snapshot", timeout=LIMIT) as hasty,
    ):
        busy(OpenBusy, lambda: LMDBEventStore(filled, timeout=LIMIT), named(other.pid))
        busy(WriteBusy, lambda: hasty.save(NEW), named(other.pid))
        other.go()
        with LMDBEventStore(filled, timeout=0) as strict:
            assert strict._session._environment is store._session._environment
            strict.save(NEW)
        assert len(store) == len(hasty) == 3


def test_a_strict_reader_that_cannot_write_now_continues_after_a_dead_writer(filled: Path) -> None:
    """Like a reader without the right to write: that write was never acknowledged."""
    with stopped(filled, "write"):
        other = LMDBEventStore(filled, consistency="snapshot")
        view = other.snapshot()
    # The writer was killed. The snapshot keeps this process from writing.
    with other, LMDBEventStore(filled, timeout=LIMIT) as store:
        environment = store._session._environment
        assert environment.reads_only
        assert environment.barrier.up
        assert [event.id for event in store.search()] == ["old"]
        assert environment.barrier.up
        view.close()
        assert [event.id for event in store.search()] == ["old"]
        assert not environment.barrier.up
        assert not environment.reads_only
        store.save(NEW)


def test_a_writer_that_cannot_be_opened_closes_the_store_and_says_so(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        stopped(filled, "write") as other,
        LMDBEventStore(filled, consistency="snapshot") as store,
    ):
        other.go()

        def failing(*_: Any, **__: Any) -> None:
            raise StoreClosed("made to fail") from None

        with monkeypatch.context() as patch:
            patch.setattr("lmdbstore.engine.environment.open_lmdb", failing)
            with pytest.raises(EventStoreException, match="made to fail"):
                store.save(NEW)
        with pytest.raises(StoreClosed):
            store.get("old")
    with LMDBEventStore(filled) as again:
        assert len(again) == 2


# -- options, messages, the command line ----------------------------------------------------------


@pytest.mark.parametrize("wrong", [-1, -0.1, float("nan"), True, "1", b"1", [1], object()])
def test_what_is_no_limit_is_refused_before_anything_happens(path: Path, wrong: Any) -> None:
    with pytest.raises(InvalidOption, match=r"^timeout: .*seconds"):
        LMDBEventStore(path, timeout=wrong)
    assert not path.exists()


def test_a_store_pickles_with_its_limit(filled: Path) -> None:
    with LMDBEventStore(filled, timeout=2.5) as store, LMDBEventStore(filled) as other:
        with pickle.loads(pickle.dumps(store)) as again:
            assert again._session.timeout == 2.5
        with pickle.loads(pickle.dumps(other)) as again:
            assert again._session.timeout is None


def test_the_exceptions_are_of_the_kinds_that_callers_catch() -> None:
    assert issubclass(WriteBusy, EventWriteException)
    assert issubclass(ReadBusy, StoreBusy)
    assert issubclass(OpenBusy, StoreBusy)


def test_a_process_is_named_by_what_the_system_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lmdbstore.processes.lock_holders.LOCKS", str(tmp_path / "absent"))
    assert held_up_by(str(tmp_path)) is None
    assert described(1 << 30) == f"unknown (process {1 << 30})"


@pytest.mark.parametrize(
    "command",
    [
        ["search", "--count"],
        ["stats"],
        ["sign"],
        ["purge", "--before", "now"],
        ["verify", "--pages"],
        ["backup", "copy"],
        ["compact"],
        ["import", "-"],
    ],
    ids=lambda command: command[0],
)
def test_a_command_says_in_one_line_what_holds_it_up(filled: Path, command: list[str]) -> None:
    name, *rest = command
    rest = [str(filled.parent / "copy") if word == "copy" else word for word in rest]
    limit = ["--timeout", str(LIMIT)]
    with stopped(filled, "write") as other:
        done = subprocess.run(
            [sys.executable, "-m", "lmdbstore", name, "--db", filled, *limit, *rest],
            input="line",
            capture_output=True,
            text=True,
            check=False,
            timeout=LONG,
            cwd=ROOT,
        )
        assert done.returncode == 2, done
        (line,) = (line for line in done.stderr.splitlines() if "is busy" in line)
        assert f"waited {LIMIT} s" in line
        assert named(other.pid) in line
        other.go()
