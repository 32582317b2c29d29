"""A child whose writes fail now and then: what it expects of the store, and what it counts.

`python -m tests.tools.crash.faulty PATH SEED TROUBLE` runs random operations on the store at PATH.
A failing call must say that nothing was written: then nothing was, and reading still works. Or it
says that this is not known: then the change is there or not, and never in part, when the store is
opened again. A second try without the trouble works. The numbers that it counted are printed.

A new call of the store that writes needs a method here, and its name in `OPERATIONS`.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import sys
import threading
from collections import Counter
from typing import TYPE_CHECKING

from lmdbstore import Event, EventWriteException, LMDBEventStore, StoreDamaged, repair
from lmdbstore.contract.checking import checked
from tests.tools.indexes import assert_indexes_agree

if TYPE_CHECKING:
    from collections.abc import Callable

    Change = dict[str, Event | None]  # the event that an id has afterwards
    Outcome = EventWriteException | None

STEPS = 50  # operations of a child whose system calls fail
CAUSES = "disk", "limit", "space"
FULL = 3  # how often the disk gets full
FAILURES = 3  # before the disk is freed again
AT_ONCE = 4  # threads that save at the same time
FILLER = "filler"  # the file beside the store that fills the disk


class Tester:
    """The store, and what must be in it."""

    def __init__(self, path: str, chance: random.Random) -> None:
        """Open the store, and note its events."""
        self.path = path
        self.chance = chance
        self.counts: Counter[str] = Counter()
        self.number = 0
        self.store = LMDBEventStore(path)
        self.events = {event.id: event for event in self.store.search()}

    def event(self) -> Event:
        """Return a new event."""
        self.number += 1
        content = "c" * self.chance.choice([0, 100, 3000])
        tags = self.chance.sample(["x", "y", "z"], self.chance.randrange(3))
        name = f"{self.chance.randrange(1 << 64):x}"
        return checked(Event(name, "s", float(self.number % 7), tags, content))

    # -- operations that may fail ------------------------------------------------------------------

    def save(self) -> bool:
        """Save an event."""
        event = self.event()
        return self._try({event.id: event}, lambda: self.store.save(event))

    def save_many(self) -> bool:
        """Save some events, all or none."""
        events = [self.event() for _ in range(self.chance.choice([1, 10, 40]))]
        return self._try(
            {event.id: event for event in events}, lambda: self.store.save_many(events)
        )

    def delete(self) -> bool:
        """Delete an event."""
        name = self.chance.choice([*self.events])
        return self._try({name: None}, lambda: self.store.delete(name))

    def seal(self) -> bool:
        """Seal all events."""
        return self._try({}, self.store.seal)

    def save_at_once(self) -> bool:
        """Save from several threads; each gets the outcome of its own save."""
        events = [self.event() for _ in range(AT_ONCE)]
        outcomes: dict[str, Outcome] = {}

        def work(event: Event) -> None:
            outcomes[event.id] = _outcome(lambda: self.store.save(event))

        threads = [threading.Thread(target=work, args=(event,)) for event in events]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return self._judge([({event.id: event}, outcomes[event.id]) for event in events])

    def backup(self) -> bool:
        """Copy the store: there is a complete copy, or none."""
        target = f"{self.path}-copy"
        error = _outcome(lambda: self.store.backup(target))
        assert os.path.exists(target) == (error is None), error
        if error is None:
            with LMDBEventStore(target) as copy:
                assert {event.id: event for event in copy.search()} == self.events
            shutil.rmtree(target)
        return self._stays(error, "backups")

    def compact(self) -> bool:
        """Compact the store: its events stay the same, also after a failure."""
        return self._stays(_outcome(self.store.compact), "compactions")

    def repair(self) -> bool:
        """Repair the sound store: its events stay the same, also after a failure."""
        self.store.close()
        error = _outcome(lambda: repair(self.path))
        self.store = LMDBEventStore(self.path)
        return self._stays(error, "repairs")

    def _stays(self, error: Outcome, what: str) -> bool:
        assert error is None or any(word in str(error) for word in CAUSES), error
        self.counts[f"{what} tried" if error is None else f"{what} refused"] += 1
        self._check()
        return error is None

    # -- required outcomes -------------------------------------------------------------------------

    def _try(self, change: Change, call: Callable[[], object]) -> bool:
        return self._judge([(change, _outcome(call))])

    def _judge(self, outcomes: list[tuple[Change, Outcome]]) -> bool:
        """Check the outcomes of changes; return whether all of them succeeded."""
        unknown: list[Change] = []
        self.counts["writes tried"] += len(outcomes)
        for change, error in outcomes:
            if error is None:
                self._apply(change)
            elif "not known" in str(error) or isinstance(error, StoreDamaged):
                assert "close the store" in str(error), error
                unknown.append(change)
            else:
                assert "nothing was written" in str(error), error
                assert any(word in str(error) for word in CAUSES), f"what to do? {error}"
                self.counts["writes refused"] += 1
        if unknown:
            self._look(unknown)
        self._check()
        return all(error is None for _, error in outcomes)

    def _apply(self, change: Change) -> None:
        for name, event in change.items():
            self.events.pop(name, None)
            if event is not None:
                self.events[name] = event

    def _look(self, unknown: list[Change]) -> None:
        """Open the store again, as the errors said, to see which changes are there."""
        for call in (lambda: self.store.save(self.event()), lambda: len(self.store)):
            assert "close the store" in _damaged(call)
        self.store.close()
        self.store = LMDBEventStore(self.path)
        found = {event.id: event for event in self.store.search()}
        for change in unknown:
            self.counts["writes of unknown outcome looked up"] += 1
            if any(found.get(name) == event for name, event in change.items()):
                self._apply(change)

    def _check(self) -> None:
        """Compare the events in the store with the expected events."""
        assert {event.id: event for event in self.store.search()} == self.events
        assert len(self.store) == assert_indexes_agree(self.store) == len(self.events)
        assert self.store.verify() == []
        assert not self.store._session._environment.barrier.up
        self.counts["events checked"] += len(self.events)

    # -- the trouble -------------------------------------------------------------------------------

    def something(self) -> bool:
        """Do one of the operations."""
        names = [name for name in OPERATIONS if self.events or name != "delete"]
        done: bool = getattr(self, self.chance.choice(names))()
        return done

    def endure_calls(self) -> None:
        """Work while some system calls fail at regular intervals; check that some work succeeds."""
        for _ in range(STEPS):
            if not self.something():  # each thread has calls of its own that fail
                assert self.save() or self.save(), "nothing works any more"

    def endure_full(self, fill: Callable[[int], None], free: Callable[[], None]) -> None:
        """Fill the disk except some bytes, work until it is full, and free it."""
        for _ in range(FULL):
            fill(self.chance.choice([0, 5000, 50_000, 200_000]))
            failed = 0
            while failed < FAILURES:
                failed += not self.something()
            free()
            self.counts["times that the disk was full"] += 1
            for name in OPERATIONS:
                assert getattr(self, name)(), f"{name} does not work when there is room again"

    def limit(self, more: int) -> None:
        """Limit files to the size of the store and a little more."""
        size = os.stat(os.path.join(self.path, "data.mdb")).st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + more, resource.RLIM_INFINITY))

    def no_limit(self) -> None:
        """Remove the limit."""
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    def fill_up(self, more: int) -> None:
        """Fill the disk of the store."""
        status = os.statvfs(self.path)
        with open(os.path.join(os.path.dirname(self.path), FILLER), "wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, status.f_bfree * status.f_bsize - more))

    def empty(self) -> None:
        """Free the disk again."""
        os.unlink(os.path.join(os.path.dirname(self.path), FILLER))


# These operations need room for another file, and may fail if others succeed.
COPYING = ("backup", "compact", "repair")
OPERATIONS = ("save", "save_many", "delete", "seal", "save_at_once", *COPYING)


def _outcome(call: Callable[[], object]) -> Outcome:
    try:
        call()
    except EventWriteException as error:
        return error
    return None


def _damaged(call: Callable[[], object]) -> str:
    """Return what a call says that must find the store damaged."""
    try:
        call()
    except StoreDamaged as error:
        return str(error)
    raise AssertionError("a damaged store is used")


def main() -> None:
    """Run the kind of trouble that the command line names."""
    path, seed, trouble = sys.argv[1:]
    tester = Tester(path, random.Random(int(seed)))
    if trouble == "calls":
        tester.endure_calls()
    elif trouble == "limit":
        tester.endure_full(tester.limit, tester.no_limit)
    else:
        tester.endure_full(tester.fill_up, tester.empty)
    tester.store.close()
    print(json.dumps(tester.counts))  # noqa: T201  read by the parent


if __name__ == "__main__":
    main()
