"""Forks beside threads that stay inside LMDB, or hold up the opening of stores: with limits.

A fork cannot be refused. So at the smallest time limit of the open stores it goes on, and the child
refuses the store in which a thread of the parent was at work.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING

import pytest

from lmdbstore import Event, LMDBEventStore, StoreOpenError
from lmdbstore.threads import forking
from lmdbstore.threads.forking import process_lock
from lmdbstore.threads.run_locked import run_locked
from tests.tools.children import in_child
from tests.tools.held_writer import LONG, NEW, HeldWriter, threads, waiting
from tests.tools.waits import locked, with_one_event

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.surroundings,
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]


@pytest.fixture
def filled(path: Path) -> Path:
    return with_one_event(path)


@pytest.fixture
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forking, "LEAST", 0.05)


def refuses(store: LMDBEventStore) -> None:
    for call in (
        partial(store.get, "old"),
        partial(store.save, NEW),
        store.snapshot,
        partial(LMDBEventStore, store._path),
    ):
        with pytest.raises(StoreOpenError, match=r"forked.*started anew"):
            call()
    store.close()


@pytest.mark.usefixtures("_short")
def test_a_fork_beside_a_write_that_does_not_end_goes_on_at_the_limit(
    filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child refuses that store, and has the others; nothing changes for the parent."""
    with (
        LMDBEventStore(filled, timeout=LONG) as patient,
        LMDBEventStore(tmp_path / "other", timeout=0.01) as other,
        threads() as pool,
    ):
        other.save(NEW)
        held = HeldWriter(monkeypatch)
        write = pool.submit(patient.save, NEW)
        assert held.reached.wait(LONG)

        def child() -> None:
            held.go.set()  # of the child
            refuses(patient)
            assert "new" in other
            other.save(Event("of the child"))

        in_child(child)
        assert "old" in patient
        assert waiting(write)
        held.go.set()
        write.result(LONG)
        assert {event.id for event in patient.search()} == {"old", "new"}
        assert len(other) == 2
        in_child(lambda: patient.save(Event("later")))
        assert len(patient) == 3


INSIDE = """
import os, sys, threading, time
from lmdbstore import LMDBEventStore, StoreOpenError
from lmdbstore.threads import forking

forking.LEAST = 0.05
store = LMDBEventStore(sys.argv[1], timeout=0)
environment = store._session._environment
_, full = os.pipe()
thread = threading.Thread(
    target=lambda: environment.ask(lambda open_: open_.copyfd(full)), daemon=True
)
thread.start()
# The file is larger than what a pipe takes: the thread stays in LMDB.
while not environment.gate._inside:
    time.sleep(0.001)
time.sleep(0.1)
child = os.fork()
if not child:
    try:
        store.get("old")
    except StoreOpenError as error:
        print(type(error).__name__, flush=True)
    sys.exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), len(store), flush=True)
os._exit(0)
"""


def test_a_child_of_a_fork_beside_a_thread_inside_lmdb_ends(filled: Path) -> None:
    """LMDB would wait for the thread if its inherited environment were closed, or collected."""
    with LMDBEventStore(filled) as store:
        store.save_many(Event(content="x" * 1000) for _ in range(200))
    found = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", INSIDE, os.fspath(filled)],
        capture_output=True,
        text=True,
        timeout=LONG,
        check=False,
    )
    assert (found.stdout, found.stderr) == ("StoreOpenError\n7 201\n", "")


def test_a_fork_without_limits_waits_for_the_write(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reads of other threads do not wait with it."""
    monkeypatch.setattr(forking, "LEAST", 0.0)
    with LMDBEventStore(filled, consistency="snapshot") as store, threads() as pool:
        held = HeldWriter(monkeypatch)
        write = pool.submit(store.save, NEW)
        assert held.reached.wait(LONG)
        fork = pool.submit(in_child, lambda: store.save(Event("of the child")))
        gate = store._session._environment.gate
        while not gate._barred:
            pass
        for _ in range(20):
            assert "old" in store
        assert waiting(fork, write)
        monkeypatch.undo()
        held.go.set()
        write.result(LONG)
        fork.result(LONG)
        assert {event.id for event in store.search()} == {"old", "new", "of the child"}


def test_a_store_without_a_limit_does_not_count(filled: Path, tmp_path: Path) -> None:
    deadlines = []
    with LMDBEventStore(filled), LMDBEventStore(tmp_path / "a", timeout=7) as a:
        deadlines.append(forking._deadline(forking._parts["stores"].limits()))  # type: ignore[misc]  # it has them
        with LMDBEventStore(a._path, timeout=0), LMDBEventStore(tmp_path / "b", timeout=3):
            deadlines.append(forking._deadline(forking._parts["stores"].limits()))  # type: ignore[misc]  # the same
    deadlines.append(forking._deadline(forking._parts["stores"].limits()))  # type: ignore[misc]  # the same
    assert [deadline.limit for deadline in deadlines] == [7, forking.LEAST, None]


@pytest.mark.usefixtures("_short")
def test_a_fork_beside_a_long_compaction_goes_on_at_the_limit(filled: Path) -> None:
    """A compaction is outside of LMDB between two pieces, so the child has the store."""
    held, go = threading.Event(), threading.Event()

    def compact() -> None:
        held.set()
        assert go.wait(LONG)

    with LMDBEventStore(filled, timeout=0.01) as store, threads() as pool:
        compaction = pool.submit(run_locked, process_lock(), compact)
        assert held.wait(LONG)
        in_child(lambda: store.save(NEW))
        assert waiting(compaction)
        go.set()
        compaction.result(LONG)
        assert "new" in store
        in_child(lambda: store.delete("new"))
        assert len(store) == 1


@pytest.mark.parametrize("limit", [None, LONG])
def test_an_opening_that_waits_holds_up_no_fork_and_no_other_opening(
    filled: Path, tmp_path: Path, limit: float | None
) -> None:
    with LMDBEventStore(tmp_path / "other") as other, threads() as pool:
        with locked(filled / "data.mdb"):
            opening = pool.submit(LMDBEventStore, filled, timeout=limit)
            assert waiting(opening)
            in_child(lambda: other.save(NEW))
            LMDBEventStore(tmp_path / "third", timeout=LONG).close(timeout=LONG)
            assert waiting(opening)
        with opening.result(LONG) as store:
            assert "old" in store


@pytest.mark.parametrize("limit", [None, LONG])
def test_a_compaction_that_waits_holds_up_no_fork_and_no_opening(
    filled: Path, tmp_path: Path, limit: float | None
) -> None:
    with LMDBEventStore(filled, timeout=limit, consistency="snapshot") as store, threads() as pool:
        with locked(filled / "barrier"):
            compaction = pool.submit(store.compact)
            assert waiting(compaction)
            with LMDBEventStore(tmp_path / "third", timeout=LONG) as third:
                in_child(lambda: third.save(NEW))
            assert waiting(compaction)
        compaction.result(LONG)
        assert [event.id for event in store.search()] == ["old"]
