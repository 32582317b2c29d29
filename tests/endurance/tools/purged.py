"""The roles of children that purge, or write and read at the same time (see `nursery`)."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING, Any

from lmdbstore import Event, LMDBEventStore
from lmdbstore.care import choice
from lmdbstore.care import purge as purging

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ROLES", "event", "lane", "noted"]

NUMBER = 8  # bytes


def event(n: int, *tags: str) -> Event:
    """Return an event with this number in its text."""
    return Event(f"e{n}", "s", float(n), list(tags), f"event number {n:06d} {'x' * (n % 300)}")


def lane(number: int) -> str:
    """Return the flag of the events of one writer."""
    return f"lane {number}"


def noted(notes: int, place: int) -> int:
    """Return the number that was noted at a place of a file; 0 if there is none."""
    return int.from_bytes(os.pread(notes, NUMBER, place * NUMBER), "big")


def _note(notes: int, place: int, number: int) -> None:
    os.pwrite(notes, number.to_bytes(NUMBER, "big"), place * NUMBER)


def purge(path: str, pieces: int, how: dict[str, Any]) -> None:
    """Purge a store, in pieces of this number of events."""
    purging.PURGE_EVENTS = choice.SPAN = pieces
    with LMDBEventStore(path, durability="none") as store:
        store.purge(**how)


def write(path: str, notes: str, number: int) -> None:
    """Save events of one lane, and note the last that was acknowledged, until killed."""
    file = os.open(notes, os.O_RDWR)
    store = LMDBEventStore(path, durability="none")
    for n in itertools.count(1):
        store.save(Event(f"{number}-{n}", timestamp=float(n), tags=[lane(number)], content="x"))
        _note(file, number, n)


def read(path: str, notes: str, place: int, lanes: int) -> None:
    """Check that each state holds the last events of each lane without a gap, until killed."""
    file = os.open(notes, os.O_RDWR)
    store = LMDBEventStore(path, readonly=True)
    for look in itertools.count(1):
        before = [noted(file, number) for number in range(lanes)]
        with store.snapshot() as view:
            for number in range(lanes):
                found = [int(each.timestamp) for each in view.search(flags=[lane(number)])]
                last = found[-1] if found else 0
                assert last >= before[number], "what was acknowledged is not there"
                assert found == list(range(last - len(found) + 1, last + 1)), "a gap"
        _note(file, place, look)


ROLES: dict[str, Callable[..., None]] = {"purge": purge, "write": write, "read": read}
