"""The roles of children that are killed, or that run while others are (see `nursery`)."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import threading
import traceback
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

import lmdbstore
from lmdbstore import LMDBEventStore
from tests.endurance.tools.history import (
    LANES,
    SIZES,
    Journal,
    SharedNumbers,
    batch,
    kept,
    one,
    probed,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

    from lmdbstore import EventView

__all__ = ["READS", "ROLES"]


# -- writers --------------------------------------------------------------------------------------

# The frequency of the kinds of changes. A delete takes the event that the lane saved last.
OFTEN = {"save": 40, "delete": 15, "few": 15, "claim": 10, "many": 1, "seal": 1}
PACKAGE = os.path.dirname(lmdbstore.__file__)
CHANGES_OF_A_CREATOR = 30  # so that the smallest map is full now and then


def write(
    path: str,
    *,
    journal: str,
    shared: str,
    lanes: Sequence[int],
    first: int,
    seed: int,
    **options: Any,
) -> None:
    """Write in several lanes at once, with a thread for each, until killed."""
    store = LMDBEventStore(path, **options)
    notes, shared_numbers = Journal(journal), SharedNumbers(shared)
    work = partial(_lane, store, notes, shared_numbers)
    _threads([partial(work, lane, first=first, chance=Random(f"{seed} {lane}")) for lane in lanes])


def cut(path: str, journal: str, kind: str, n: int, place: int) -> None:
    """Make one change; get killed at new line number `place` of the package."""
    store, notes = LMDBEventStore(path, durability="none"), Journal(journal)
    if kind == "delete":
        notes.carry_out(store, "save", 0, n)
    seen: set[tuple[str, int]] = set()

    def trace(frame: FrameType, event: str, _: object) -> Any:
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        if event == "line":
            seen.add((frame.f_code.co_filename, frame.f_lineno))
            if len(seen) > place:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)
    notes.carry_out(store, kind, 0, n)
    sys.settrace(None)


def create(path: str, journal: str, lane: int, first: int, **options: Any) -> None:
    """Open or create a store, change a little, close it, and repeat, until killed."""
    notes = Journal(journal)
    for n in itertools.count(first):
        with LMDBEventStore(path, **options) as store:
            if n < first + CHANGES_OF_A_CREATOR:
                notes.carry_out(store, ("save", "many", "claim")[n % 3], lane, n)
            else:
                len(store)


def _lane(
    store: LMDBEventStore,
    notes: Journal,
    shared: SharedNumbers,
    lane: int,
    *,
    first: int,
    chance: Random,
) -> None:
    numbers = dict.fromkeys(OFTEN, first)  # claims of all lanes begin with the same number
    saved: list[int] = []  # these may be deleted
    fresh = first
    while True:
        (kind,) = chance.choices(list(OFTEN), list(OFTEN.values()))
        if kind == "delete":
            if not saved:
                continue
            n = saved.pop()
        elif kind == "claim":
            n = numbers[kind]
            numbers[kind] += 1
        else:
            n = fresh
            fresh += 1
        if notes.carry_out(store, kind, lane, n):
            shared.note(kind, lane, n)
            if kind == "save" and not kept(n):
                saved.append(n)


def _threads(works: Sequence[Callable[[], None]]) -> None:
    """Run endless works; the first that fails ends the process with its exception."""

    def run(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# -- readers --------------------------------------------------------------------------------------

READS = 5  # strict reads in each step of a reader, at least


def read(path: str, shared: str, reader: int, seed: int, **options: Any) -> None:
    """Read strictly, and check that acknowledged changes are complete, until killed."""
    store, shared_numbers, chance = (
        LMDBEventStore(path, **options),
        SharedNumbers(shared),
        Random(seed),
    )
    while True:
        lane = chance.randrange(LANES)
        for look in (_saves, _deletes, _batches):
            look(store, shared_numbers, lane)
        with store.snapshot() as view:
            _whole(view)
        shared_numbers.step(reader)


def _saves(store: LMDBEventStore, shared: SharedNumbers, lane: int) -> None:
    n = shared.last("save", lane)
    if n:
        assert store.get(f"{lane}-{n}") == one(lane, n)


def _deletes(store: LMDBEventStore, shared: SharedNumbers, lane: int) -> None:
    n = shared.last("delete", lane)
    if n:
        assert f"{lane}-{n}" not in store, f"{lane}-{n} was deleted"


def _batches(store: LMDBEventStore, shared: SharedNumbers, lane: int) -> None:
    for kind, size in SIZES.items():
        n = shared.last(kind, lane)
        if n:
            expected = sorted(batch(kind, lane, n), key=lambda event: event.timestamp)
            assert list(store.search(flags=[f"batch-{lane}-{n}"])) == expected
        assert store.count(flags=[kind]) % size == 0, "a batch was seen torn"


def _whole(view: EventView) -> None:
    """Check that one state of the store agrees with itself."""
    flags = view.flags()
    assert flags.get("all", 0) == len(view) == view.count()
    for flag, number in flags.items():
        assert not flag.startswith("batch-") or number in SIZES.values(), f"{flag} was seen torn"
    for kind, size in SIZES.items():
        assert flags.get(kind, 0) % size == 0
    sums = sum(flags.get(kind, 0) for kind in (*SIZES, "one", "claim", "probe"))
    assert flags.get("all", 0) == sums


def hold(path: str, shared: str, reader: int, number: int) -> None:
    """Hold snapshots in several threads, and read them repeatedly, until killed."""
    store, shared_numbers = LMDBEventStore(path), SharedNumbers(shared)

    def look() -> None:
        with store.snapshot() as view:
            before = view.flags()
            for turn in itertools.count():
                assert view.flags() == before, "a snapshot has changed"
                assert len(list(view.search(limit=10))) <= 10
                if turn == 0:
                    shared_numbers.step(reader)

    _threads([look] * number)


def probe(path: str, n: int, *, write_first: bool, **options: Any) -> None:
    """Read strictly and write, as the next process after a kill.

    No other process writes, so the first read shows the final outcome.
    """
    with LMDBEventStore(path, **options) as store:
        if write_first:
            store.save(probed(n))
        before = store.flags()
        assert store.count() == len(store) == before.get("all", 0)
        if not write_first:
            store.save(probed(n))
            before.update((flag, before.get(flag, 0) + 1) for flag in probed(n).tags)
        assert store.get(probed(n).id) == probed(n)
        assert store.flags() == before, "an outcome that was seen has changed"


ROLES: dict[str, Callable[..., None]] = {
    "write": write,
    "cut": cut,
    "create": create,
    "read": read,
    "hold": hold,
    "probe": probe,
}
