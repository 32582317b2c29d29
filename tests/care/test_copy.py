"""Copies during forks, closes, signals and errors of the system: nothing hangs silently.

Code that could hang or end the process runs in a child, with a limit.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import (
    Event,
    EventReadException,
    EventWriteException,
    LMDBEventStore,
    StoreInUse,
    verify,
)
from lmdbstore.care import compact as compacting
from lmdbstore.disk import files
from lmdbstore.disk.folder import StoreFolder
from lmdbstore.processes.barrier import Barrier, write_lock
from lmdbstore.processes.presence import Presence
from lmdbstore.threads.gate import Gate
from tests.tools.children import output_of
from tests.tools.stores import fill

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lmdbstore.threads.deadline import Deadline


LIMIT = 60  # seconds; ends a hang, decides nothing
# In small pieces, so that there is more to copy when the first one is reported.
BEGIN = """
import os, signal, sys, threading
from lmdbstore import Event, EventStoreException, LMDBEventStore
from lmdbstore.care import copy as copying
path, target = sys.argv[1:]
copying.COPY_BYTES = 4096
store = LMDBEventStore(path, durability="none")
store.save_many(Event(f"e{n}", content=f"content {n} " * 20) for n in range(3000))
first = [True]

def once(work):
    def progress(*_):
        if first:
            first.clear()
            work()
    return progress

def fork():
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
"""


def child(path: Path, target: Path, code: str) -> str:
    program = BEGIN + code
    return output_of([sys.executable, "-W", "ignore", "-c", program, str(path), str(target)], LIMIT)


FORKS_ELSEWHERE = """
asked = threading.Event()
thread = threading.Thread(target=lambda: (asked.wait(), fork()))
thread.start()

def meanwhile():
    asked.set()
    while not store._session._environment.gate._barred and thread.is_alive():
        pass
    assert len(store) == 3000
"""
WORKS = {
    "fork": ("", "fork"),
    "read while another thread forks": (FORKS_ELSEWHERE, "meanwhile"),
    "fork from a signal handler": (
        "signal.signal(signal.SIGUSR1, lambda *_: fork())\n",
        "lambda: signal.raise_signal(signal.SIGUSR1)",
    ),
}


@pytest.mark.parametrize(("before", "work"), WORKS.values(), ids=WORKS)
def test_progress_callbacks_may_fork(path: Path, tmp_path: Path, before: str, work: str) -> None:
    """A fork waits until threads leave LMDB; LMDB must not wait for the thread that forks."""
    output = child(
        path,
        tmp_path / "copy",
        f'{before}store.backup(target, progress=once({work}))\nassert not first\nprint("done")\n',
    )
    assert output == "done\n"
    assert verify(tmp_path / "copy", pages=True) == []


def test_progress_callbacks_may_close_the_store(path: Path, tmp_path: Path) -> None:
    """Closing ends the transaction of the copy, and so the backup."""
    output = child(
        path,
        tmp_path / "copy",
        "try:\n"
        "    store.backup(target, progress=once(store.close))\n"
        "except EventStoreException as error:\n"
        "    print(type(error).__name__)\n",
    )
    assert output == "StoreClosed\n"
    assert os.listdir(tmp_path) == ["events"]


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        ("store.backup(target)", "EventWriteException"),
        ("store.compact()", "EventWriteException"),
        ("store.verify(pages=True)", "EventReadException"),
    ],
)
def test_copies_in_a_handler_that_interrupts_a_write_are_refused(
    path: Path, tmp_path: Path, call: str, kind: str
) -> None:
    """It would wait for itself, or release the lock of the write."""
    code = f"""
import fcntl
from lmdbstore.write.transaction import WriteTransaction
begin = WriteTransaction.begin

def handler(*_):
    try:
        {call}
    except EventStoreException as error:
        assert "same thread" in str(error)
        print(type(error).__name__)
    assert store._session._environment.writer.writing_here
    with open(os.path.join(path, "barrier"), "rb") as barrier:
        try:
            fcntl.flock(barrier, fcntl.LOCK_EX | fcntl.LOCK_NB)
            print("the write has lost its lock")
        except BlockingIOError:
            pass

