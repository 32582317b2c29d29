"""Backups during writes, and compactions that are killed or interrupted: nothing is lost."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING

import pytest

from lmdbstore import Event, LMDBEventStore, verify
from lmdbstore.care import copy as copying
from tests.tools.children import output_of
from tests.tools.indexes import assert_indexes_agree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.tools.rounds import Rounds

LONG = 60  # seconds; ends a hang, decides nothing
BATCH = 5  # events that are saved together, all or none
GRANT = 60  # batches that a writer saves for each backup, so that the store stays small
MOST = 2000  # batches of one that compacts meanwhile
THREADS, PROCESSES = 2, 2
BACKUPS = 4

# Saves GRANT batches for each line of its standard input, and prints the number of each when it is
# acknowledged.
WRITER = f"""
import itertools, os, sys
from lmdbstore import Event, LMDBEventStore
path, name = sys.argv[1:]
numbers = itertools.count()
with LMDBEventStore(path, durability="none") as store:
    for _ in sys.stdin:
        for n in itertools.islice(numbers, {GRANT}):
            store.save_many(Event(f"{{name}} {{n}} {{i}}", tags=[name]) for i in range({BATCH}))
            os.write(1, b"%d\\n" % n)
"""

# Saves batches until it is killed, at most so many, while another thread compacts for ever.
COMPACTER = f"""
import itertools, os, sys, threading
from lmdbstore import Event, LMDBEventStore
path, name = sys.argv[1:]
store = LMDBEventStore(path, durability="none")
def compact():
    while True:
        store.compact()
threading.Thread(target=compact, daemon=True).start()
for n in range({MOST}):
    store.save_many(Event(f"{{name}} {{n}} {{i}}", tags=[name]) for i in range({BATCH}))
    os.write(1, b"%d\\n" % n)
threading.Event().wait()
"""


class Writer:
    """A writer that saves batches on request, and the number of acknowledged batches."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.acknowledged = 0
        self.moved = threading.Event()
        self.go: Callable[[], object] = bool

    def note(self, number: int) -> None:
        assert number == self.acknowledged
        self.acknowledged += 1
        self.moved.set()

    def check(self, ids: list[str], least: int) -> int:
        """Check that these are the first batches, complete, and at least `least` of them."""
        batches, rest = divmod(len(ids), BATCH)
        assert not rest, f"a batch of {self.name} is torn"
        expected = {f"{self.name} {n} {i}" for n in range(batches) for i in range(BATCH)}
        assert set(ids) == expected, f"a batch of {self.name} is missing"
        assert batches >= least, f"a batch of {self.name} that was acknowledged is missing"
        return batches


@contextmanager
def in_a_thread(store: LMDBEventStore, name: str) -> Iterator[Writer]:
    writer, granted = Writer(name), SimpleQueue[bool]()

    def write() -> None:
        numbers = itertools.count()
        while granted.get():
            for n in itertools.islice(numbers, GRANT):
                store.save_many(Event(f"{name} {n} {i}", tags=[name]) for i in range(BATCH))
                writer.note(n)

    writer.go = partial(granted.put, True)
    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield writer
    finally:
        granted.put(False)
        thread.join(LONG)


@contextmanager
def in_a_process(path: Path, name: str, program: str = WRITER) -> Iterator[Writer]:
    """Let a process write; kill it at the end, unless it ended with its standard input."""
    writer = Writer(name)
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path), name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        lines = os.fdopen(os.dup(child.stdout.fileno()), "rb")

        def listen() -> None:
            for line in lines:
                if line.endswith(b"\n"):  # the last may be cut off
                    writer.note(int(line))

        writer.go = partial(child.stdin.write, b"go\n")
        listener = threading.Thread(target=listen)
        listener.start()
        try:
            yield writer
            if program is WRITER:
                child.stdin.close()
                assert child.wait(LONG) == 0
        finally:
            child.kill()
            listener.join(LONG)
            lines.close()


