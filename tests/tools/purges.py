"""Events to purge, and the events that a purge leaves, computed in a naive way."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lmdbstore import (
    Event,
    LMDBEventStore,
)
from lmdbstore.records.record import TermKeys, encode

if TYPE_CHECKING:
    from collections.abc import Sequence


__all__ = ["event", "expected", "ids", "in_use", "names", "record_size", "run_ends"]


def event(n: int, *tags: str, at: float | None = None, text: str = "common") -> Event:
    return Event(f"e{n}", "s", float(n) if at is None else at, list(tags), text)


def ids(store: LMDBEventStore) -> list[str]:
    return [event.id for event in store.search()]


def names(numbers: Sequence[int] | range) -> list[str]:
    return [f"e{n}" for n in numbers]


def record_size(event: Event) -> int:
    """Return the bytes of the record of an event."""
    row = encode(event, TermKeys())
    return len(row.header) + 1 + len(row.content)


def run_ends(store: LMDBEventStore) -> list[bytes]:
    """Return the ends of the runs of a store."""
    ends: list[bytes] = store._session.read(
        lambda txn, databases: list(txn.cursor(db=databases.runs).iternext(values=False))
    )
    return ends


def in_use(store: LMDBEventStore) -> int:
    return sum(store.stats().databases.values())


def expected(events: Sequence[Event], **how: Any) -> list[Event]:
    """Return the events that a purge without `max_bytes` leaves, computed in a naive way."""
    flags, keep = set(how.get("flags") or ()), set(how.get("keep_flags") or ())
    counted = sum(flags <= set(event.tags) for event in events)
    surplus = 0 if how.get("max_events") is None else counted - how["max_events"]
    before = -math.inf if how.get("before") is None else how["before"]
    left = []
    for event in events:
        may_go = flags <= set(event.tags) and keep.isdisjoint(event.tags)
        if may_go and (event.timestamp < before or surplus > 0):
            surplus -= 1
        else:
            left.append(event)
    return left
