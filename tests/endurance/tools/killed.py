"""The roles of children that are killed, or that go on while others are (see `nursery`)."""

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
from tests.endurance.tools.history import LANES, SIZES, Journal, Told, batch, kept, one, probed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

    from lmdbstore import EventView

__all__ = ["READS", "ROLES"]


# -- writers --------------------------------------------------------------------------------------

# What a lane does next: kinds of changes, by how often. A delete takes what the lane saved last.
OFTEN = {"save": 40, "delete": 15, "few": 15, "claim": 10, "many": 1, "sign": 1}
PACKAGE = os.path.dirname(lmdbstore.__file__)
CHANGES_OF_A_CREATOR = 30  # so that the smallest map that is tried is full now and then


def write(
    path: str,
    *,
    journal: str,
    told: str,
    lanes: Sequence[int],
    first: int,
    seed: int,
    **options: Any,
) -> None:
    """Write in several lanes at once, a thread each, until killed."""
    store = LMDBEventStore(path, **options)
    notes, tells = Journal(journal), Told(told)
    work = partial(_lane, store, notes, tells)
    _threads([partial(work, lane, first=first, chance=Random(f"{seed} {lane}")) for lane in lanes])


def cut(path: str, journal: str, kind: str, n: int, place: int) -> None:
    """Make one change, and be killed at the line of the package that is the so-manieth new one."""
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
    """Open a store that may not be there, change a little, close it, and again, until killed."""
    notes = Journal(journal)
    for n in itertools.count(first):
        with LMDBEventStore(path, **options) as store:
            if n < first + CHANGES_OF_A_CREATOR:
                notes.carry_out(store, ("save", "many", "claim")[n % 3], lane, n)
            else:
                len(store)


def _lane(
    store: LMDBEventStore, notes: Journal, told: Told, lane: int, *, first: int, chance: Random
) -> None:
    numbers = dict.fromkeys(OFTEN, first)  # claims of all lanes begin with the same
    saved: list[int] = []  # and may be deleted
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
            told.tell(kind, lane, n)
            if kind == "save" and not kept(n):
                saved.append(n)


def _threads(works: Sequence[Callable[[], None]]) -> None:
    """Run works that never end; the first that fails ends the process, with what it raised."""

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

READS = 5  # strict ones in each step of a reader, at least


def read(path: str, told: str, reader: int, seed: int, **options: Any) -> None:
    """Read strictly, and see what was told before, whole, until killed; count each step."""
    store, tells, chance = LMDBEventStore(path, **options), Told(told), Random(seed)
    while True:
        lane = chance.randrange(LANES)
        for look in (_saves, _deletes, _batches):
            look(store, tells, lane)
        with store.snapshot() as view:
            _whole(view)
        tells.step(reader)


def _saves(store: LMDBEventStore, told: Told, lane: int) -> None:
    n = told.last("save", lane)
    if n:
        assert store.get(f"{lane}-{n}") == one(lane, n)


def _deletes(store: LMDBEventStore, told: Told, lane: int) -> None:
    n = told.last("delete", lane)
    if n:
        assert f"{lane}-{n}" not in store, f"{lane}-{n} was deleted"


def _batches(store: LMDBEventStore, told: Told, lane: int) -> None:
    for kind, size in SIZES.items():
        n = told.last(kind, lane)
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


def hold(path: str, told: str, reader: int, number: int) -> None:
    """Hold snapshots in several threads, and read them again and again, until killed."""
    store, tells = LMDBEventStore(path), Told(told)

    def look() -> None:
        with store.snapshot() as view:
            before = view.flags()
            for turn in itertools.count():
                assert view.flags() == before, "a snapshot has changed"
                assert len(list(view.search(limit=10))) <= 10
                if turn == 0:
                    tells.step(reader)

    _threads([look] * number)


def probe(path: str, n: int, *, write_first: bool, **options: Any) -> None:
    """Read strictly and write: what the next one does who comes after a kill.

    Nobody else writes, so what the first read saw is the outcome for good.
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
