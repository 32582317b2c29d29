"""Reading a range of keys, one posting set, and several at once, in either direction.

Rules: this is the one place that seeks for readers. Keys are timeline keys, or ends of runs; both
bounds are inclusive, and a range is given in time order (`low <= high`) for both directions.
Cursors may read views; no list that is returned refers to them. The iterators are LMDB's own, in C:
an iterator begins at the end of the range where reading begins, and does not stop at the other end;
the caller cuts off the items beyond it.
"""

from __future__ import annotations

from contextlib import ExitStack
from heapq import merge
from itertools import groupby, islice, takewhile
from typing import TYPE_CHECKING, Any

from lmdbstore.disk.keys import FIRST_KEY, LAST_KEY, after_key, posting_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from lmdb import Cursor, Transaction
    from lmdb import _Database as Database

__all__ = [
    "duplicates",
    "entries",
    "leap",
    "meeting",
    "merged",
    "number",
    "seek",
    "seek_duplicate",
    "side_by_side",
]


def seek(cursor: Cursor[Any], low: bytes, high: bytes, *, descending: bool) -> bool:
    """Move to the first key of a range in the requested order, or beyond its far end."""
    if descending:
        return cursor.prev() if cursor.set_range(after_key(high)) else cursor.last()
    return cursor.set_range(low)


def entries(  # noqa: PLR0913  a range, a direction, keys and values
    cursor: Cursor[Any],
    low: bytes,
    high: bytes,
    *,
    descending: bool,
    keys: bool = True,
    values: bool = True,
) -> Iterator[Any]:
    """Yield the keys of a range, their values, or pairs of both, in the requested order."""
    if not seek(cursor, low, high, descending=descending):
        return iter(())
    move: Any = cursor.iterprev if descending else cursor.iternext  # typed for literals only
    found: Iterator[Any] = move(keys=keys, values=values)
    return found


def seek_duplicate(
    cursor: Cursor[Any], key: bytes, low: bytes, high: bytes, *, descending: bool
) -> bool:
    """Move to the first value of a key in a range, as `seek` does; False if there is none."""
    if not descending:
        return cursor.set_range_dup(key, low)
    if cursor.set_range_dup(key, after_key(high)):
        return cursor.prev_dup()
    return cursor.set_key(key) and cursor.last_dup()


def duplicates(  # noqa: PLR0913  a range and a direction
    cursor: Cursor[Any], key: bytes, low: bytes, high: bytes, most: int, *, descending: bool
) -> list[bytes]:
    """Return the first `most` values of a key in a range, in the requested order."""
    if not seek_duplicate(cursor, key, low, high, descending=descending):
        return []
    if descending:
        return list(takewhile(low.__le__, map(bytes, islice(cursor.iterprev_dup(), most))))
    return list(takewhile(high.__ge__, map(bytes, islice(cursor.iternext_dup(), most))))


# -- posting sets ------------------------------------------------------------------------------


def number(cursor: Cursor[Any], term: bytes) -> int:
    """Return the length of a posting set; O(1)."""
    return cursor.count() if cursor.set_key(term) else 0


def leap(
    cursor: Cursor[Any], terms: Iterable[bytes], low: bytes, high: bytes, *, descending: bool
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
    cursor: Cursor[Any], terms: Sequence[bytes], low: bytes, high: bytes, *, descending: bool
) -> bytes | None:
    """Return the first key of a range, in the requested order, that is in every set."""
    while low <= high:
        before = low, high
        low, high = leap(cursor, terms, low, high, descending=descending)
        if (low, high) == before:  # no set has a key before this one, and each has one there
            return high if descending else low
    return None


def side_by_side(  # noqa: PLR0913  a range and a direction
    txn: Transaction[Any],
    database: Database,
    terms: Iterable[bytes],
    low: bytes,
    high: bytes,
    *,
    descending: bool,
) -> Iterator[bytes]:
    """Yield the keys of a range that are in any of the sets, in the requested order."""
    with ExitStack() as stack:
        sets = []
        for term in terms:
            cursor = stack.enter_context(txn.cursor(db=database))
            if seek_duplicate(cursor, term, low, high, descending=descending):
                every = cursor.iterprev_dup() if descending else cursor.iternext_dup()
                sets.append(map(posting_key, every))
        for key, _ in groupby(merge(*sets, reverse=descending)):
            if not low <= key <= high:
                return
            yield key


def merged(
    cursor: Cursor[Any], others: Iterable[tuple[bytes, bool]], keys: list[bytes]
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


def _intersection(cursor: Cursor[Any], term: bytes, keys: list[bytes]) -> list[bytes]:
    low, high = min(keys[0], keys[-1]), max(keys[0], keys[-1])
    if not cursor.set_range_dup(term, low):
        return []
    wanted = set(keys)
    members: Iterator[bytes] = takewhile(high.__ge__, map(bytes, cursor.iternext_dup()))
    common = set(filter(wanted.__contains__, members))
    return [key for key in keys if key in common]
