"""Time limits among threads: who gives up, and what happens to the changes of the others."""

from __future__ import annotations

import os
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import (
    Event,
    EventWriteException,
    LMDBEventStore,
    ReadBusy,
    WriteBusy,
)
from lmdbstore.processes.lock_list import LOCKS
from lmdbstore.threads.deadline import Deadline
from lmdbstore.write.save import Save
from tests.tools.held_writer import LONG, NEW, HeldWriter, threads, waiting
from tests.tools.stopped import THEIRS, stopped
from tests.tools.waits import (
    LIMIT,
    TIMED_READS,
    TIMED_WRITES,
    busy,
    locked,
    named,
    no_thread_leads,
    with_one_event,
)

if TYPE_CHECKING:
    from pathlib import Path

    from lmdbstore.write.change import Change
    from lmdbstore.write.writer import Writer


@pytest.fixture
def filled(path: Path) -> Path:
    return with_one_event(path)


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
        write = pool.submit(store.save, Event(THEIRS))
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


def never_leading(writer: Writer) -> Change:
    """Return a change whose caller waits for another thread to lead."""
    change, may_lead = Save(Event("taken")), writer._may_lead
    writer._may_lead = lambda job: job.change is not change and may_lead(job)  # type: ignore[method-assign]  # of this writer
    return change


@pytest.mark.parametrize("fails", [False, True])
def test_the_outcome_of_a_change_that_a_leader_has_taken_is_unknown(
    filled: Path, monkeypatch: pytest.MonkeyPatch, *, fails: bool
) -> None:
    """The leader may write it, or fail: the caller is told that, and the store is right."""
    with LMDBEventStore(filled) as store, threads() as pool:
        first = HeldWriter(monkeypatch)
        before = pool.submit(store.save, NEW)
        assert first.reached.wait(LONG)
        writer, deadline = store._session._environment.writer, Turned()
        queue = writer._queue
        leader = pool.submit(store.save, Event("leader"))
        while len(queue) < 1:
            time.sleep(0.001)
        taken = pool.submit(store._session.write, never_leading(writer), deadline)
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
        taken = pool.submit(store._session.write, never_leading(writer), deadline)
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
            busy(ReadBusy, store.count)
        assert [event.id for event in store.search()] == ["old"]
        assert not environment.barrier.up
