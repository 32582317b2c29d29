"""A process that is killed at a chosen place: between two steps of a commit, or while it opens.

If there is no line of Python at that place, `strace` holds the process there. A process that has
not continued counts as waiting: on a slow machine that can only hide a failure.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lmdb
import pytest

from lmdbstore import Event, EventReadException, EventWriteException, LMDBEventStore
from lmdbstore.disk.meta_page import meta_at
from lmdbstore.engine import open as opening
from lmdbstore.processes.barrier import Barrier
from lmdbstore.write import writer
from lmdbstore.write.transaction import WriteTransaction
from tests.tools.children import until
from tests.tools.held_writer import LONG, READS, SHORT, threads, waiting, writing_process
from tests.tools.stores import grow
from tests.tools.strace import needs_strace

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

pytestmark = pytest.mark.surroundings


class Program:
    """A running program; it first prints its process id, as its parent may be strace."""

    def __init__(self, code: str, path: Path, under: Sequence[str]) -> None:
        code = f"import os, signal, sys\nprint(os.getpid(), flush=True)\n{code}"
        self.process = subprocess.Popen(
            [*under, sys.executable, "-c", code, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid: int | None = None  # until it has printed it

    def line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline()

    def kill(self) -> None:
        """Kill it, and then strace, which would hold it until its delay is over."""
        if self.process.poll() is None:
            if self.pid is not None:
                os.kill(self.pid, signal.SIGKILL)
            self.process.kill()
            self.process.wait(LONG)


@contextmanager
def program(code: str, path: Path, *, under: Sequence[str] = ()) -> Iterator[Program]:
    running = Program(code, path, under)
    try:
        running.pid = int(running.line())
        yield running
    finally:
        running.kill()
        running.process.communicate()


# -- while it opens -------------------------------------------------------------------------------


def has_open(process: int | None, file: Path, access: int = os.O_RDWR) -> bool:
    """Whether a process has a file open: for writing, or for reading alone."""
    for descriptor in Path(f"/proc/{process}/fd").iterdir():
        with suppress(FileNotFoundError):  # it was closed since
            info = (descriptor.parent.parent / "fdinfo" / descriptor.name).read_text()
            if (
                os.readlink(descriptor) == str(file)
                and int(info.split()[3], 8) & os.O_ACCMODE == access
            ):
                return True
    return False


@pytest.mark.parametrize("number", [4, 5])
def test_a_process_killed_while_opening_does_not_mislead_waiting_openers(
    path: Path, tmp_path: Path, number: int
) -> None:
    """LMDB would use a lock file that says that nothing was ever committed.

    It would continue from either of the two meta pages, and overwrite the other.
    """
    needs_strace()
    events = [f"e{n}" for n in range(number)]
    with LMDBEventStore(path) as store:
        for name in events:
            store.save(Event(name))
    log, data = tmp_path / "calls", path / "data.mdb"
    held = ["strace", "-f", "-o", str(log), "-P", str(data), "-e", "trace=pread64"]
    # The first two are of the inspection of the file; LMDB's come after them.
    held += ["-e", f"inject=pread64:delay_enter={LONG * 1_000_000}:when=3+"]
    opening = "from lmdbstore import Event, LMDBEventStore\nstore = LMDBEventStore(sys.argv[1])"
    with program(opening, path, under=held) as first:
        until(lambda: has_open(first.pid, data), "the first does not come to open the data file")
        using = "store.save(Event('next'))\nprint(len(store))"
        with program(f"{opening}\n{using}", path) as second:
            # It locks the file before LMDB opens it for writing.
            trying = partial(has_open, second.pid, data, os.O_RDONLY)
            until(trying, "the second does not wait for the first")
            first.kill()
            assert second.process.communicate(timeout=LONG)[0] == f"{number + 1}\n"
    with LMDBEventStore(path) as store:
        assert [event.id for event in store.search()] == [*events, "next"]


def test_only_one_process_at_a_time_opens_a_store(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    LMDBEventStore(path).close()
    opened, data = lmdb.open, os.open(path / "data.mdb", os.O_RDONLY)
    calls: list[object] = []

    def noted(*arguments: Any, **options: Any) -> lmdb.Environment:
        with pytest.raises(BlockingIOError):
            fcntl.flock(data, fcntl.LOCK_EX | fcntl.LOCK_NB)
        calls.append(arguments)
        return opened(*arguments, **options)

    monkeypatch.setattr(lmdb, "open", noted)
    try:
        with LMDBEventStore(path):
            fcntl.flock(data, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(data)
    assert len(calls) == 1


@pytest.mark.parametrize("readonly", [False, True])
def test_a_store_may_get_a_larger_map_while_it_is_opened(
    path: Path, monkeypatch: pytest.MonkeyPatch, *, readonly: bool
) -> None:
    LMDBEventStore(path, map_size=1 << 20).close()

    def slow(*arguments: Any, **how: Any) -> Barrier:
        grow(path)
        return Barrier(*arguments, **how)

    monkeypatch.setattr(opening, "Barrier", slow)
    with LMDBEventStore(path, map_size=1 << 20, readonly=readonly) as store:
        assert len(store) == 3000


# -- in a commit ----------------------------------------------------------------------------------


def last_commit(path: Path) -> int:
    """Return the number of the last transaction in a meta page."""
    with open(path / "data.mdb", "rb") as file:
        first = meta_at(file, 0)
        assert first is not None
        second = meta_at(file, first.page_size)
        assert second is not None
    return max(first, second).transaction


@pytest.mark.parametrize("readonly", [False, True])
def test_a_commit_that_is_written_but_not_announced_has_one_outcome(
    path: Path, *, readonly: bool
) -> None:
    """A strict reader completes it; one without the right to write sees it from the next write."""
    needs_strace()
    with LMDBEventStore(path) as first:
        first.save(Event("old", timestamp=1.0))
    before = last_commit(path)
    held = ["strace", "-f", "-o", os.devnull, "-P", str(path / "data.mdb")]
    held += ["-e", "trace=pwrite64", "-e", f"inject=pwrite64:delay_exit={LONG * 1_000_000}"]
    saving = """
