"""Reading a range of keys in either direction: the one place that seeks for readers.

Rules: keys are timeline keys. Both bounds are inclusive, and a range is given in time order
(`low <= high`) for both directions. The iterators are LMDB's own, in C: an iterator begins at the
end of the range where reading begins, and does not stop at the other end; the caller cuts off the
items beyond it.
"""

from __future__ import annotations

from itertools import islice, takewhile
from typing import TYPE_CHECKING, Any

from lmdbstore.disk.keys import after_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmdb import Cursor

__all__ = ["duplicates", "entries", "seek", "seek_duplicate"]


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
