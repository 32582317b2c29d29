"""Reading one posting set, and several at once, inside a read transaction.

Rules: cursors may read views; nothing that is returned refers to them. Keys are timeline keys, or
ends of runs; both bounds are inclusive; a range is given in time order (`low <= high`) for both
directions.
"""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING, Any

from lmdbstore.disk.keys import FIRST_KEY, LAST_KEY, posting_key

from .cursor import seek_duplicate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from lmdb import Cursor

    Postings = Cursor[Any]

__all__ = ["leap", "meeting", "merged", "number"]


def number(cursor: Postings, term: bytes) -> int:
    """Return the length of a posting set; O(1)."""
    return cursor.count() if cursor.set_key(term) else 0


def leap(
    cursor: Postings, terms: Iterable[bytes], low: bytes, high: bytes, *, descending: bool
) -> tuple[bytes, bytes]:
    """Narrow the range, on the side where reading begins, to where every set has begun.

    No key that is in all sets is left out. An empty range has `low > high`.
    """
    for term in terms:
        if low > high:
            break
        if not seek_duplicate(cursor, term, low, high, descending=descending):
            return LAST_KEY, FIRST_KEY
        if descending:
            high = min(high, posting_key(cursor.value()))
        else:
            low = max(low, posting_key(cursor.value()))
    return low, high


def meeting(
    cursor: Postings, terms: Sequence[bytes], low: bytes, high: bytes, *, descending: bool
) -> bytes | None:
    """Return the first key of a range, in the requested order, that is in every set."""
    while low <= high:
        before = low, high
        low, high = leap(cursor, terms, low, high, descending=descending)
        if (low, high) == before:  # no set has a key before this one, and each has one there
            return high if descending else low
    return None


def merged(
    cursor: Postings, others: Iterable[tuple[bytes, bool]], keys: list[bytes]
) -> list[bytes]:
    """Return the keys of `keys`, in their order, that are in all of the other sets too.

    The bool of each set says whether the keys are looked up in it; else the set is read.
    """
    for term, looked_up in others:
        if not keys:
            break
        if looked_up:
            keys = [key for key in keys if cursor.set_key_dup(term, key)]
        else:
            keys = _intersection(cursor, term, keys)
    return keys


def _intersection(cursor: Postings, term: bytes, keys: list[bytes]) -> list[bytes]:
    low, high = min(keys[0], keys[-1]), max(keys[0], keys[-1])
    if not cursor.set_range_dup(term, low):
        return []
    wanted = set(keys)
    members: Iterator[bytes] = takewhile(high.__ge__, map(bytes, cursor.iternext_dup()))
    common = set(filter(wanted.__contains__, members))
    return [key for key in keys if key in common]
