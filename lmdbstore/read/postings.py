"""Moving in one posting set, and in several at once, inside a read transaction.

Rules: keys are timeline keys of 16 bytes; both bounds are inclusive; a range is given in time order
(`low <= high`) whichever way it is read.
"""

from __future__ import annotations

from itertools import islice, takewhile
from typing import TYPE_CHECKING

from lmdbstore.disk.format import after_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lmdb import Cursor

    Postings = Cursor[bytes]

__all__ = ["leap", "merged", "number", "postings"]


def number(cursor: Postings, flag_key: bytes) -> int:
    """Return how many events carry a flag; O(1)."""
    return cursor.count() if cursor.set_key(flag_key) else 0


def postings(  # noqa: PLR0913  a range and a direction
    cursor: Postings, flag_key: bytes, low: bytes, high: bytes, most: int, *, descending: bool
) -> list[bytes]:
    """Return the first `most` keys of a posting set in the range, in the order asked for."""
    if descending:
        if not _seek_last(cursor, flag_key, high):
            return []
        return list(takewhile(low.__le__, islice(cursor.iterprev_dup(), most)))
    if not cursor.set_range_dup(flag_key, low):
        return []
    return list(takewhile(high.__ge__, islice(cursor.iternext_dup(), most)))


def leap(
    cursor: Postings, flag_keys: Iterable[bytes], low: bytes, high: bytes, *, descending: bool
) -> tuple[bytes, bytes]:
    """Narrow the range, on the side where reading begins, to where every set has begun.

    Nothing that is in all sets is left out. An empty range (`low > high`) says that there is none.
    """
    for flag_key in flag_keys:
        if low > high:
            break
        if descending:
            found = _seek_last(cursor, flag_key, high)
            high = min(high, cursor.value()) if found else b""
        else:
            found = cursor.set_range_dup(flag_key, low)
            low = max(low, cursor.value()) if found else b"\xff" * 17
    return low, high


def merged(
    cursor: Postings, others: Iterable[tuple[bytes, bool]], keys: list[bytes]
) -> list[bytes]:
    """Return those of `keys`, in their order, that are in all of the other sets too.

    With each of those goes whether the keys shall be looked up in it; else it is read.
    """
    for flag_key, looked_up in others:
        if not keys:
            break
        if looked_up:
            keys = [key for key in keys if cursor.set_key_dup(flag_key, key)]
        else:
            keys = _intersection(cursor, flag_key, keys)
    return keys


def _intersection(cursor: Postings, flag_key: bytes, keys: list[bytes]) -> list[bytes]:
    low, high = min(keys[0], keys[-1]), max(keys[0], keys[-1])
    if not cursor.set_range_dup(flag_key, low):
        return []
    wanted = set(keys)
    members: Iterator[bytes] = takewhile(high.__ge__, cursor.iternext_dup())
    common = set(filter(wanted.__contains__, members))
    return [key for key in keys if key in common]


def _seek_last(cursor: Postings, flag_key: bytes, high: bytes) -> bool:
    """Move to the last key of the set that is not over `high`."""
    if cursor.set_range_dup(flag_key, after_key(high)):
        return cursor.prev_dup()
    return cursor.set_key(flag_key) and cursor.last_dup()