from lmdbstore import Event, LMDBEventStore
LMDBEventStore(sys.argv[1]).save(Event("new", timestamp=2.0, tags=["f"]))
"""
    with (
        LMDBEventStore(path, readonly=readonly) as store,
        program(saving, path, under=held) as running,
        threads() as pool,
    ):
        until(lambda: last_commit(path) > before, "nothing is committed")
        reads = [pool.submit(read, store) for read in READS.values()]
        assert "old" in store  # the outcome does not concern it
        assert store.count(ts_end=1.5, timeout=0) == 1
        running.kill()
        assert {read.result(LONG) for read in reads} == {not readonly}
        saving_next = saving.replace('"new", timestamp=2.0, tags=["f"]', '"next", timestamp=3.0')
        with program(saving_next, path) as another:
            assert another.process.wait(LONG) == 0
        assert [event.id for event in store.search()] == ["old", "new", "next"]


def test_the_write_of_a_dead_writer_stays_marked_until_it_is_settled(
    path: Path, store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This holds also after a write that could not begin."""

    def fails(_: WriteTransaction) -> None:
        raise lmdb.Error("made to fail")

    with writing_process(path, "hold") as child:
        child.kill()
    with monkeypatch.context() as patch:
        patch.setattr(WriteTransaction, "begin", fails)
        with pytest.raises(EventWriteException, match="made to fail"):
            store.save(Event("fails"))
    assert store._session._environment.barrier.up
    store.save(Event("next"))
    assert not store._session._environment.barrier.up


