"""Cut the power at many points of a recorded trace, and check the store that is left each time.

It runs as another process, as reading a damaged file may end the process: `python -m
tests.tools.crash.powercut PLAN TRACE SEED CUTS` prints how often it cut the power, how many
acknowledged writes it checked, and how many different stores it opened.
"""

from __future__ import annotations

import faulthandler
import hashlib
import os
import random
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lmdbstore import Event, LMDBEventStore
from lmdbstore.contract.checking import checked
from tests.tools.crash.disk import WAYS, Disk, play
from tests.tools.crash.workload import MARKS, Operation, Plan
from tests.tools.indexes import assert_indexes_agree
from tests.tools.strace import read_trace

if TYPE_CHECKING:
    from tests.tools.strace import Call

__all__ = ["Marks", "read_marks"]


class Marks(NamedTuple):
    """The lines of the trace where the opening and each operation began and were acknowledged."""

    begun: dict[int, int]
    done: dict[int, int]
    opened: int


def read_marks(calls: list[Call], plan: Path) -> Marks:
    """Return the marks in a trace."""
    found: dict[str, dict[int, int]] = {"begun": {}, "done": {}, "opened": {}}
    for call in calls:
        if call.name == "write" and call.file == str(plan.parent / MARKS):
            word, number = call.strings[0].split()
            found[word.decode()][int(number)] = call.begun
    return Marks(found["begun"], found["done"], found["opened"].get(0, sys.maxsize))


class Expected:
    """What the store must hold if the power fails at a line."""

    def __init__(self, plan: Plan, marks: Marks, line: int) -> None:
        """Note which operations have begun, and which were acknowledged."""
        operations = list(plan.operations)
        self.begun = [op for op in operations if marks.begun.get(op.number, sys.maxsize) <= line]
        self.done = {
            op.number for op in operations if marks.done.get(op.number, sys.maxsize) <= line
        }
        self.opened = marks.opened <= line

    def check(self, found: dict[str, Event]) -> None:
        """Compare with the events that were found."""
        saved: dict[str, Operation] = {}
        deleted: dict[str, Operation] = {op.id: op for op in self.begun if op.kind == "delete"}
        for operation in self.begun:
            ids = [str(event["id"]) for event in operation.events]
            saved.update(dict.fromkeys(ids, operation))
            here = [name for name in ids if name in found or name in deleted]
            assert here in ([], ids), f"a part of {operation.kind} {operation.number} is there"
            if operation.number in self.done:
                assert here == ids, f"{operation.kind} {operation.number} was lost"
            for event in operation.events:
                if event["id"] in found:
                    expected = checked(Event(**event))  # type: ignore[arg-type]  # from JSON
                    assert found[str(event["id"])] == expected
        for name, operation in deleted.items():
            lost = operation.number in self.done and name in found
            assert not lost, f"delete {operation.number} was lost"
        assert found.keys() <= saved.keys(), "an event came from nowhere"


def look(store: Path, expected: Expected) -> None:
    """Open the store that is left, check all of it, and write to it."""
    if expected.opened:
        with LMDBEventStore(store, readonly=True) as reader:
            expected.check({event.id: event for event in reader.search()})
    with LMDBEventStore(store, durability="none", create=not expected.opened) as opened:
        assert opened.verify(pages=True) == []
        number = assert_indexes_agree(opened)
        found = {event.id: event for event in opened.search()}
        assert len(found) == number
        expected.check(found)
        opened.save(Event("after", content="x" * 5000, tags=["x"]))
        if found:
            opened.delete(next(iter(found)))
        assert len(opened) == number + (not found)
        assert_indexes_agree(opened)
        assert opened.verify(pages=True) == []


def left_in(store: Path) -> bytes:
    """Return a hash of what is left in a folder, except the bytes that `Disk.leave` draws."""
    found = hashlib.sha256()
    for path in sorted(store.rglob("*")):
        data = path.read_bytes() if path.is_file() else b""
        drawn = {"barrier": bytes(len(data)), "lock.mdb": b""}  # of the lock file the length, too
        data = drawn.get(path.name, data)
        found.update(f"{path.relative_to(store)}\0{path.is_dir()}\0{len(data)}\0".encode() + data)
    return found.digest()


def main() -> None:
    """Cut the power as often as the command line says."""
    faulthandler.enable()
    plan_file, trace, seed, cuts = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4]
    plan, chance = Plan.read(str(plan_file)), random.Random(int(seed))
    calls = read_trace(trace)
    marks = read_marks(calls, plan_file)
    root = os.path.dirname(plan.path)
    steps = sum(1 for _ in play(Disk(root), calls))
    where = set(chance.sample(range(steps), min(int(cuts), steps)))
    checked_writes = number = 0
    seen: set[tuple[bytes, int, frozenset[int], bool]] = set()
    disk = Disk(root)
    for step, line in enumerate(play(disk, calls)):
        if step not in where:
            continue
        expected = Expected(plan, marks, line)
        for way in WAYS:
            image = trace.parent / f"image{number}"
            print(f"line {line}, {way} of what was not flushed", file=sys.stderr)  # noqa: T201
            disk.leave(str(image), way, chance)
            # Most cuts leave what an earlier one left. It was checked, if the same was expected.
            same = left_in(image), len(expected.begun), frozenset(expected.done), expected.opened
            if same not in seen:
                look(image / os.path.basename(plan.path), expected)
                seen.add(same)
            shutil.rmtree(image)
            number += 1
            checked_writes += len(expected.done)
    print(number, checked_writes, len(seen))  # noqa: T201


if __name__ == "__main__":
    main()
