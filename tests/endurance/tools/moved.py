"""A process that writes to a path under which the store is moved, and notes each answer.

`python -m tests.endurance.tools.moved PATH NAME THREADS` writes until its standard input ends, and
then prints its `Answer`s as JSON. Each thread opens the path again when a call says that it leads
elsewhere.
"""

from __future__ import annotations

import itertools
import json
import sys
import threading
import time
import traceback
from typing import NamedTuple

from lmdbstore import Event, LMDBEventStore, StoreMoved, StoreOpenError

__all__ = ["ACKNOWLEDGED", "COMMITTED", "NOTHING", "Answer"]

ACKNOWLEDGED, COMMITTED, NOTHING = "acknowledged", "committed elsewhere", "nothing written"
PAUSE = 0.001  # seconds, before the path is opened again
BATCH = 3  # events of a `save_many`


class Answer(NamedTuple):
    """The outcome of saving one event; the times are of the machine's monotonic clock."""

    id: str
    begun: int
    ended: int
    outcome: str


class Lane:
    """One thread."""

    def __init__(self, path: str, name: str, stop: threading.Event) -> None:
        """Write to a path until `stop` is set; the name makes the ids unique."""
        self._path, self._name, self._stop = path, name, stop
        self.answers: list[Answer] = []
        self.error: str | None = None

    def run(self) -> None:
        """Open and write, again and again."""
        numbers = itertools.count()
        try:
            while not self._stop.is_set():
                try:
                    with LMDBEventStore(self._path, durability="none") as store:
                        self._write(store, numbers)
                except (StoreOpenError, StoreMoved):  # it is moved in the same moment
                    time.sleep(PAUSE)
        except BaseException:
            self.error = traceback.format_exc()

    def _write(self, store: LMDBEventStore, numbers: itertools.count[int]) -> None:
        while not self._stop.is_set():
            n = next(numbers)
            names = [f"{self._name}-{n}-{i}" for i in range(1 if n % 5 else BATCH)]
            outcome, begun = ACKNOWLEDGED, time.monotonic_ns()
            try:
                if len(names) == 1:
                    store.save(Event(names[0], tags=["one"]))
                else:
                    store.save_many([Event(name, tags=["many"]) for name in names])
            except StoreMoved as error:
                outcome = COMMITTED if error.committed else NOTHING
            ended = time.monotonic_ns()
            self.answers += [Answer(name, begun, ended, outcome) for name in names]
            if outcome != ACKNOWLEDGED:
                return


def main(path: str, name: str, number: str) -> None:
    """Run the threads, and print their answers."""
    stop = threading.Event()
    lanes = [Lane(path, f"{name}-{n}", stop) for n in range(int(number))]
    threads = [threading.Thread(target=lane.run) for lane in lanes]
    for thread in threads:
        thread.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()
    stop.set()
    for thread in threads:
        thread.join()
    for lane in lanes:
        if lane.error is not None:
            sys.exit(lane.error)
    json.dump([answer for lane in lanes for answer in lane.answers], sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