def test_the_lock_of_a_killed_writer_is_not_kept_by_its_forked_child(
    path: Path, store: LMDBEventStore
) -> None:
    code = """
from lmdbstore import Event, LMDBEventStore
from lmdbstore.write.transaction import WriteTransaction

store = LMDBEventStore(sys.argv[1])
if not os.fork():
    sys.stdin.read()
    os._exit(0)

def held(_):
    print("held", flush=True)
    signal.pause()

WriteTransaction.commit = held
store.save(Event("new"))
"""
    with threads() as pool, program(code, path) as child:
        assert child.line() == "held\n"
        child.kill()
        pool.submit(store.save, Event("next")).result(LONG)
        assert pool.submit(len, store).result(LONG) == 1


# -- while it reads -------------------------------------------------------------------------------


def test_the_snapshot_of_a_killed_process_does_not_make_the_file_grow(
    path: Path, store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No process opens the store in this time, and its reader table is not full."""
    monkeypatch.setattr(writer, "SLOTS_CHECK", 0.0)
    code = """
from lmdbstore import LMDBEventStore
view = LMDBEventStore(sys.argv[1]).snapshot()
print(len(view), flush=True)
sys.stdin.read()
"""

    def churn(times: int) -> int:
        for _ in range(times):
            names = [f"e{n}" for n in range(20)]
            store.save_many(Event(name, content="x" * 1000) for name in names)
            for name in names:
                store.delete(name)
        return store.stats().map_used

    with program(code, path) as child:
        assert child.line() == "0\n"
        pinned = churn(2)
        assert churn(2) > pinned, "the snapshot should hold on to the past"
        child.kill()
    settled = churn(2)
    assert churn(20) <= settled * 1.1
    assert store.stats().readers == 0


class _Beaten:
    """An open LMDB environment where another thread always frees the slots first."""

    def __init__(self, opened: lmdb.Environment) -> None:
        self._opened = opened

    def __getattr__(self, name: str) -> Any:
        return getattr(self._opened, name)

    def reader_check(self) -> int:
        self._opened.reader_check()
        return 0


def test_a_reader_tries_again_after_another_thread_freed_dead_slots(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = """
from lmdbstore import LMDBEventStore
store = LMDBEventStore(sys.argv[1])
views = [store.snapshot() for _ in range(store.stats().max_readers - 1)]
print("full", flush=True)
sys.stdin.read()
"""
    with LMDBEventStore(path, max_readers=1) as store, store.snapshot() as view:
        with program(code, path) as child:
            assert child.line() == "full\n"
            with pytest.raises(EventReadException, match="max_readers"):
                len(store)
        monkeypatch.setattr(
            store._session._environment, "lmdb", _Beaten(store._session._environment.lmdb)
        )
        assert len(store) == len(view) == 0


AGAIN = 0.05  # seconds; Python does not notice a signal that comes right before a wait


class TimeLimit(Exception):
    """The exception of a reader's own alarm."""


@contextmanager
def limit(seconds: float) -> Iterator[None]:
    def ring(*_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        raise TimeLimit

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("after_others", [False, True])
@pytest.mark.parametrize("name", ["get", "search", "snapshot"])
def test_a_reader_can_limit_its_wait_for_a_writer(
    path: Path, store: LMDBEventStore, name: str, *, after_others: bool
) -> None:
    """A writer that is stopped in its transaction blocks strict readers until they give up.

    An exception from a signal handler ends the wait of a reader at any point; other readers
    continue to wait.
    """
    read = READS[name]
    store.save(Event("old", timestamp=1.0))
    with writing_process(path, "hold") as child, threads() as pool:
        others = [pool.submit(read, store) for _ in range(2 * after_others)]
        assert not others or waiting(*others)
        for _ in range(3):
            began = time.monotonic()
            with pytest.raises(TimeLimit), limit(SHORT / 2):
                read(store)
            assert time.monotonic() - began < LONG
        with LMDBEventStore(path, consistency="snapshot") as impatient, limit(LONG):
            assert read(impatient) is False
        child.go()
        assert [other.result(LONG) for other in others] == [True] * len(others)
        assert read(store) is True
