"""Durable means flushed: the system calls between the begin and the end of a call.

A A killed process does not show that, as the system keeps its writes. So the tests read a
trace: the data pages of a transaction, one flush that begins when all of them are written, then
the meta page, by a write that waits for the disk, and only then an acknowledgement.
"""

from __future__ import annotations

import itertools
import os
import random
import sys
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.tools.children import output_of
from tests.tools.crash.disk import FLUSHES, WRITES, Disk, Folder, play, written
from tests.tools.crash.powercut import Marks, read_marks
from tests.tools.crash.workload import Operation, Phase, Plan, random_phase, save
from tests.tools.strace import Call, needs_strace, read_trace, traced

if TYPE_CHECKING:
    from pathlib import Path

    from lmdbstore.store import Durability

pytestmark = pytest.mark.surroundings

META_PAGES = 2 * os.sysconf("SC_PAGESIZE")  # bytes at the beginning of LMDB's file
THREADS = 12


class Commit(NamedTuple):
    """A transaction in the trace: its writes, and when they were safe on the disk."""

    begun: int  # the line of its first write
    data: bytes
    data_flushed: int | None  # the line where the flush ended
    meta_flushed: int | None

    def is_flushed_between(self, first: int, last: int) -> bool:
        """Whether all of it happened between two lines."""
        if self.data_flushed is None or self.meta_flushed is None:
            return False
        return first < self.begun < self.data_flushed < self.meta_flushed < last


class Traced(NamedTuple):
    """A run of a plan."""

    plan: Plan
    marks: Marks
    calls: list[Call]
    commits: list[Commit]

    def assert_flushed(self) -> None:
        """Check that each operation is on the disk when it is acknowledged."""
        for operation in self.plan.operations:
            first, last = self.marks.begun[operation.number], self.marks.done[operation.number]
            own = [commit for commit in self.commits if commit.is_flushed_between(first, last)]
            assert own, f"{operation.kind} {operation.number} is acknowledged, but not flushed"
            for event in operation.events:
                name = str(event["id"]).encode()
                assert any(name in commit.data for commit in own), f"{name!r} is not flushed"

    def flushes(self) -> int:
        """Return the number of flushes of the data file after the opening."""
        return sum(
            call.name in FLUSHES and call.file == f"{self.plan.path}/data.mdb"
            for call in self.calls
            if call.begun > self.marks.opened
        )


def run(folder: Path, phases: list[Phase], *, durability: Durability = "full") -> Traced:
    needs_strace()
    plan = Plan(str(folder / "disk" / "events"), phases, durability)
    os.makedirs(os.path.dirname(plan.path))
    file, trace = folder / "plan", folder / "trace"
    plan.write(file)
    output_of(traced(trace, [sys.executable, "-m", "tests.tools.crash.workload", str(file)]))
    calls = read_trace(trace)
    marks = read_marks(calls, file)
    return Traced(plan, marks, calls, read_commits(calls, plan.path, marks.opened))


def read_commits(calls: list[Call], path: str, opened: int) -> list[Commit]:
    """Return the transactions in a trace after the opening."""
    synchronous: set[int] = set()
    flushes: list[Call] = []
    data: list[Call] = []
    found: list[tuple[list[Call], Call, bool]] = []
    for call in calls:
        if call.name in {"open", "openat"} and call.result >= 0:
            synchronous.discard(call.result)
            if "O_DSYNC" in call.arguments or "O_SYNC" in call.arguments:
                synchronous.add(call.result)
        if call.file != f"{path}/data.mdb" or call.begun < opened or call.result < 0:
            continue
        if call.name in FLUSHES:
            flushes.append(call)
        elif call.name.startswith("pwrite") and int(call.last) < META_PAGES:
            found.append((data, call, call.descriptor in synchronous))
            data = []
        elif call.name in WRITES:
            data.append(call)
    return [
        Commit(
            min([meta.begun, *(call.begun for call in data)]),
            b"".join(itertools.chain(*map(written, data))),
            _flushed(flushes, max((call.ended for call in data), default=0), meta.begun),
            meta.ended if waits else _flushed(flushes, meta.ended, sys.maxsize),
        )
        for data, meta, waits in found
    ]


def _flushed(flushes: list[Call], written: int, needed: int) -> int | None:
    inside = (call.ended for call in flushes if written < call.begun and call.ended < needed)
    return next(inside, None)


def one_by_one() -> list[Phase]:
    chance = random.Random(1)
    saves = [save(number, chance, largest=1 << 15) for number in range(8)]
    many = Operation(100, "save_many", [save(n, chance).events[0] for n in range(200, 400)])
    deletes = [Operation(500 + n, "delete", id=str(event["id"])) for n, event in enumerate(
        [*saves[0].events, *saves[5].events, *many.events[:4]]
    )]  # fmt: skip
    return [Phase([[*saves, many, *deletes]])]


def grouped() -> list[Phase]:
    """Saves that are committed together, and then deletes with others."""
    chance = random.Random(2)
    first = [[save(number, chance)] for number in range(THREADS)]
    second = [[save(100 + number, chance)] for number in range(THREADS // 2)]
    second += [
        [Operation(200 + n, "delete", id=str(op.events[0]["id"]))] for n, (op,) in enumerate(first)
    ]
    return [Phase(first, together=True), Phase(second, together=True)]


def test_one_thread_flushes_data_and_meta_once_for_each_write(tmp_path: Path) -> None:
    found = run(tmp_path, one_by_one())
    found.assert_flushed()
    operations = len(list(found.plan.operations))
    assert (len(found.commits), found.flushes()) == (operations, operations)


def test_threads_that_share_a_flush_are_acknowledged_after_it(tmp_path: Path) -> None:
    """Concurrent writes share one transaction, with one flush of the data and one of meta."""
    found = run(tmp_path, grouped())
    found.assert_flushed()
    assert (len(found.commits), found.flushes()) == (2, 2)


def test_no_flush_is_missing_if_threads_write_at_random_times(tmp_path: Path) -> None:
    numbers, chance, old = itertools.count(), random.Random(3), list[str]()
    found = run(tmp_path, [random_phase(numbers, chance, THREADS, 12, old) for _ in range(2)])
    found.assert_flushed()
    assert found.flushes() == len(found.commits)


@pytest.mark.parametrize("phases", [one_by_one(), grouped()], ids=["one thread", "many"])
def test_without_durability_nothing_is_flushed(tmp_path: Path, phases: list[Phase]) -> None:
    """This is what the option says; it also shows that the tests above can fail."""
    found = run(tmp_path, phases, durability="none")
    assert found.commits
    assert found.flushes() == 0
    assert all(commit.data_flushed is commit.meta_flushed is None for commit in found.commits)
    with pytest.raises(AssertionError, match="not flushed"):
        found.assert_flushed()


@pytest.mark.parametrize("durability", ["full", "none"])
def test_a_new_store_is_flushed_with_its_folder_and_its_name(
    tmp_path: Path, durability: Durability
) -> None:
    """This is done before the constructor returns, also without durability of writes."""
    found = run(tmp_path, [], durability=durability)
    disk = Disk(os.path.dirname(found.plan.path))
    before = [call for call in found.calls if call.ended < found.marks.opened]
    for _ in play(disk, before):
        pass
    store = disk.root.durable["events"]
    assert isinstance(store, Folder)
    assert (disk.root.pending, store.pending) == ([], [])
    assert {"data.mdb", "barrier"} <= store.durable.keys()
    for name in ("data.mdb", "barrier"):
        file = store.durable[name]
        assert not isinstance(file, Folder)
        assert file.durable
        assert not file.pending, f"{name} is not flushed"
