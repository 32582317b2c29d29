"""A child that is interrupted as by Ctrl-C while it backs up and compacts, many times.

An interrupt may come anywhere: nothing of the copy may be left, no lock held, no event lost. An
interrupt while the files are exchanged closes the store, which can then be opened again.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import shutil
import signal
import sys
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

from lmdbstore import Event, LMDBEventStore, StoreClosed, verify

if TYPE_CHECKING:
    from collections.abc import Callable

TIMES = 90
EVENTS = 50


class Interrupted(BaseException):
    """The exception of the signal handler, as Ctrl-C raises KeyboardInterrupt."""


class Trial:
    """A store, and the work that is interrupted."""

    def __init__(self, folder: str, seed: int) -> None:
        self.path, self.others = f"{folder}/events", f"{folder}/others"
        self.target = f"{self.others}/copy"
        self.chance = random.Random(seed)
        self.counts: Counter[str] = Counter()
        self.armed = False
        os.mkdir(self.others)
        self.store = self.opened()
        self.store.save_many(Event(f"e{n}", tags=["f"]) for n in range(EVENTS))
        self.longest: dict[str, float] = {}

    def opened(self) -> LMDBEventStore:
        return LMDBEventStore(self.path, durability="none")

    def works(self) -> dict[str, Callable[[], object]]:
        return {
            "compactions": self.store.compact,
            "backups": lambda: self.store.backup(self.target),
        }

    def struck(self, *_: object) -> None:
        if self.armed:
            self.armed = False
            raise Interrupted

    def round(self, what: str) -> None:
        """Interrupt the work at any point from its start to about its end."""
        work = self.works()[what]
        if what not in self.longest:
            started = time.monotonic()
            work()
            self.longest[what] = time.monotonic() - started
            self.check()
        self.armed = True
        try:
            delay = self.chance.random() * self.longest[what] + 1e-6
            signal.setitimer(signal.ITIMER_REAL, delay)
            work()
        except Interrupted:
            self.counts[f"{what} interrupted"] += 1
        self.armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        self.check()

    def check(self) -> None:
        assert threading.enumerate() == [threading.main_thread()]
        if os.path.exists(self.target):
            assert verify(self.target, pages=True) == []
            shutil.rmtree(self.target)
        assert os.listdir(self.others) == []
        assert not [name for name in os.listdir(self.path) if name.startswith(".")]
        # Other processes may write, and open the store.
        for name, lock in (("barrier", fcntl.LOCK_EX), ("", fcntl.LOCK_SH)):
            descriptor = os.open(f"{self.path}/{name}", os.O_RDONLY)
            fcntl.flock(descriptor, lock | fcntl.LOCK_NB)
            os.close(descriptor)
        try:
            assert len(self.store) == EVENTS
        except StoreClosed:
            self.counts["in the exchange"] += 1
            self.store.close()
            self.store = self.opened()
        assert self.store.count(flags=["f"]) == EVENTS
        self.store.save(Event("after"))
        self.store.delete("after")


def main() -> None:
    """Run the trial, and print the counts."""
    folder, seed = sys.argv[1:]
    trial = Trial(folder, int(seed))
    signal.signal(signal.SIGALRM, trial.struck)
    for number in range(TIMES):
        trial.round(sorted(trial.works())[number % 2])
    trial.store.close()
    assert verify(trial.path, pages=True) == []
    print(json.dumps(trial.counts))  # noqa: T201  what the test reads


if __name__ == "__main__":
    main()
