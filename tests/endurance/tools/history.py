"""What writers that are killed do to a store, and what must be true of it afterwards.

A writer notes each change in a journal before it makes it, and again when it was acknowledged or
refused: one line, one write to a file opened for appending, so that being killed loses nothing of
it. Events follow from their names: whoever knows a name knows what must have been saved under it.

A **lane** is one thread of one writer. Change number `n` of lane `l` saves under the name `l-n`, so
no two lanes touch the same event, but for **claims**: names that several lanes try to save at once.

Lanes also tell the numbers of their acknowledged changes, in memory that is shared with readers:
what was told before a read began, the read must see.
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

__all__ = ["LANES", "SIZES", "Change", "Journal", "Known", "Told", "batch", "kept", "one"]
__all__ += ["claim", "probed"]

LANES = 8
SIZES = {"few": 5, "many": 600}  # events of a batch; the second fills runs, which get signatures
KEPT = 3  # lanes delete only events whose number is a multiple of this
TOLD = ("save", "delete", *SIZES)  # changes whose numbers are told


def one(lane: int, n: int) -> Event:
    """Return the event that change `n` of a lane saves; it comes in between others in time."""
    tags = ["all", "one", f"lane-{lane}", "x" * 600]  # the last has a key of its own form
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
    """Return what a lane saves under a name that others want too."""
    return Event(f"claim-{n}", f"lane {lane}", float(n), ["all", "claim"], "mine")


def probed(n: int) -> Event:
    """Return what is saved after a kill, to see that it can be."""
    return Event(f"probe-{n}", "probe", float(n), ["all", "probe"], "")


def kept(n: int) -> bool:
    """Whether an event with this number is never deleted."""
    return n % KEPT != 0


# What lanes do. Each takes the store, the lane and a number; what one refuses it raises.
CHANGES: dict[str, Callable[[LMDBEventStore, int, int], object]] = {
    "save": lambda store, lane, n: store.save(one(lane, n)),
    "delete": lambda store, lane, n: store.delete(f"{lane}-{n}"),
    "few": lambda store, lane, n: store.save_many(batch("few", lane, n)),
    "many": lambda store, lane, n: store.save_many(batch("many", lane, n)),
    "claim": lambda store, lane, n: store.save(claim(lane, n)),
    "sign": lambda store, _lane, n: store.sign(rebuild=n % 2 == 0),
}
REFUSALS = DuplicateEvent, EventNotFound


class Told:
    """Numbers in shared memory: of changes that were acknowledged, and of readers' steps."""

    def __init__(self, path: Path | str) -> None:
        """Share the numbers in the file at `path`, which is made if it is not there."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
        try:
            os.ftruncate(descriptor, mmap.PAGESIZE)
            self._map = mmap.mmap(descriptor, mmap.PAGESIZE)
        finally:
            os.close(descriptor)
        self._numbers = memoryview(self._map).cast("Q")  # each is written by one thread

    def tell(self, kind: str, lane: int, n: int) -> None:
        """Tell that change `n` of a lane, which is of this kind, was acknowledged, if it lasts."""
        if kind in TOLD and (kind != "save" or kept(n)):
            self._numbers[TOLD.index(kind) * LANES + lane] = n

    def last(self, kind: str, lane: int) -> int:
        """Return the number of the last change of this kind that a lane told of, or 0."""
        return self._numbers[TOLD.index(kind) * LANES + lane]

    def step(self, reader: int) -> None:
        """Count one step of a reader."""
        self._numbers[(len(TOLD) * LANES) + reader] += 1

    def steps(self, reader: int) -> int:
        """Return how many steps a reader has made."""
        return self._numbers[(len(TOLD) * LANES) + reader]

    def close(self) -> None:
        """Let the memory go."""
        self._numbers.release()
        self._map.close()


class Journal:
    """Where one writer notes what it is about to do and what was acknowledged."""

    def __init__(self, path: str) -> None:
        """Append to the file at `path`."""
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def carry_out(self, store: LMDBEventStore, kind: str, lane: int, n: int) -> bool:
        """Make a change, with a note before and after it; return whether it was not refused."""
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
    """One change, as journals tell of it."""

    kind: str
    lane: int
    n: int
    state: str  # begun, done, refused or full: the last that was noted


def read_journal(path: Path) -> Iterator[Change]:
    """Give the changes of a journal, in the order of each lane."""
    states: dict[tuple[str, int, int], str] = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        state, kind, lane, n = line.split()
        states[kind, int(lane), int(n)] = state
    for name, state in states.items():
        yield Change(*name, state)


class Known:
    """What is known of a store: which events must be there, and which may."""

    def __init__(self) -> None:
        """Know an empty store."""
        self.events: dict[str, Event] = {}
        self.next = 1  # a number that no lane has used
        self.acknowledged = self.unacknowledged = 0

    def check(self, found: list[Event], journals: list[Path]) -> None:
        """Compare what was found with what journals tell; from then on it must stay so."""
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
        """Return what must be there, what may, what is there or not as one, and what is taken."""
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
            elif change.kind != "sign":
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
