"""One side of a comparison of two checkouts: a process with a store, and its operations.

Rules: the store is from the checkout. The operations are from this module, and use the public API
only, so that later versions have them too. The process prepares a task and prints "ready"; at the
next line of input it runs the task and prints its processor time. Before the task, garbage is
collected and the remaining objects are frozen. During the task the collector runs, as it does for
users. The process runs on one processor.
"""

from __future__ import annotations

import gc
import json
import os
import random
import shutil
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any, TypeVar

from lmdbstore import Event, LMDBEventStore

from .data import SEED, START, STEP, batches, made_events
from .measure import drained

__all__ = ["COMMAND", "OPERATIONS", "work"]

T = TypeVar("T")

LONG_RANGE, BATCH, FEW = 100_000, 10_000, 100  # events
# Its arguments: the checkout, the folder of this package, and the other arguments of `work`.
COMMAND = """import sys
sys.path.insert(0, sys.argv[1])
import lmdbstore
sys.path[0] = sys.argv[2]
from bench.sides import work
work(sys.argv[1], *sys.argv[3:])"""


class Side:
    """The stores of a side, and the arguments of its operations."""

    def __init__(self, folder: Path, events: int) -> None:
        """Make a store, unless it exists, and open a new copy of it."""
        self.closed = folder / "closed"  # a store that is not open
        if not self.closed.exists():
            with LMDBEventStore(self.closed, durability="none") as store:
                for batch in batches(made_events(events)):
                    store.save_many(batch)
        shutil.rmtree(folder / "open", ignore_errors=True)
        shutil.copytree(self.closed, folder / "open")
        self.store = LMDBEventStore(folder / "open", durability="none")
        ids = [event.id for event in self.store.search()]
        self.ids = cycle(random.Random(SEED).sample(ids, len(ids)))
        self.batch = min(BATCH, events)
        self._new = made_events(1 << 40, SEED + 1)
        self._later = events * STEP  # seconds

    def new(self, number: int) -> list[Event]:
        """Make events later than all others."""
        later = self._later
        return [e._replace(timestamp=e.timestamp + later) for e in islice(self._new, number)]

    def scattered(self, number: int) -> list[Event]:
        """Make events with times anywhere among those of the others."""
        times = random.Random(SEED + 2)
        return [
            e._replace(timestamp=START + times.random() * self._later) for e in self.new(number)
        ]

    def open(self, _: object) -> None:
        LMDBEventStore(self.closed, durability="none").close()


Prepare = Callable[[Side, int], Callable[[], None]]  # prepares so many calls, to be timed


def _each(call: Callable[[T], object], things: Iterable[T]) -> None:
    for thing in things:
        call(thing)


def _searches(**query: Any) -> Prepare:
    def prepare(side: Side, calls: int) -> Callable[[], None]:
        return partial(_each, lambda _: drained(side.store.search(**query)), range(calls))

    return prepare


# Operations that write come last, since they change the store.
OPERATIONS: dict[str, Prepare] = {
    "get": lambda side, calls: partial(_each, side.store.get, list(islice(side.ids, calls))),
    "newest": _searches(order="desc", limit=FEW),
    "range": _searches(ts_start=START, ts_end=START + (LONG_RANGE - 0.5) * STEP),
    "flag": _searches(flags=["flag1"]),
    "rare": _searches(flags=["flag200"]),
    "both": _searches(flags=["flag200", "flag1"]),
    "pattern": _searches(match="[0-9]{6}00$"),
    "open": lambda side, calls: partial(_each, side.open, range(calls)),
    "save_many": lambda side, calls: partial(
        _each, side.store.save_many, [side.new(side.batch) for _ in range(calls)]
    ),
    "save": lambda side, calls: partial(_each, side.store.save, side.new(calls)),
    "random": lambda side, calls: partial(
        _each, side.store.save_many, [side.scattered(side.batch) for _ in range(calls)]
    ),
}


def work(checkout: str, folder: str, events: str, processor: str) -> None:
    """Run as the process of a side until its input ends."""
    os.sched_setaffinity(0, {int(processor)})
    if (found := Path(sys.modules["lmdbstore"].__file__ or "").parent.parent) != Path(checkout):
        sys.exit(f"lmdbstore was imported from {str(found)!r}, not from {checkout!r}")
    side = Side(Path(folder), int(events))
    for line in sys.stdin:
        name, calls = json.loads(line)
        run = OPERATIONS[name](side, calls)
        gc.collect()
        gc.freeze()
        print("ready", flush=True)
        sys.stdin.readline()
        begin = time.process_time()
        run()
        print(time.process_time() - begin, flush=True)
        gc.unfreeze()