def struck(txn):
    begin(txn)
    WriteTransaction.begin = begin
    signal.raise_signal(signal.SIGUSR1)

signal.signal(signal.SIGUSR1, handler)
WriteTransaction.begin = struck
store.save(Event("x"))
store.save(Event("y"))
assert len(store) == 3002
{call}
"""
    assert child(path, tmp_path / "copy", code) == f"{kind}\n"


def test_copies_in_a_handler_that_interrupts_a_read_are_refused(
    store: LMDBEventStore, tmp_path: Path
) -> None:
    """A thread that closes or forks may hold the lock that it needs, and wait for the read."""
    calls: list[tuple[Callable[[], object], type[Exception]]] = [
        (lambda: store.backup(tmp_path / "copy"), EventWriteException),
        (store.compact, EventWriteException),
        (lambda: store.verify(pages=True), EventReadException),
    ]
    for call, kind in calls:
        with pytest.raises(kind, match="same thread"):
            store._session._environment.gate.run(call)
        call()
        shutil.rmtree(tmp_path / "copy", ignore_errors=True)


def test_an_interrupt_while_the_lock_is_taken_releases_it(
    store: LMDBEventStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store)
    lock = Barrier.lock

    def interrupted(barrier: Barrier, deadline: Deadline) -> None:
        lock(barrier, deadline)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Barrier, "lock", interrupted)
        with pytest.raises(KeyboardInterrupt):
            store.compact()
    with open(path / "barrier", "rb") as barrier:
        fcntl.flock(barrier, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_compaction_excludes_all_others(store: LMDBEventStore, path: Path) -> None:
    """Others cannot write, open the store, or get exclusive access to its folder."""
    fill(store)
    seen: list[int] = []

    def progress(done: int, _: int) -> None:
        seen.append(done)
        with write_lock(StoreFolder(str(path)), wait=False) as free:
            assert not free
        with pytest.raises(StoreInUse):
            Presence(StoreFolder(str(path)))

    store.compact(progress=progress)
    assert seen
    with write_lock(StoreFolder(str(path)), wait=False) as free:
        assert free
    Presence(StoreFolder(str(path))).close()


def test_an_interrupt_during_the_cleanup_leaves_nothing(
    store: LMDBEventStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store)
    remove, struck = files._remove, list[str]()

    def interrupted(name: str, *rest: Any, **how: Any) -> None:
        if stopped and not struck:  # but not while the store of the copy is made
            struck.append(name)
            raise KeyboardInterrupt
        remove(name, *rest, **how)

    stopped: list[int] = []

    def stop(done: int, _: int) -> None:
        stopped.append(done)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(files, "_remove", interrupted)
        with pytest.raises(KeyboardInterrupt):
            store.backup(tmp_path / "copy", progress=stop)
    assert struck
    assert os.listdir(tmp_path) == ["events"]


@pytest.mark.parametrize(
    ("place", "name"),
    [(Gate, "unbar"), (Presence, "_share"), (compacting, "renamed")],
    ids=["gate", "presence", "registry"],
)
def test_an_interrupt_at_the_end_of_a_compaction_excludes_no_one(
    path: Path, monkeypatch: pytest.MonkeyPatch, place: Any, name: str
) -> None:
    """Other threads, other processes, and other stores of this process can continue."""
    whole, times = getattr(place, name), list[int]()

    def interrupted(own: object) -> None:
        if own in owners:  # but not that of the copy
            times.append(1)
            if len(times) == 1:
                raise KeyboardInterrupt
        whole(own)

    with LMDBEventStore(path) as store:
        opened = store._session._environment
        owners = opened, opened.gate, opened.presence
        events = fill(store)
        with monkeypatch.context() as patch:
            patch.setattr(place, name, interrupted)
            with pytest.raises(KeyboardInterrupt):
                store.compact()
        found: list[Event] = []
        thread = threading.Thread(target=lambda: found.extend(store.search()), daemon=True)
        thread.start()
        thread.join(LIMIT)
        assert found == events
        Presence(StoreFolder(str(path))).close()
        with LMDBEventStore(path) as other:
            assert other._session._environment is store._session._environment
        store.save(Event("more"))
