"""Reading the signed runs, inside a transaction: which parts of a range have to be read.

Rules: a run is a range of timeline keys, its first one included and its end not, with a signature
of all events in it; runs lie apart. So an event that is in no run, or that comes into one later
(its signature is removed then), is always read. Functions take a cursor of `signatures` whose
values may be bytes or, where nothing is to be copied, memory views.
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

RUN = 512  # events; shorter where a late event had the signature of a run removed
# Runs in a row that may match and are read as one part: between two parts lies a transaction.
MOST_RUNS = 32

Buffer = bytes | memoryview


def next_part(  # noqa: PLR0913  a range and a direction
    cursor: Cursor[Buffer], probe: Probe, low: bytes, high: bytes, most: int, *, descending: bool
) -> tuple[bytes, bytes] | None:
    """Return the first part of a range that may hold a match, in the order asked for, or None.

    It has at most `most` runs. All bounds are inclusive.
    """
    # Places on the way, each the edge between two keys and given by the key after it: where the
    # part begins, where what was seen ends, and where the range ends.
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
        if beyond(near, at):  # what comes first is in no run
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
    return _part(start or at, stop, descending=descending)  # what is after the last run


def _part(start: bytes, stop: bytes, *, descending: bool) -> tuple[bytes, bytes]:
    low, end = (stop, start) if descending else (start, stop)
    return low, fmt.before_key(end)


def _runs(
    cursor: Cursor[Buffer], low: bytes, high: bytes, *, descending: bool
) -> Iterator[tuple[Buffer, Buffer]]:
    """Give the runs that begin in the range, and the one that the range begins in."""
    if descending:
        return entries(cursor, low, high, descending=True)
    found = seek(cursor, low, low, descending=True) or cursor.first()
    return cursor.iternext() if found else iter(())
