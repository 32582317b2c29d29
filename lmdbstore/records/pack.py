"""Packing events into a run; see `records.layout`.

Rules: pure. Nothing is parsed: headers, contents and checksums are put side by side as they are.
"""

from __future__ import annotations

import sys
from array import array
from itertools import accumulate
from operator import xor
from typing import TYPE_CHECKING

from .compression import compressed
from .events import by_term
from .layout import (
    ASCENDING,
    ASCII,
    HEAD,
    HEAD_SIZE,
    MOST_EVENTS,
    ONE_LINE,
    ROW_SIZE,
    bitmap_size,
    digest,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .events import Events

__all__ = ["Directory", "bitmap", "directory_of", "pack"]

Directory = dict[int, list[int]]
"""The slots of the events that carry a term, rising, by the digest of the term's key."""

COLUMNS = ROW_SIZE // 4  # numbers of 4 bytes in a row


def directory_of(terms: Sequence[Iterable[bytes]]) -> dict[bytes, list[int]]:
    """Return the slots of each term, by its key; `terms` are those of each event."""
    return by_term(range(len(terms)), terms)


def pack(packed: Events, directory: Directory, *, compress: bool = False) -> bytes:
    """Return the value of a run with these events, in time order.

    Raises:
        CompressionMissing: it has to be compressed, and the library is not installed.
    """
    value = _packed(packed, directory)
    return compressed(value) if compress else value


def _packed(packed: Events, directory: Directory) -> bytes:
    _, seconds, local_ids, headers, contents, _, _ = packed
    events = len(seconds)
    assert 0 < events <= MOST_EVENTS  # noqa: S101  the writer's rule
    lowest, highest = min(local_ids), max(local_ids)
    section, joined = b",".join(headers), b"\n".join(contents)
    rows = _rows(packed, lowest)
    slots = [_cell(found, events) for found in directory.values()]
    ends = array("I", accumulate([len(cell) // 2 for cell in slots], initial=0))
    parts = [rows, _bytes(array("Q", directory)), _bytes(ends), b"".join(slots)]
    at = list(accumulate(map(len, parts), initial=HEAD_SIZE))[1:]
    front = b"".join(parts)
    head = HEAD.pack(
        0,
        digest(front),
        digest(section),
        digest(joined),
        lowest,
        highest,
        events,
        _kinds(local_ids, lowest, highest, joined),
        0,
        *at,
        at[-1] + len(section),
    )
    checksum = digest(memoryview(head)[8:])
    return b"".join((checksum.to_bytes(8, "little"), head[8:], front, section, joined))


def _kinds(local_ids: list[int], lowest: int, highest: int, contents: bytes) -> int:
    events = len(local_ids)
    ascending = highest - lowest == events - 1 and local_ids == list(range(lowest, highest + 1))
    one_line = contents.count(b"\n") == events - 1
    return ascending * ASCENDING + one_line * ONE_LINE + contents.isascii() * ASCII


def _rows(packed: Events, lowest: int) -> bytes:
    """Return the rows, and the zero row before them."""
    _, seconds, local_ids, headers, contents, checksums, _ = packed
    rows = array("I", bytes(ROW_SIZE * (len(seconds) + 1)))
    times = array("I", array("d", seconds).tobytes())
    first = COLUMNS
    if sys.byteorder == "little":
        rows[first::COLUMNS], rows[first + 1 :: COLUMNS] = times[::2], times[1::2]
    else:
        rows[first::COLUMNS], rows[first + 1 :: COLUMNS] = times[1::2], times[::2]
    offsets = array("I", [local_id - lowest for local_id in local_ids])
    rows[first + 2 :: COLUMNS] = offsets
    rows[first + 3 :: COLUMNS] = _begins(headers)
    rows[first + 4 :: COLUMNS] = _begins(contents)
    rows[first + 5 :: COLUMNS] = array("I", map(xor, checksums, offsets))
    return _bytes(rows)


def _begins(parts: Sequence[bytes]) -> array[int]:
    """Return where the part after each would begin; a joint is one byte."""
    return array("I", accumulate([len(part) + 1 for part in parts]))


def _cell(slots: list[int], events: int) -> bytes:
    size = bitmap_size(events)
    return _bytes(array("H", slots)) if 2 * len(slots) < size else bitmap(slots, events)


def bitmap(slots: Iterable[int], events: int) -> bytes:
    """Return a bitmap of slots."""
    bits = bytearray(bitmap_size(events))
    for slot in slots:
        bits[slot >> 3] |= 1 << (slot & 7)
    return bytes(bits)


def _bytes(numbers: array[int]) -> bytes:
    """Return numbers in the order of bytes of the disk."""
    if sys.byteorder != "little":
        numbers.byteswap()
    return numbers.tobytes()
