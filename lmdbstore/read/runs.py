"""Reading the signed runs, inside a transaction: which parts of a range have to be read.

Rules: a run is a range of timeline keys, including its first key and excluding its end, with a
signature of all events in it; runs do not overlap. So an event is always read if it is in no run,
or is saved into one later (its signature is then removed). Functions take a cursor of `signatures`
whose values may be bytes or, to avoid copies, memory views.
"""

from __future__ import annotations

from operator import gt, lt
from typing import TYPE_CHECKING

from lmdbstore.disk import format as fmt

from .cursor import entries, seek

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmdb import Cursor

    from lmdbstore.patterns.signature import Probe

__all__ = ["MOST_RUNS", "RUN", "next_part"]

RUN = 512  # events; shorter if a late event removed the signature of a run
# Runs in a row that may match and are read as one part; each part needs a transaction of its own.
MOST_RUNS = 32

Buffer = bytes | memoryview


def next_part(  # noqa: PLR0913  a range and a direction
    cursor: Cursor[Buffer], probe: Probe, low: bytes, high: bytes, most: int, *, descending: bool
) -> tuple[bytes, bytes] | None:
    """Return the first part of a range that may hold a match, in the requested order, or None.

    It has at most `most` runs. All bounds are inclusive; `high` is below LAST_KEY.
    """
    # Edges between two keys, each given by the key after it: the beginning of the part, the end of
    # the keys seen so far, and the end of the range.
    start: bytes | None = None
    at, stop = low, fmt.after_key(high)
    beyond, nearer = gt, min
    if descending:
        at, stop = stop, at
        beyond, nearer = lt, max
    runs = 0
    for key, value in _runs(cursor, low, high, descending=descending):
        length = fmt.filter_length(value)
        near, far = bytes(key), bytes(value[length:])
        if descending:
            near, far = far, near
        if not beyond(far, at):  # the run before the range
            continue
        if beyond(near, at):  # the next keys are in no run
            return _part(start or at, nearer(near, stop), descending=descending)
        if probe.may_match(value, length):
            start = start or at
            runs += 1
        elif start is not None:
            return _part(start, at, descending=descending)
        at = far
        if runs == most or not beyond(stop, at):
            found = start is not None
            return _part(start or at, nearer(at, stop), descending=descending) if found else None
    return _part(start or at, stop, descending=descending)  # the keys after the last run


def _part(start: bytes, stop: bytes, *, descending: bool) -> tuple[bytes, bytes]:
    low, end = (stop, start) if descending else (start, stop)
    return low, fmt.before_key(end)


def _runs(
    cursor: Cursor[Buffer], low: bytes, high: bytes, *, descending: bool
) -> Iterator[tuple[Buffer, Buffer]]:
    """Yield the runs that begin in the range, and the run in which the range begins."""
    if descending:
        return entries(cursor, low, high, descending=True)
    found = seek(cursor, low, low, descending=True) or cursor.first()
    return cursor.iternext() if found else iter(())
