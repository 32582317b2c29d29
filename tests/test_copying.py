"""Copies that meet forks, closings, signals and refusals of the system: nothing hangs, all is told.

What would hang or end the process runs in a child, with a limit.
"""

from __future__ import annotations

import _thread
import fcntl
import os
import shutil
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import (
    Event,
    EventReadException,
    EventWriteException,
    LMDBEventStore,
    StoreClosed,
    StoreInUse,
    verify,
)
from lmdbstore.care import compact as compacting
from lmdbstore.care import copy as copying
from lmdbstore.care import streaming
from lmdbstore.engine import create as creation
from lmdbstore.engine import environment
from lmdbstore.processes.barrier import Barrier, write_lock
from lmdbstore.processes.presence import Presence
from lmdbstore.threads.gate import Gate
from tests.indexes import assert_indexes_agree
from tests.strace import Call, in_child, needs_strace, read_trace, traced
from tests.test_backup import fill

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LIMIT = 60  # seconds; ends a hang, decides nothing

# More than a pipe holds, so that LMDB is still at it when the first piece is told.
BEGIN = """
import os, signal, sys, threading
from lmdbstore import Event, EventStoreException, LMDBEventStore
from lmdbstore.care import copy as copying
from lmdbstore.care import streaming
path, target = sys.argv[1:]
streaming.PIECE = copying.PIECE = 4096
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
    return in_child([sys.executable, "-W", "ignore", "-c", program, str(path), str(target)], LIMIT)


FORKS_ELSEWHERE = """
asked = threading.Event()
thread = threading.Thread(target=lambda: (asked.wait(), fork()))
thread.start()

def meanwhile():
    asked.set()
    while not store._environment.gate._barred and thread.is_alive():
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


@pytest.mark.parametrize("compact", [True, False])
@pytest.mark.parametrize(("before", "work"), WORKS.values(), ids=WORKS)
def test_what_is_told_of_the_progress_may_fork(
    path: Path, tmp_path: Path, before: str, work: str, *, compact: bool
) -> None:
    """A fork waits until LMDB is left; LMDB must not wait for the one who forks."""
    told = child(
        path,
        tmp_path / "copy",
        f"{before}store.backup(target, compact={compact}, progress=once({work}))\n"
        "assert not first\n"
        'print("done")\n',
    )
    assert told == "done\n"
    assert verify(tmp_path / "copy", pages=True) == []


def test_what_is_told_of_the_progress_may_close_the_store(path: Path, tmp_path: Path) -> None:
    """Closing waits for the copy as it is; of the other it ends the snapshot."""
    told = child(
        path,
        tmp_path / "copy",
        "store.backup(target, compact=False, progress=once(store.close))\n"
        "with LMDBEventStore(path) as store:\n"
        "    first = [True]\n"
        "    try:\n"
        '        store.backup(target + "2", progress=once(store.close))\n'
        "    except EventStoreException as error:\n"
        "        print(type(error).__name__)\n",
    )
    assert told == "StoreClosed\n"
    assert verify(tmp_path / "copy", pages=True) == []
    assert sorted(os.listdir(tmp_path)) == ["copy", "events"]


def test_a_copy_that_is_ended_does_not_end_a_process_that_lets_sigpipe_do_so(
    path: Path, tmp_path: Path
) -> None:
    code = """
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
def stop():
    raise KeyboardInterrupt
try:
    store.backup(target, compact=False, progress=once(stop))
except KeyboardInterrupt:
    print("alive", len(store), os.path.exists(target))
"""
    assert child(path, tmp_path / "copy", code) == "alive 3000 False\n"


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        ("store.backup(target)", "EventWriteException"),
        ("store.backup(target, compact=False)", "EventWriteException"),
        ("store.compact()", "EventWriteException"),
        ("store.verify(pages=True)", "EventReadException"),
    ],
)
def test_a_handler_that_has_interrupted_a_write_is_refused(
    path: Path, tmp_path: Path, call: str, kind: str
) -> None:
    """It would wait for itself, or give away the lock under the write."""
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
    assert store._environment.writer.writing_here
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


def test_a_handler_that_has_interrupted_a_read_is_refused(
    store: LMDBEventStore, tmp_path: Path
) -> None:
    """Whoever closes or forks may hold the lock that it would wait for, and wait for the read."""
    calls: list[tuple[Callable[[], object], type[Exception]]] = [
        (lambda: store.backup(tmp_path / "copy"), EventWriteException),
        (lambda: store.backup(tmp_path / "copy", compact=False), EventWriteException),
        (store.compact, EventWriteException),
        (lambda: store.verify(pages=True), EventReadException),
    ]
    for call, kind in calls:
        with pytest.raises(kind, match="same thread"):
            store._environment.gate.run(call)
        call()
        shutil.rmtree(tmp_path / "copy", ignore_errors=True)


