"""Changes of writers that are killed, and what must be true of the store afterwards.

A writer notes each change in a journal before it makes it, and again when it was acknowledged or
refused: one line, one write to a file opened for appending, so that a kill loses nothing of
it. An event follows from its name: the name says which event must have been saved.

A **lane** is one thread of one writer. Change number `n` of lane `l` saves under the name `l-n`, so
no two lanes touch the same event, except **claims**: names that several lanes try to save at once.

Lanes also write the numbers of their acknowledged changes to memory that is shared with readers:
a read must see each change whose number was there before the read began.
"""

from __future__ import annotations

import mmap
import os
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from lmdbstore import DuplicateEvent, Event, EventNotFound, StoreFull

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lmdbstore import LMDBEventStore

__all__ = ["LANES", "SIZES", "Change", "Journal", "Known", "SharedNumbers", "batch", "kept", "one"]
__all__ += ["claim", "probed"]

LANES = 8
SIZES = {"few": 5, "many": 600}  # events of a batch; the second fills runs, which are sealed
KEPT = 3  # lanes delete only events whose number is a multiple of this
SHARED_KINDS = ("save", "delete", *SIZES)  # changes whose numbers are shared


def one(lane: int, n: int) -> Event:
    """Return the event that change `n` of a lane saves; its time is between those of others."""
    tags = ["all", "one", f"lane-{lane}", "x" * 600]  # the last has a key of another form
    content = f"{lane}-{n} " + "content " * (n * 37 % 100)
    return Event(f"{lane}-{n}", f"lane {lane}", float(n % 50 + lane), tags, content)


def batch(kind: str, lane: int, n: int) -> list[Event]:
    """Return the events that change `n` of a lane saves together."""
    tags = ["all", kind, f"batch-{lane}-{n}"]
    return [
        Event(f"{lane}-{n}-{k}", kind, 1000.0 * n + k % 7, tags, f"{kind} word{k}")
        for k in range(SIZES[kind])
    ]


def claim(lane: int, n: int) -> Event:
    """Return the event that a lane saves under a name that other lanes claim, too."""
    return Event(f"claim-{n}", f"lane {lane}", float(n), ["all", "claim"], "mine")


def probed(n: int) -> Event:
    """Return the event that is saved after a kill, to check that saving works."""
    return Event(f"probe-{n}", "probe", float(n), ["all", "probe"], "")


def kept(n: int) -> bool:
    """Whether an event with this number is never deleted."""
    return n % KEPT != 0


# The changes of lanes. Each takes the store, the lane and a number, and raises refusals.
CHANGES: dict[str, Callable[[LMDBEventStore, int, int], object]] = {
    "save": lambda store, lane, n: store.save(one(lane, n)),
    "delete": lambda store, lane, n: store.delete(f"{lane}-{n}"),
    "few": lambda store, lane, n: store.save_many(batch("few", lane, n)),
    "many": lambda store, lane, n: store.save_many(batch("many", lane, n)),
    "claim": lambda store, lane, n: store.save(claim(lane, n)),
    "seal": lambda store, _lane, _n: store.seal(),
}
REFUSALS = DuplicateEvent, EventNotFound


