"""Reading one posting set, and several at once, inside a read transaction.

Rules: keys are timeline keys; both bounds are inclusive; a range is given in time order
(`low <= high`) for both directions.
"""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING

from lmdbstore.disk.keys import FIRST_KEY, LAST_KEY

from .cursor import seek_duplicate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lmdb import Cursor

    Postings = Cursor[bytes]

__all__ = ["leap", "merged", "number"]


def number(cursor: Postings, flag_key: bytes) -> int:
    """Return how many events carry a flag; O(1)."""
    return cursor.count() if cursor.set_key(flag_key) else 0


def leap(
    cursor: Postings, flag_keys: Iterable[bytes], low: bytes, high: bytes, *, descending: bool
) -> tuple[bytes, bytes]:
    """Narrow the range, on the side where reading begins, to where every set has begun.

    No key that is in all sets is left out. An empty range has `low > high`.
    """
    for flag_key in flag_keys:
        if low > high:
            break
        if not seek_duplicate(cursor, flag_key, low, high, descending=descending):
            return LAST_KEY, FIRST_KEY
        if descending:
            high = min(high, cursor.value())
        else:
            low = max(low, cursor.value())
    return low, high


def merged(
    cursor: Postings, others: Iterable[tuple[bytes, bool]], keys: list[bytes]
) -> list[bytes]:
    """Return the keys of `keys`, in their order, that are in all of the other sets too.

    The bool of each set says whether the keys are looked up in it; else the set is read.
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
