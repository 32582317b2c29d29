"""The full reader table: further readers get an error, and slots of dead processes are reused.

Several processes hold snapshots until no slot is left. Only one process acts at a time, so it is
known exactly which reader must get a slot.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

import pytest

from lmdbstore import Event, EventReadException, LMDBEventStore

if TYPE_CHECKING:
    from pathlib import Path

    from tests.tools.rounds import Rounds

PROCESSES = 3
ASKED_FOR = 8  # slots; LMDB fills the lock file, so there are more
FULL = "larger max_readers"  # the remedy

CHILD = f"""
import sys
from lmdbstore import EventReadException, LMDBEventStore

store = LMDBEventStore(sys.argv[1], max_readers={ASKED_FOR})
held = []
for line in sys.stdin:
    command, number = line.split()
    answer = 0
    try:
        for _ in range(int(number)):
            if command == "hold":
                held.append(store.snapshot())
            elif command == "end":
                held.pop().close()
            else:
                store.get("a")
            answer += 1
    except EventReadException as error:
        assert {FULL!r} in str(error), error
    print(answer, flush=True)
"""


class Holder:
    """A process that holds snapshots."""

    def __init__(self, path: Path) -> None:
        self.held = 0
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        assert self.do("get", 0) == 0  # then it has opened the store
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()
        self.held = 0

    def do(self, command: str, number: int) -> int:
        """Repeat a command `number` times; return how often it succeeded before a refusal."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{command} {number}\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def hold(self, number: int) -> int:
        done = self.do("hold", number)
        self.held += done
        return done

    def end(self, number: int) -> None:
        assert self.do("end", number) == number
        self.held -= number


@pytest.mark.endurance("processes take all slots of the reader table, and are killed", rounds=12)
def test_who_is_one_too_many_is_told_and_the_dead_make_room(path: Path, rounds: Rounds) -> None:
    random = rounds.random
    with LMDBEventStore(path, max_readers=ASKED_FOR) as store, ExitStack() as processes:
        store.save(Event("a"))
        slots = store.stats().max_readers
        holders = [processes.enter_context(Holder(path)) for _ in range(PROCESSES)]

        def left() -> int:
            return slots - sum(holder.held for holder in holders)

        for _ in rounds:
            holder = random.choice(holders)
            what = random.choice(["hold", "hold", "fill", "end", "kill"])
            if what == "hold":
                free, wanted = left(), random.randrange(slots)
                assert holder.hold(wanted) == min(wanted, free)
            elif what == "fill":
                free = left()
                assert holder.hold(slots + 1) == free
            elif what == "end":
                holder.end(random.randint(0, holder.held))
            else:
                holder = max(holders, key=lambda one: one.held)
                holders.remove(holder)
                rounds.add("slots of killed processes", holder.held)
                holder.__exit__()
                assert store.get("a").id == "a"  # a read frees the slots; an opening could not
                holders.append(processes.enter_context(Holder(path)))
            check(store, holders, left(), rounds)


def check(store: LMDBEventStore, holders: list[Holder], left: int, rounds: Rounds) -> None:
    for holder in holders:
        assert holder.do("get", 1) == bool(left)
    if left:
        assert store.get("a").id == "a"
        rounds.add("reads that found a slot", 1 + len(holders))
        return
    rounds.add("reads that were one too many", 1 + len(holders))
    for _ in range(2):
        with pytest.raises(EventReadException, match=FULL):
            store.get("a")
        with pytest.raises(EventReadException, match=FULL):
            store.snapshot()
        store.save(Event(tags=["saved"]))  # a writer needs no slot
    holder = max(holders, key=lambda one: one.held)
    holder.end(1)
    assert store.get("a").id == "a"
    assert holder.hold(1) == 1


def test_opening_with_no_slot_left_is_an_error_with_the_remedy(path: Path) -> None:
    with LMDBEventStore(path, max_readers=ASKED_FOR) as store, Holder(path) as holder:
        store.save(Event("a"))
        slots = holder.hold(1 << 20)
        program = f"from lmdbstore import LMDBEventStore; LMDBEventStore({str(path)!r})"
        opening = [sys.executable, "-c", program]
        for _ in range(2):  # while the process lives, and after it was killed
            refused = subprocess.run(opening, capture_output=True, text=True, check=False)
            assert "StoreOpenError" in refused.stderr
            assert FULL in refused.stderr
            assert "a read in any of them frees slots of dead ones" in refused.stderr
            holder.__exit__()
        assert store.get("a").id == "a"
        subprocess.run(opening, check=True)
        assert store.stats().max_readers == slots