class SharedNumbers:
    """Numbers in shared memory: of acknowledged changes, and of readers' steps."""

    def __init__(self, path: Path | str) -> None:
        """Share the numbers in the file at `path`, which is made if it is missing."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
        try:
            os.ftruncate(descriptor, mmap.PAGESIZE)
            self._map = mmap.mmap(descriptor, mmap.PAGESIZE)
        finally:
            os.close(descriptor)
        self._numbers = memoryview(self._map).cast("Q")  # each is written by one thread

    def note(self, kind: str, lane: int, n: int) -> None:
        """Note that change `n` of a lane, of this kind, was acknowledged, if it is permanent."""
        if kind in SHARED_KINDS and (kind != "save" or kept(n)):
            self._numbers[SHARED_KINDS.index(kind) * LANES + lane] = n

    def last(self, kind: str, lane: int) -> int:
        """Return the number of the last change of this kind that a lane has noted, or 0."""
        return self._numbers[SHARED_KINDS.index(kind) * LANES + lane]

    def step(self, reader: int) -> None:
        """Count one step of a reader."""
        self._numbers[(len(SHARED_KINDS) * LANES) + reader] += 1

    def steps(self, reader: int) -> int:
        """Return how many steps a reader has made."""
        return self._numbers[(len(SHARED_KINDS) * LANES) + reader]

    def close(self) -> None:
        """Release the memory."""
        self._numbers.release()
        self._map.close()


class Journal:
    """The file where one writer notes its next change and the outcome."""

    def __init__(self, path: str) -> None:
        """Append to the file at `path`."""
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def carry_out(self, store: LMDBEventStore, kind: str, lane: int, n: int) -> bool:
        """Make a change, with a note before and after it; return whether it succeeded."""
        self._note("begun", kind, lane, n)
        try:
            CHANGES[kind](store, lane, n)
        except REFUSALS:
            self._note("refused", kind, lane, n)
            return False
        except StoreFull:
            self._note("full", kind, lane, n)
            return False
        self._note("done", kind, lane, n)
        return True

    def _note(self, state: str, kind: str, lane: int, n: int) -> None:
        line = f"{state} {kind} {lane} {n}\n".encode()
        assert os.write(self._descriptor, line) == len(line)


class Change(NamedTuple):
    """One change, as noted in a journal."""

    kind: str
    lane: int
    n: int
    state: str  # begun, done, refused or full: the last that was noted


def read_journal(path: Path) -> Iterator[Change]:
    """Yield the changes of a journal, in the order of each lane."""
    states: dict[tuple[str, int, int], str] = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        state, kind, lane, n = line.split()
        states[kind, int(lane), int(n)] = state
    for name, state in states.items():
        yield Change(*name, state)


class Known:
    """What is known of a store: which events must be there, and which may."""

    def __init__(self) -> None:
        """Begin with an empty store."""
        self.events: dict[str, Event] = {}
        self.next = 1  # a number that no lane has used
        self.acknowledged = self.unacknowledged = 0

    def check(self, found: list[Event], journals: list[Path]) -> None:
        """Compare the found events with the journals; later checks start from these events."""
        must, may, together, claimed = self._expected(journals)
        events = {event.id: event for event in found}
        assert len(events) == len(found), "an event was found twice"
        lost = (must.keys() | claimed) - events.keys()
        assert not lost, f"acknowledged and not there: {sorted(lost)[:5]}"
        for event in found:
            allowed = [must[event.id]] if event.id in must else may.get(event.id, [])
            assert event in allowed, f"never saved like that, or deleted: {event!r:.200}"
        for names in together:
            there = names & events.keys()
            assert there in (set(), names), f"a batch was torn: {sorted(there)[:5]}"
        self.events = events

    def _expected(
        self, journals: list[Path]
    ) -> tuple[dict[str, Event], dict[str, list[Event]], list[set[str]], set[str]]:
        """Return events that must exist, events that may, batches, and claimed names."""
        must = dict(self.events)
        may: defaultdict[str, list[Event]] = defaultdict(list)
        together: list[set[str]] = []
        claimed: set[str] = set()  # refused to one lane, so another has it
        for change in (change for path in journals for change in read_journal(path)):
            self.next = max(self.next, change.n + 1)
            self.acknowledged += change.state != "begun"
            self.unacknowledged += change.state == "begun"
            if change.state == "full":
                continue
            if change.state == "refused":
                assert change.kind == "claim", f"refused without a reason: {change}"
                claimed.add(claim(change.lane, change.n).id)
            elif change.kind == "delete":
                gone = must.pop(f"{change.lane}-{change.n}")
                if change.state == "begun":
                    may[gone.id].append(gone)
            elif change.kind != "seal":
                saved = _saved(change)
                if change.state == "done":
                    taken = must.keys() & {event.id for event in saved}
                    assert not taken, f"saved twice: {sorted(taken)[:5]}"
                    must.update((event.id, event) for event in saved)
                else:
                    for event in saved:
                        may[event.id].append(event)
                    together.append({event.id for event in saved})
        return must, may, together, claimed


def _saved(change: Change) -> list[Event]:
    if change.kind in SIZES:
        return batch(change.kind, change.lane, change.n)
    return [(claim if change.kind == "claim" else one)(change.lane, change.n)]