def test_an_interrupt_as_the_lock_is_taken_gives_it_back(
    store: LMDBEventStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store)
    lock = Barrier.lock

    def interrupted(barrier: Barrier) -> None:
        lock(barrier)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Barrier, "lock", interrupted)
        with pytest.raises(KeyboardInterrupt):
            store.compact()
    with open(path / "barrier", "rb") as barrier:
        fcntl.flock(barrier, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_compaction_keeps_all_others_out(store: LMDBEventStore, path: Path) -> None:
    """From writing, from opening the store, and from being alone in its folder."""
    fill(store)
    told: list[int] = []

    def progress(done: int, _: int) -> None:
        told.append(done)
        with write_lock(str(path), wait=False) as free:
            assert not free
        with pytest.raises(StoreInUse):
            Presence(str(path))

    store.compact(progress=progress)
    assert told
    with write_lock(str(path), wait=False) as free:
        assert free
    Presence(str(path)).close()


@pytest.mark.parametrize("compact", [True, False])
def test_an_interrupt_in_the_clearing_up_leaves_nothing_either(
    store: LMDBEventStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, compact: bool
) -> None:
    fill(store)
    remove, times = creation.remove_flat, []

    def interrupted(made: str) -> None:
        times.append(1)
        if len(times) == 1:
            raise KeyboardInterrupt
        remove(made)

    def stop(*_: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(copying, "remove_flat", interrupted)
        with pytest.raises(KeyboardInterrupt):
            store.backup(tmp_path / "copy", compact=compact, progress=stop)
    assert os.listdir(tmp_path) == ["events"]


@pytest.mark.parametrize(
    ("place", "name"),
    [(Gate, "unbar"), (Presence, "_share"), (compacting, "renamed")],
    ids=["gate", "presence", "registry"],
)
def test_an_interrupt_at_the_end_of_a_compaction_keeps_nobody_out(
    path: Path, monkeypatch: pytest.MonkeyPatch, place: Any, name: str
) -> None:
    """Neither other threads, nor other processes, nor other stores of this one."""
    whole, times = getattr(place, name), list[int]()

    def interrupted(own: object) -> None:
        if own in owners:  # and not that of the copy
            times.append(1)
            if len(times) == 1:
                raise KeyboardInterrupt
        whole(own)

    with LMDBEventStore(path) as store:
        opened = store._environment
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
        Presence(str(path)).close()
        with LMDBEventStore(path) as other:
            assert other._environment is store._environment
        store.save(Event("more"))


def test_an_interrupt_as_a_copy_is_started_calls_it_off(
    store: LMDBEventStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Any] = []

    def interrupted(work: Any) -> None:
        started.append(work)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(streaming, "_start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            store.backup(tmp_path / "copy", compact=False)
    assert os.listdir(tmp_path) == ["events"]
    (take,) = started
    stream = take.__self__
    take()  # late, in a thread of its own: it does not begin
    assert stream.failure is None
    assert not stream.ended
    assert os.listdir(tmp_path) == ["events"]


def test_a_thread_that_cannot_be_started_is_told(
    store: LMDBEventStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both of them, and whatever was opened is closed."""
    start, left = _thread.start_new_thread, 0

    def refused(*arguments: Any) -> int:
        nonlocal left
        left -= 1
        if left < 0:
            raise RuntimeError("can't start new thread")
        return start(*arguments)

    for left in (0, 1):  # noqa: B007  counted down in the function
        with monkeypatch.context() as patch:
            patch.setattr(_thread, "start_new_thread", refused)
            with pytest.raises(EventWriteException, match="could not be started"):
                store.backup(tmp_path / "copy", compact=False)
        assert os.listdir(tmp_path) == ["events"]
    store.backup(tmp_path / "copy", compact=False)


# -- what the system refuses ----------------------------------------------------------------------


def failing(folder: str) -> Callable[[str], None]:
    def flush(other: str) -> None:
        if other == folder:
            raise OSError(5, "Input/output error")
        creation.flush_folder(other)

    return flush


@pytest.mark.parametrize("compact", [True, False])
def test_a_backup_whose_name_is_not_on_the_disk_is_taken_back(
    store: LMDBEventStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, compact: bool
) -> None:
    fill(store)
    monkeypatch.setattr(copying, "flush_folder", failing(str(tmp_path)))
    with pytest.raises(EventWriteException, match="Input/output error"):
        store.backup(tmp_path / "copy", compact=compact)
    assert os.listdir(tmp_path) == ["events"]


def test_a_store_whose_new_file_is_not_surely_on_the_disk_is_closed(
    store: LMDBEventStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else what is acknowledged from then on would go with the new file."""
    events = fill(store)
    with monkeypatch.context() as patch:
        patch.setattr(environment, "flush_folder", failing(str(path)))
        with pytest.raises(EventWriteException, match="old file back"):
            store.compact()
    for call in (lambda: store.save(Event()), lambda: store.get("e2999")):
        with pytest.raises(StoreClosed):
            call()
    with LMDBEventStore(path) as again:
        assert list(again.search()) == events
        again.compact()
    store.close()


def test_a_file_that_may_not_be_replaced_stays_in_use(
    store: LMDBEventStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = fill(store)
    before = sorted(os.listdir(path))

    def refused(*_: str) -> None:
        raise PermissionError(1, "Operation not permitted")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", refused)
        with pytest.raises(EventWriteException, match="not permitted"):
            store.compact()
    assert sorted(os.listdir(path)) == before
    assert list(store.search()) == events
    store.save(Event("more"))
    store.compact()
    assert "more" in store


def test_a_forgotten_snapshot_does_not_keep_a_store_from_being_compacted(
    store: LMDBEventStore,
) -> None:
    """Also where only the garbage collector would find it."""
    events = fill(store)
    circle: list[Any] = [store.snapshot()]
    circle.append(circle)
    with pytest.raises(EventWriteException, match="snapshot"):
        store.compact()
    del circle
    store.compact()
    assert list(store.search()) == events


# -- what is on the disk, and when ----------------------------------------------------------------


@pytest.mark.parametrize("work", ["backup", "copy", "compact"])
def test_a_copy_is_flushed_before_it_is_given_its_name(
    path: Path, tmp_path: Path, work: str
) -> None:
    """Its data, then the names of its files, then it is renamed, then that name, and then told."""
    needs_strace()
    with LMDBEventStore(path) as store:
        fill(store, 300)
    calls = {
        "backup": "store.backup(target)",
        "copy": "store.backup(target, compact=False)",
        "compact": "store.compact()",
    }
    code = (
        "import os, sys; from lmdbstore import LMDBEventStore; path, target = sys.argv[1:]\n"
        f"with LMDBEventStore(path) as store:\n    {calls[work]}; os.write(1, b'told')"
    )
    target, trace = tmp_path / "copy", tmp_path / "trace"
    in_child(traced(trace, [sys.executable, "-c", code, str(path), str(target)]))
    found = read_trace(trace)
    name = str(path / "data.mdb") if work == "compact" else str(target)
    (renamed,) = [
        call
        for call in found
        if call.name.startswith("rename") and call.result == 0 and paths(call)[-1] == name
    ]
    made = paths(renamed)[0]
    folder, file = (
        (os.path.dirname(made), made) if work == "compact" else (made, f"{made}/data.mdb")
    )
    written = [call for call in found if "write" in call.name and call.file == file]
    last = max(call.ended for call in written)
    assert last < renamed.begun
    flushed = flushes(found, file, last, renamed.begun)
    assert flushed, "the data is not flushed before the file has its name"
    if work != "compact":
        assert flushes(found, folder, flushed[-1].ended, renamed.begun), "the names are not"
    (told,) = [call for call in found if call.name == "write" and call.strings == [b"told"]]
    parent = os.path.dirname(name)
    assert flushes(found, parent, renamed.ended, told.begun), "the new name is not flushed"


def paths(call: Call) -> list[str]:
    return [os.fsdecode(text) for text in call.strings]


def flushes(calls: list[Call], file: str, after: int, before: int) -> list[Call]:
    """Return the flushes of a file that lie between two lines of a trace."""
    return [
        call
        for call in calls
        if call.name in {"fsync", "fdatasync"}
        and call.result == 0
        and call.file == file
        and after < call.begun
        and call.ended < before
    ]


# -- the commands ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["backup", "copy"], "no backup was made"),
        (["backup", "copy", "--no-compact"], "no backup was made"),
        (["compact"], "the store is as it was"),
    ],
)
def test_ctrl_c_ends_the_commands_with_130(
    path: Path, tmp_path: Path, arguments: list[str], told: str
) -> None:
    """It comes when the first piece is told; nothing is left of the copy."""
    with LMDBEventStore(path) as store:
        events = fill(store)
    before = sorted(os.listdir(path))
    code = """
import os, signal, sys
from contextlib import contextmanager
from lmdbstore.care import copy as copying
from lmdbstore.care import streaming
from lmdbstore.__main__ import main
from lmdbstore.cli import care as looking_after

@contextmanager
def counted(*_):
    yield lambda *_: os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored where we run
streaming.PIECE = copying.PIECE = 4096
looking_after.counted = counted
main()
"""
    command, *more = arguments
    found = subprocess.run(
        [sys.executable, "-c", code, command, "--db", str(path), *more],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.path.dirname(os.path.dirname(copying.__file__))},
    )
    assert (found.returncode, found.stdout) == (130, ""), found.stderr
    assert found.stderr == f"lmdbstore: {told}\n"
    assert os.listdir(tmp_path) == ["events"]
    assert sorted(os.listdir(path)) == before
    with LMDBEventStore(path) as store:
        assert list(store.search()) == events
        assert_indexes_agree(store)
