"""A workload for a child process that is traced, killed, or given faults: its plan and its run.

The plan is made beforehand, so that the parent knows what the child saves. The child writes a mark
where each operation begins and where it is acknowledged: `python -m
tests.tools.crash.workload PLAN` runs a plan.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from lmdbstore import Event, LMDBEventStore

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from lmdbstore.store import Durability

__all__ = ["MARKS", "Operation", "Phase", "Plan", "random_phase", "save"]

MARKS = "marks"  # the file of the marks, beside the plan


class Operation(NamedTuple):
    """One call of the store: it saves events, or deletes one."""

    number: int
    kind: str  # "save", "save_many" or "delete"
    events: Sequence[dict[str, object]] = ()  # what it saves
    id: str = ""  # what it deletes

    def carry_out(self, store: LMDBEventStore) -> None:
        """Call the store."""
        if self.kind == "save":
            store.save(Event(**self.events[0]))  # type: ignore[arg-type]  # from JSON
        elif self.kind == "save_many":
            store.save_many(Event(**event) for event in self.events)  # type: ignore[arg-type]  # from JSON
        else:
            store.delete(self.id)


class Phase(NamedTuple):
    """Operations of several threads at the same time: a list for each thread."""

    threads: list[list[Operation]]
    together: bool = False  # the first operation of each in one group commit


class Plan(NamedTuple):
    """What a child does with the store at `path`."""

    path: str
    phases: list[Phase]
    durability: Durability = "full"
    folder_is_there: bool = False  # before the store is made

    @property
    def operations(self) -> Iterator[Operation]:
        """All operations, thread by thread."""
        for phase in self.phases:
            yield from itertools.chain(*phase.threads)

    def write(self, file: Path) -> None:
        """Write the plan to a file."""
        file.write_text(json.dumps(self), encoding="ascii")

    @classmethod
    def read(cls, file: str) -> Plan:
        """Read what `write` wrote."""
        with open(file, encoding="ascii") as text:
            path, phases, *rest = json.load(text)
        return cls(
            path,
            [
                Phase([[Operation(*fields) for fields in thread] for thread in threads], together)
                for threads, together in phases
            ],
            *rest,
        )


def save(number: int, chance: random.Random, *, largest: int = 1 << 13) -> Operation:
    """Return a save of one event."""
    return Operation(number, "save", [_event(f"s{number}", chance, largest)])


def _event(event_id: str, chance: random.Random, largest: int) -> dict[str, object]:
    return {
        "id": f"{event_id}-{chance.randrange(1 << 64):016x}",  # no other text is equal to it
        "source": chance.choice(["a", "b"]),
        "timestamp": float(chance.randrange(100)),
        "tags": chance.sample(["x", "y", "z", "", "long" * 200], chance.randrange(4)),
        "content": "c" * int(largest ** chance.random()),
    }


def random_phase(
    numbers: Iterator[int], chance: random.Random, threads: int, each: int, old: list[str]
) -> Phase:
    """Return a phase with this number of threads and about this number of operations for each.

    `old` are ids of existing events, which are deleted too; ids of events that are left at the end
    are added to it.
    """
    shares: list[list[str]] = [old[place::threads] for place in range(threads)]
    old.clear()
    work = []
    for own in shares:
        operations = []
        for _ in range(chance.randint(each // 2, each)):
            number, kind = next(numbers), chance.random()
            if kind < 0.4 and own:
                gone = own.pop(chance.randrange(len(own)))
                operations.append(Operation(number, "delete", id=gone))
                continue
            if kind < 0.5:
                many = range(chance.choice([1, 5, 60]))
                events = [_event(f"m{number}.{place}", chance, 1 << 9) for place in many]
                operations.append(Operation(number, "save_many", events))
            else:
                operations.append(save(number, chance, largest=chance.choice([1 << 9, 1 << 15])))
            own += [str(event["id"]) for event in operations[-1].events]
        work.append(operations)
        old += own
    return Phase(work)


def _make_folder(path: str) -> None:
    os.mkdir(path)
    descriptor = os.open(os.path.dirname(path), os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def _run(plan: Plan, marks: int) -> None:
    failures: list[BaseException] = []
    if plan.folder_is_there:
        _make_folder(plan.path)
    with LMDBEventStore(plan.path, durability=plan.durability) as store:
        os.write(marks, b"opened 0\n")
        for phase in plan.phases:
            threads = [
                threading.Thread(target=_work, args=(store, operations, marks, failures))
                for operations in phase.threads
            ]
            if phase.together:
                writer = store._session._environment.writer
                writer.while_idle(lambda threads=threads: _queue_up(store, threads))  # type: ignore[misc]  # it takes none
            else:
                for thread in threads:
                    thread.start()
            for thread in threads:
                thread.join()
    if failures:
        raise failures[0]


def _queue_up(store: LMDBEventStore, threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    while len(store._session._environment.writer._queue) < len(threads):
        time.sleep(0.001)  # until all of them are waiting, however long that takes


def _work(
    store: LMDBEventStore, operations: list[Operation], marks: int, failures: list[BaseException]
) -> None:
    try:
        for operation in operations:
            os.write(marks, b"begun %d\n" % operation.number)
            operation.carry_out(store)
            os.write(marks, b"done %d\n" % operation.number)
    except BaseException as error:
        failures.append(error)


def main() -> None:
    """Run the plan in the file that the command line names."""
    plan = Plan.read(sys.argv[1])
    marks = os.open(
        os.path.join(os.path.dirname(sys.argv[1]), MARKS), os.O_WRONLY | os.O_CREAT, 0o600
    )
    _run(plan, marks)
    os.close(marks)


if __name__ == "__main__":
    main()
