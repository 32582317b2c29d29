"""A program that writes to a store on PostgreSQL, and says what was acknowledged.

It saves batches, and deletes some of them, until it is killed. A line is printed before and after
each call. A call that fails, or of which the outcome is unknown, is repeated until it succeeds.
"""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from lmdbstore import Event, EventStoreException

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmdbstore.sql.store import SQLEventStore

__all__ = ["Client"]

ROOT = Path(__file__).parents[3]
PAUSE = 0.02  # seconds before a call is repeated


def main(address: str, schema: str, prefix: str, seed: str) -> None:
    """Write for ever."""
    from lmdbstore.sql.store import SQLEventStore

    chance, number = random.Random(seed), 0
    while True:
        try:
            with SQLEventStore(address, schema=schema, timeout=5.0) as store:
                while True:
                    number += 1
                    write(store, f"{prefix}-{number}", chance)
        except EventStoreException as error:  # of opening
            say(f"error {error}")
            time.sleep(PAUSE)


def write(store: SQLEventStore, batch: str, chance: random.Random) -> None:
    """Save a batch, and perhaps delete it."""
    size = chance.choice([1, 1, 3, 10, 40])
    events = [
        Event(f"{batch}/{n}", batch, float(n), [batch, str(size)], "x" * chance.randrange(200))
        for n in range(size)
    ]
    say(f"save {batch} {size}")
    repeated(lambda: store.save_many(events, on_duplicate="ignore"))
    say(f"saved {batch} {size}")
    if chance.random() < 0.2:
        say(f"delete {batch} {size}")
        repeated(lambda: store.delete_many([event.id for event in events]))
        say(f"deleted {batch} {size}")


def repeated(call: Callable[[], object]) -> None:
    """Repeat a call until it succeeds; each of them may be repeated."""
    while True:
        try:
            call()
        except EventStoreException as error:
            say(f"{'unknown' if 'not known' in str(error) else 'error'} {error}")
            time.sleep(PAUSE)
        else:
            return


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(" ".join(text.split()) + "\n")
    sys.stdout.flush()


class Client:
    """The program in a process, and what it said."""

    def __init__(self, address: str, schema: str, prefix: str, seed: int) -> None:
        self.said: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", __name__, address, schema, prefix, str(seed)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.said.extend(line.rstrip() for line in self.process.stdout)

    def acknowledged(self) -> int:
        """Return how many calls have returned."""
        return sum(line.startswith(("saved", "deleted")) for line in list(self.said))

    def kill(self) -> list[str]:
        """Kill it, and return all that it said."""
        self.process.kill()
        self.process.wait()
        self._reading.join()
        assert self.process.stdout is not None
        self.process.stdout.close()
        return self.said


if __name__ == "__main__":
    main(*sys.argv[1:])
