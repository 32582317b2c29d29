"""Open snapshots are shown with process, age and distance, until they end."""

from __future__ import annotations

import fcntl
import gc
import json
import multiprocessing
import os
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from lmdbstore import Event, LMDBEventStore, SnapshotInfo
from lmdbstore.disk.files import open_directory
from lmdbstore.processes import snapshot_notes as holders
from lmdbstore.processes.snapshot_notes import SLOT, Noted, Reader, readers_in, snapshots
from tests.tools.children import in_child
from tests.tools.commands import on_terminal, process
from tests.tools.interrupts import interrupted_at_each_step
from tests.tools.stores import rights
from tests.tools.users import BECOME_ANOTHER, folder_for_all, needs_another_user

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.surroundings

LONG = 60  # seconds; ends a hang, decides nothing

HOLDER = """
import sys
from lmdbstore import LMDBEventStore
from lmdbstore.processes import snapshot_notes as holders
path, number, prepare = sys.argv[1], int(sys.argv[2]), sys.argv[3]
holders.PATIENCE = 60.0
exec(prepare)
store = LMDBEventStore(path, **options)
views = [store.snapshot() for _ in range(number)]
print("holding", flush=True)
for line in sys.stdin:
    exec(line)
    print("done", flush=True)
"""


class Holder:
    """A process that holds snapshots."""

    def __init__(self, path: Path, number: int, prepare: str) -> None:
        command = [sys.executable, "-c", HOLDER, str(path), str(number), prepare]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.pid = self.process.pid
        self._killer = threading.Timer(LONG, self.process.kill)
        self._killer.start()
        try:
            self.answer("holding")
        except BaseException:
            self.end()
            raise

    def answer(self, expected: str) -> None:
        assert self.process.stdout
        assert self.process.stdout.readline().decode().strip() == expected

    def do(self, line: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()
        self.answer("done")

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self._killer.cancel()
        self._killer.join()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream
            stream.close()


@contextmanager
def holding(path: Path, number: int = 1, prepare: str = "options = {}") -> Iterator[Holder]:
    holder = Holder(path, number, prepare)
    try:
        yield holder
    finally:
        holder.end()


def shown(store: LMDBEventStore) -> list[tuple[int, int]]:
    return [(held.process, held.behind) for held in store.stats().snapshots]


# -- what is shown --------------------------------------------------------------------------------


def test_a_snapshot_of_another_process_is_shown_with_its_age(
    store: LMDBEventStore, path: Path
) -> None:
    store.save(Event("a"))
    assert store.stats().snapshots == ()
    with holding(path) as holder:
        before = time.monotonic()
        time.sleep(0.02)
        for n in range(3):
            store.save(Event(f"b{n}"))
        slept = time.monotonic() - before
        (held,) = store.stats().snapshots
        assert held.age is not None
        assert held.age >= slept
        assert (held.process, held.behind) == (holder.pid, 3)
        if os.path.exists("/proc/self/comm"):
            with open(f"/proc/{holder.pid}/comm", encoding="utf-8") as file:
                assert held.command == file.read().strip()
        with LMDBEventStore(path) as same, same.snapshot():
            assert shown(store) == [(holder.pid, 3), (os.getpid(), 0)]
        assert shown(store) == [(holder.pid, 3)]
        holder.do("views[0].close()")
        assert shown(store) == []


def test_each_snapshot_has_its_own_age(store: LMDBEventStore) -> None:
    began = time.monotonic()
    with store.snapshot():
        between = time.monotonic()
        with store.snapshot():
            young, old = sorted(held.age or 0.0 for held in store.stats().snapshots)
            now = time.monotonic()
            assert 0 < young <= now - between
            assert young < old <= now - began


def test_snapshots_of_a_killed_process_disappear_and_free_their_slots(
    store: LMDBEventStore, path: Path
) -> None:
    store.save(Event("a"))
    for _ in range(3):
        with holding(path, number=20) as holder:
            store.save(Event())
            assert shown(store) == [(holder.pid, 1)] * 20
        assert shown(store) == []
        assert (path / "snapshots").stat().st_size == 20 * SLOT, "the file grows"
    assert any((path / "snapshots").read_bytes()), "the notes of the dead are there"


def test_a_dropped_or_ended_snapshot_is_not_shown(path: Path) -> None:
    with LMDBEventStore(path) as store:
        store.save(Event("a"))
        view = store.snapshot()
        other = store.snapshot()
        cycle = [other]
        cycle.append(cycle)  # type: ignore[arg-type]  # on purpose
        assert len(shown(store)) == 2
        del view
        assert len(shown(store)) == 1
        del other, cycle
        gc.collect()
        assert notes(path) == []
        ended = store.snapshot()
        with LMDBEventStore(path) as same, same.snapshot():
            assert len(shown(store)) == 2
        store._session._environment.adopt_map()  # as when another process gave it a larger one
        assert (shown(store), notes(path)) == ([], [])
        ended.close()
        kept = store.snapshot()
        assert len(notes(path)) == 1
    assert notes(path) == []
    kept.close()


def notes(path: Path) -> list[bytes]:
    data = (path / "snapshots").read_bytes()
    assert len(data) % SLOT == 0
    slots = [data[at : at + SLOT] for at in range(0, len(data), SLOT)]
    return [slot for slot in slots if any(slot)]


def test_a_note_is_cleared_before_its_transaction_ends(
    store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise another process could have its slot when the note is cleared."""
    write, readers = os.pwrite, list[int]()

    def looking(descriptor: int, data: bytes, place: int) -> int:
        if not any(data):
            readers.append(readers_in(store._session._environment.lmdb.readers()).total())
        return write(descriptor, data, place)

    monkeypatch.setattr(os, "pwrite", looking)
    store.snapshot().close()
    view = store.snapshot()
    del view
    ended = store.snapshot()
    store._session._environment.adopt_map()
    assert readers == [1, 1, 1]
    ended.close()


def test_a_forked_child_does_not_change_notes_of_its_parent(
    store: LMDBEventStore, path: Path
) -> None:
    store.save(Event("a"))

    view = store.snapshot()

    def child() -> None:
        view.close()
        gc.collect()
        assert shown(store) == [(os.getppid(), 0)]
        with store.snapshot():
            assert sorted(shown(store)) == sorted([(os.getppid(), 0), (os.getpid(), 0)])
        store.close()

    forked = multiprocessing.get_context("fork").Process(target=child)
    forked.start()
    forked.join(LONG)
    forked.kill()
    forked.join()
    assert forked.exitcode == 0
    forked.close()
    assert shown(store) == [(os.getpid(), 0)]
    assert len(notes(path)) == 1
    view.close()
    assert notes(path) == []


def test_concurrent_snapshots_each_get_a_slot(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holders, "PATIENCE", LONG)
    prepare = (
        "options = {}\nimport threading\nfirst = LMDBEventStore(path)\ndef churn():\n"
        "    for _ in range(300):\n        with first.snapshot():\n            pass\n"
        "threads = [threading.Thread(target=churn) for _ in range(4)]\n"
        "[thread.start() for thread in threads]\n[thread.join() for thread in threads]"
    )
    with LMDBEventStore(path, durability="none") as store, ExitStack() as stack:
        store.save(Event("a"))
        children = [
            subprocess.Popen(
                [sys.executable, "-c", HOLDER, str(path), "25", prepare],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            for _ in range(3)
        ]
        for child in children:
            killer = threading.Timer(LONG, child.kill)
            killer.start()
            stack.callback(killer.join)
            stack.callback(killer.cancel)
            stack.callback(child.communicate)
        for child in children:
            assert child.stdout
            assert child.stdout.readline() == b"holding\n"
        held = store.stats().snapshots
        assert Counter(one.process for one in held) == {child.pid: 25 for child in children}
        assert all(one.age is not None for one in held)
        assert len(set(notes(path))) == len(notes(path)) == 75
        assert (path / "snapshots").stat().st_size <= (75 + 12) * SLOT


# -- where no note can be written -----------------------------------------------------------------


@pytest.mark.parametrize("how", ["missing", "full", "foreign", "stuck", "cut"])
def test_no_snapshot_fails_because_of_the_file_of_notes(
    path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is shown nevertheless, without an age, if it keeps old pages."""
    with LMDBEventStore(path) as store:
        store.save(Event("a"))
    file, readonly = path / "snapshots", how == "missing"
    if how == "missing":
        file.unlink()
    with LMDBEventStore(path, readonly=readonly) as store:
        if how == "full":
            monkeypatch.setattr(holders, "MOST", 0)
        elif how == "foreign":
            file.write_bytes(b"what is this? " * 100)
        elif how == "stuck":
            monkeypatch.setattr(holders, "PATIENCE", 0.01)
        elif how == "cut":
            file.write_bytes(b"x")
        with ExitStack() as stack, store.snapshot() as first:
            if how == "stuck":
                other = stack.enter_context(file.open("rb"))
                fcntl.flock(other, fcntl.LOCK_EX)
                hang = threading.Timer(LONG, fcntl.flock, [other, fcntl.LOCK_UN])
                hang.start()
                stack.callback(hang.join)
                stack.callback(hang.cancel)
            with store.snapshot() as view:
                assert len(view) == len(first) == 1
                code = f"from lmdbstore import *; LMDBEventStore({str(path)!r}).save(Event('b'))"
                subprocess.run([sys.executable, "-c", code], check=True, timeout=LONG)
                held = store.stats().snapshots
    noted = {"missing": 0, "full": 0, "foreign": 2, "stuck": 1, "cut": 2}[how]
    assert [(one.process, one.behind) for one in held] == [(os.getpid(), 1)] * 2
    assert [one.age is None for one in held] == [False] * noted + [True] * (2 - noted)


def test_a_process_that_may_not_write_it_shows_without_an_age() -> None:
    needs_another_user()
    prepare = f"{BECOME_ANOTHER}\noptions = {{'readonly': True}}"
    with folder_for_all() as folder, LMDBEventStore(folder / "events", mode=0o666) as store:
        store.save(Event("a"))
        (folder / "events" / "snapshots").chmod(0o444)
        with holding(folder / "events", prepare=prepare) as holder:
            assert shown(store) == [], "it holds nothing back, and may be a short read"
            store.save(Event("b"))
            (held,) = store.stats().snapshots
            assert held == SnapshotInfo(holder.pid, held.command, None, 1)
        assert shown(store) == []


def test_the_file_of_notes_has_the_rights_of_the_store_and_is_recreated(path: Path) -> None:
    LMDBEventStore(path, mode=0o640).close()
    assert rights(path / "snapshots") == 0o640
    (path / "snapshots").unlink()
    LMDBEventStore(path, readonly=True).close()
    assert not (path / "snapshots").exists(), "a readonly store makes no file"
    with LMDBEventStore(path) as store, store.snapshot():
        assert rights(path / "snapshots") == 0o640
        assert len(notes(path)) == 1


def test_a_store_opens_if_the_file_of_notes_cannot_be_made(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    LMDBEventStore(path).close()
    (path / "snapshots").unlink()
    opened = os.open

    def refusing(name: str, flags: int, *rest: int, **where: int) -> int:
        if str(name).endswith("snapshots"):
            raise PermissionError(13, "no", name)
        return opened(name, flags, *rest, **where)

    monkeypatch.setattr(os, "open", refusing)
    with LMDBEventStore(path) as store, store.snapshot() as view:
        store.save(Event("a"))
        assert len(view) == 0
        assert [held.age for held in store.stats().snapshots] == [None]


# -- combining both tables ------------------------------------------------------------------------

TABLE = """    pid     thread     txnid
      4711 7f1e8e7fc740 12
      4711 7f1e8e7fc740 -
         9 7f1e8e7fc740 12
      4711 7f1e8e7fc740 12
"""


def test_the_reader_table_is_read() -> None:
    assert readers_in(TABLE) == {Reader(4711, 12): 2, Reader(9, 12): 1}
    assert readers_in("(no active readers)\n") == {}


def test_short_reads_are_not_shown() -> None:
    a, b, c = Reader(1, 10), Reader(2, 9), Reader(3, 9)
    table = Counter([a, a, b, c])

    def found(before: Counter[Reader]) -> list[tuple[int, bool]]:
        note = Noted(0, 0)
        all_ = snapshots({a: [note], b: [note, note]}, before, table, 10)
        return [(one.process, one.age is not None) for one in all_]

    assert found(Counter()) == [(2, True), (1, True)]
    assert found(table) == [(2, True), (3, False), (1, True)]


# -- the command ----------------------------------------------------------------------------------


def test_the_command_shows_snapshots(path: Path) -> None:
    with LMDBEventStore(path, durability="none") as store, store.snapshot() as view:
        store.save(Event("b"))
        out, key = process("stats", "--db", path)[1], f"snapshot:{os.getpid()}"
        assert re.search(rf"^{key} +.+, \d+ s old, 1 commit behind$", out, re.MULTILINE)
        figures = json.loads(process("stats", "--db", path, "--json")[1])
        (held,) = figures["snapshots"]
        assert (held["process"], held["behind"]) == (os.getpid(), 1)
        assert held["age"] > 0
        for _ in range(1023):
            store.save(Event())
        status, on_it = on_terminal("stats", "--db", path)
        assert status == 0
        assert key in on_it
        assert "1,024 commits behind" in on_it
        assert len(view) == 0
    assert "snapshot:" not in process("stats", "--db", path)[1]


def opened_paths() -> list[str]:
    """Return what the descriptors of this process lead to."""
    paths = []
    for name in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # that of the list itself
            paths.append(os.readlink(f"/proc/self/fd/{name}"))
    return paths


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="the system has no /proc/self/fd")
def test_an_interrupt_at_any_step_of_a_first_note_leaves_no_descriptor(path: Path) -> None:
    """The file is opened at the first note."""
    LMDBEventStore(path).close()

    def child() -> None:
        gc.freeze()  # else each collection would look through all that other tests have left
        with open_directory(str(path)) as folder:
            notes: list[holders.Notes] = []  # closed after each step, not in one

            def work() -> None:
                notes.append(holders.Notes(folder, folder.identity))
                notes[-1].open()
                notes[-1].note(1, Counter)

            for _ in interrupted_at_each_step(work):
                notes.clear()
                gc.collect()
                assert opened_paths().count(str(path / "snapshots")) == 0

    in_child(child)
