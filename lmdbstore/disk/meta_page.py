"""The contents of LMDB's two meta pages, read without LMDB.

The layout is that of LMDB 0.9 (`mdb.c`: MDB_meta, MDB_db) on 64-bit machines. After the head of the
page come a magic number and the version (4 bytes each), the address and the size of the map (8
each), the list of free pages and the tree of named databases (an MDB_db each, with its root at the
end; the padding of the first is the page size), the last page, and the transaction (8 each), all in
the machine's byte order.
"""

from __future__ import annotations

import struct
import sys
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

if TYPE_CHECKING:
    from io import FileIO

__all__ = [
    "META_BYTES",
    "META_PAGES",
    "Meta",
    "four_at",
    "map_size_of",
    "meta_at",
    "meta_in",
    "metas_in",
    "number_at",
]

MAGIC = 0xBEEFC0DE
# From byte 16 on: the magic number; the size of pages; the root, the last page, the transaction.
_META = struct.Struct("=16xI20xI84xQQQ")
_FOUR = struct.Struct("=4H")
META_BYTES = _META.size
MAP_AT = 32
META_PAGES = 2


class Meta(NamedTuple):
    """The contents of a meta page; the later one is the greater one."""

    transaction: int
    root: int  # the first page of the tree of named databases
    last_page: int
    page_size: int  # bytes


def number_at(data: bytes, at: int, size: int) -> int:
    """Return a number in the machine's byte order."""
    return int.from_bytes(data[at : at + size], sys.byteorder)


def four_at(data: bytes, at: int) -> tuple[int, int, int, int]:
    """Return four numbers of two bytes each in the machine's byte order; they are in the data."""
    return _FOUR.unpack_from(data, at)


def meta_at(file: BinaryIO | FileIO, at: int) -> Meta | None:
    """Return the contents of the meta page at this place; None if there is none."""
    file.seek(at)
    return meta_in(file.read(META_BYTES))


def meta_in(page: bytes) -> Meta | None:
    """Return the contents of a meta page, of its first META_BYTES; None if it is none."""
    if len(page) < META_BYTES:
        return None
    magic, size, root, last, transaction = _META.unpack_from(page)
    return Meta(transaction, root, last, size) if magic == MAGIC else None


def metas_in(file: BinaryIO | FileIO) -> list[Meta]:
    """Return the contents of those meta pages of a file that are one."""
    first = meta_at(file, 0)
    second = first and meta_at(file, first.page_size)
    return [meta for meta in (first, second) if meta]


def map_size_of(path: str) -> int:
    """Return the size of the largest map that a data file was written with; 0 if it is unknown."""
    sizes = [0]
    try:
        with open(path, "rb") as file:
            first = meta_at(file, 0)
            for at in (0, first.page_size) if first else ():
                file.seek(at + MAP_AT)
                sizes.append(number_at(file.read(8), 0, 8))
    except OSError:
        pass
    return max(sizes)
