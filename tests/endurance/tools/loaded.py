"""A process of the mixed load: threads that make the calls of a seed, and note the answers.

Run as `python -m tests.endurance.tools.loaded PATH SEED CALLS DURABILITY`; it waits for a line on
standard input, so that all processes begin at once, and prints its calls as JSON.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from lmdbstore import DuplicateEvent, Event, EventNotFound, LMDBEventStore
from tests.endurance.tools.linear import Call

if TYPE_CHECKING:
    from lmdbstore.store import Consistency

THREADS = 4
KEYS, BATCHES = 60, 60  # shared by the threads of all processes
BATCH = 25  # events of a `save_many`


def batch_flag(key: str) -> str:
    """Return the flag that the events of a batch carry."""
    return f"flag of {key}"


def event(key: str, value: str) -> Event:
    """Return an event whose content, source and tag all contain the value.

    Its time is that of the key: so a search can ask for the time of one key, and needs not wait for
    writes of others.
    """
    return Event(key, value, float(key[1:]), ["all", value, batch_flag(key)], value * 3)


def read(found: Event | None) -> str | None:
    """Return the value of an event; it must be the same everywhere."""
    if found is None:
        return None
    assert found == event(found.id, found.source), found
    return found.source


class Lane:
    """One thread."""

    def __init__(self, store: LMDBEventStore, name: str, seed: int) -> None:
        """Prepare the calls of the seed; the name makes its values unique."""
        self.store = store
        self.name = name
        self.random = random.Random(seed)
        self.calls: list[Call] = []
        self.error: BaseException | None = None

    def run(self, number: int) -> None:
        """Make this number of calls."""
        works = (self._save, self._delete, self._get, self._search, self._batch, self._count)
        weights = (4, 3, 5, 2, 1, 4)
        try:
            for n in range(number):
                (work,) = self.random.choices(works, weights)
                work(n)
                if n % 10 == 0:
                    self._snapshot()
        except BaseException as error:
            self.error = error

    def _key(self) -> str:
        return f"k{self.random.randrange(KEYS)}"

    def _batch_key(self) -> str:
        return f"b{self.random.randrange(BATCHES)}"

    def _note(self, begin: int, kind: str, key: str, value: str | None, *, done: bool) -> None:
        self.calls.append(Call(begin, time.monotonic_ns(), kind, key, value, done))

    def _save(self, n: int) -> None:
        key, value = self._key(), f"{self.name}.{n}"
        begin = time.monotonic_ns()
        try:
            self.store.save(event(key, value))
            self._note(begin, "save", key, value, done=True)
        except DuplicateEvent:
            self._note(begin, "save", key, value, done=False)

    def _delete(self, _: int) -> None:
        key = self._key()
        begin = time.monotonic_ns()
        try:
            self.store.delete(key)
            self._note(begin, "delete", key, None, done=True)
        except EventNotFound:
            self._note(begin, "delete", key, None, done=False)

    def _get(self, _: int) -> None:
        key = self._key()
        begin = time.monotonic_ns()
        self._note(begin, "read", key, read(self.store.get(key, None)), done=True)

    def _search(self, _: int) -> None:
        """Look for a key by a flag of all, by its own flag, or by its time."""
        key = self._key()
        at = float(key[1:])
        one: dict[str, Any] = {"ts_start": at, "ts_end": at}
        query = self.random.choice([{"flags": ["all"]}, {"flags": [batch_flag(key)]}, one])
        begin = time.monotonic_ns()
        found = read(next((e for e in self.store.search(**query) if e.id == key), None))
        # A search sees no save after its begin, but deletes until its page is read. So the call
        # ends when the page was read, and the result was right at some moment of the call.
        if found is not None:
            self._note(begin, "read", key, found, done=True)

    def _batch(self, n: int) -> None:
        key, value = self._batch_key(), f"{self.name}.{n}"
        events = [
            Event(f"{key} {i}", value, float(i), [batch_flag(key), "batch"]) for i in range(BATCH)
        ]
        begin = time.monotonic_ns()
        try:
            assert self.store.save_many(events) == BATCH
            self._note(begin, "save", key, str(BATCH), done=True)
        except DuplicateEvent:
            self._note(begin, "save", key, str(BATCH), done=False)

    def _count(self, _: int) -> None:
        """A batch is there completely or not at all: another number is not a value of its key."""
        key = self._batch_key()
        begin = time.monotonic_ns()
        found = self.store.count(flags=[batch_flag(key)])
        self._note(begin, "read", key, str(found) if found else None, done=True)
        assert self.store.count(flags=["batch"]) % BATCH == 0, "a part of a batch"

    def _snapshot(self) -> None:
        key, batch = self._key(), self._batch_key()
        begin = time.monotonic_ns()
        with self.store.snapshot() as view:
            end = time.monotonic_ns()
            value, found = read(view.get(key, None)), view.count(flags=[batch_flag(batch)])
            assert read(view.get(key, None)) == value
            assert len(list(view.search(flags=[batch_flag(batch)]))) == found
        self.calls.append(Call(begin, end, "read", key, value, done=True))
        self.calls.append(Call(begin, end, "read", batch, str(found) if found else None, done=True))


def main(path: str, seed: str, number: str, durability: Any) -> None:
    """Run the threads, and print their calls."""
    # Both ways a read sees earlier acknowledged changes; strict reads would not see a half.
    consistency: Consistency = "snapshot" if int(seed) % 2 else "strict"
    with LMDBEventStore(path, durability=durability, consistency=consistency) as store:
        lanes = [Lane(store, f"{seed}.{n}", int(seed) + n) for n in range(THREADS)]
        threads = [threading.Thread(target=lane.run, args=(int(number),)) for lane in lanes]
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for lane in lanes:
        if lane.error is not None:
            raise lane.error
    json.dump([call for lane in lanes for call in lane.calls], sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