def ids_of(store: LMDBEventStore, name: str) -> list[str]:
    return [event.id for event in store.search(flags=[name])]


@pytest.mark.endurance("backups are made while threads and processes write", rounds=1)
def test_a_backup_is_one_state_of_all_writers(
    tmp_path: Path, rounds: Rounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writers continue when its first piece is reported, so it is between other batches."""
    monkeypatch.setattr(copying, "COPY_BYTES", 1 << 12)
    for number in rounds:
        path = tmp_path / f"{number}"
        with ExitStack() as stack:
            store = stack.enter_context(LMDBEventStore(path, durability="none"))
            writers = [stack.enter_context(in_a_thread(store, f"t{n}")) for n in range(THREADS)]
            writers += [stack.enter_context(in_a_process(path, f"p{n}")) for n in range(PROCESSES)]
            save_more(writers)
            for again in range(BACKUPS):
                before = [writer.acknowledged for writer in writers]
                target = tmp_path / f"{number}-{again}"
                store.backup(target, progress=once(partial(save_more, writers)))
                rounds.add("backups checked")
                rounds.add("events in them", check(target, writers, before))
                shutil.rmtree(target)
        assert {writer.acknowledged for writer in writers} == {(BACKUPS + 1) * GRANT}
        check(path, writers, [(BACKUPS + 1) * GRANT] * len(writers))
        shutil.rmtree(path)


def save_more(writers: list[Writer]) -> None:
    """Let all writers save batches, and return when each has saved one."""
    for writer in writers:
        writer.moved.clear()
        writer.go()
    for writer in writers:
        assert writer.moved.wait(LONG)


def once(work: Callable[[], object]) -> Callable[[int, int], None]:
    """Return a progress callback that does some work at the first piece."""
    first = [True]

    def progress(*_: int) -> None:
        if first:
            first.clear()
            work()

    return progress


def check(path: Path, writers: list[Writer], least: list[int]) -> int:
    """Check a store with at least `least` batches of each writer; return its number of events."""
    assert verify(path, pages=True) == []
    with LMDBEventStore(path, readonly=True) as store:
        assert_indexes_agree(store)
        batches = sum(
            writer.check(ids_of(store, writer.name), number)
            for writer, number in zip(writers, least, strict=True)
        )
        assert len(store) == batches * BATCH
        return len(store)


@pytest.mark.endurance("a process is killed that compacts while it writes", rounds=3)
def test_a_compaction_that_is_killed_loses_nothing(tmp_path: Path, rounds: Rounds) -> None:
    for number in rounds:
        path = tmp_path / f"{number}"
        LMDBEventStore(path).close()
        with in_a_process(path, "w", COMPACTER) as writer:
            assert writer.moved.wait(LONG)
            time.sleep(rounds.random.random() * 0.2)  # it is killed at a random time
        rounds.add("kills")
        rounds.add("acknowledged batches found", writer.acknowledged)
        check(path, [writer], [writer.acknowledged])
        with LMDBEventStore(path) as store:  # it removes what was left
            store.save(Event("after"))
            store.compact()
            assert "after" in store
            assert store.verify(pages=True) == []
        assert sorted(os.listdir(path)) == ["barrier", "data.mdb", "lock.mdb", "snapshots"]
        shutil.rmtree(path)


# The garbage collector closes a file that an interrupt struck before its `with` had it.
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.endurance("backups and compactions are interrupted", rounds=1)
def test_an_interrupt_leaves_nothing_of_a_copy(tmp_path: Path, rounds: Rounds) -> None:
    """It runs in a child, as an interrupted opening may leak a descriptor."""
    for number in rounds:
        folder = tmp_path / f"{number}"
        folder.mkdir()
        seed = rounds.random.randrange(1 << 32)
        module = "tests.endurance.tools.interrupted"
        output = output_of([sys.executable, "-W", "ignore", "-m", module, str(folder), str(seed)])
        for what, times in json.loads(output).items():
            rounds.add(what, times)
        shutil.rmtree(folder)
