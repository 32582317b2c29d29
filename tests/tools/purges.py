"""Events to purge, and the events that a purge leaves, computed in a naive way."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from lmdbstore import (
    Event,
    LMDBEventStore,
)
from lmdbstore.records.record import TermKeys, encode

if TYPE_CHECKING:
    from collections.abc import Sequence


__all__ = ["event", "expected", "ids", "in_use", "is_counted", "names", "record_size", "run_ends"]


def event(
    n: int, *tags: str, at: float | None = None, text: str = "common", source: str = "s"
) -> Event:
    return Event(f"e{n}", source, float(n) if at is None else at, list(tags), text)


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


def is_counted(event: Event, how: dict[str, Any]) -> bool:
    """Whether an event is one of those that a purge chooses from, computed in a naive way."""
    some = set(how.get("any_flags") or ())
    return (
        set(how.get("flags") or ()) <= set(event.tags)
        and (not some or not some.isdisjoint(event.tags))
        and how.get("source") in (None, event.source)
        and re.search(how.get("match") or "", event.content) is not None
    )


def expected(events: Sequence[Event], **how: Any) -> list[Event]:
    """Return the events that a purge without `max_bytes` leaves, computed in a naive way."""
    keep = set(how.get("keep_flags") or ())
    counted = [event for event in events if is_counted(event, how)]
    surplus = 0 if how.get("max_events") is None else len(counted) - how["max_events"]
    before = -math.inf if how.get("before") is None else how["before"]
    if how.get("before") is how.get("max_events") is None:
        before = math.inf
    left = []
    for event in events:
        may_go = event in counted and keep.isdisjoint(event.tags)
        if may_go and (event.timestamp < before or surplus > 0):
            surplus -= 1
        else:
            left.append(event)
    return left
