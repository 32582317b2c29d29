"""Moving in the signed runs, inside a transaction: what of a range has to be read.

Rules: a run is a range of timeline keys, its first one included and its end not, with a signature
of all events in it; runs lie apart. So an event that is in no run, or that comes into one later
(its signature is removed then), is always read. Functions take a cursor of `signatures` whose
values may be bytes or, where nothing shall be copied, memory views.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmdbstore.disk import format as fmt

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

    It has at most so many runs. All bounds are inclusive.
    """
    part = _last if descending else _first
    return part(cursor, probe, low, high, most)


def _first(
    cursor: Cursor[Buffer], probe: Probe, low: bytes, high: bytes, most: int
) -> tuple[bytes, bytes] | None:
    at, begin, runs = low, None, 0
    for key, value in _from(cursor, low):
        length = len(value) - fmt.RUN_END
        end = bytes(value[length:])
        if end <= at:  # the run before the range
            continue
        if key != at and bytes(key) > at:  # in no run
            return begin or at, fmt.before_key(min(bytes(key), fmt.after_key(high)))
        if probe.may_match(value, length):
            begin = begin or at
            runs += 1
        elif begin is not None:
            return begin, fmt.before_key(at)
        at = end
        if at > high or runs == most:
            break
    else:  # behind the last run
        return begin or at, high
    return (begin, min(fmt.before_key(at), high)) if begin is not None else None


def _last(
    cursor: Cursor[Buffer], probe: Probe, low: bytes, high: bytes, most: int
) -> tuple[bytes, bytes] | None:
    at, end, runs = fmt.after_key(high), None, 0  # both are exclusive
    for key, value in _back_from(cursor, high):
        length = len(value) - fmt.RUN_END
        run_end = bytes(value[length:])
        if run_end < at:  # in no run
            if run_end <= low:
                break
            return run_end, fmt.before_key(end or at)
        if probe.may_match(value, length):
            end = end or at
            runs += 1
        elif end is not None:
            return at, fmt.before_key(end)
        at = bytes(key)
        if at <= low or runs == most:
            return (max(at, low), fmt.before_key(end)) if end is not None else None
    return low, fmt.before_key(end or at)


def _from(cursor: Cursor[Buffer], key: bytes) -> Iterator[tuple[Buffer, Buffer]]:
    """Give the runs in order, from the last that begins at `key` or before, if there is one."""
    found = cursor.set_range(key)
    if found and cursor.key() == key:
        return cursor.iternext()
    before = cursor.prev() if found else cursor.last()
    return cursor.iternext() if before or cursor.first() else iter(())


def _back_from(cursor: Cursor[Buffer], key: bytes) -> Iterator[tuple[Buffer, Buffer]]:
    found = cursor.set_range(fmt.after_key(key))
    return cursor.iterprev() if (cursor.prev() if found else cursor.last()) else iter(())
