"""The size of a map: in proportion to the address space, so that the program keeps most of it.

A map takes address space and nothing else, and the store cannot grow beyond it. Rules:

- With `map_size` the caller decides. Without it, the map is 1 TiB, or a share of the address space
  that is left, if that is less: a quarter if it is limited (`ulimit -v`), because such a limit
  leaves a process little anyway; otherwise 1/128, so that a thousand stores fit into a process.
- A map is never smaller than its file and some room to write.
- A map that is smaller than 1 TiB because of the address space grows when it is full.
- LMDB unmaps the old map before it maps the new one, and reads the old one if that fails, which
  ends the process. So no map is changed before the same address space was mapped on trial.
"""

from __future__ import annotations

import mmap
import os
import resource
import sys
from typing import TYPE_CHECKING

from lmdbstore.errors import EventReadException, shown

from .folder import folder_of
from .meta_page import map_size_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import lmdb

__all__ = ["DEFAULT_MAP_SIZE", "LARGER", "adopt_map", "make_room", "map_sizes", "short_of_space"]

DEFAULT_MAP_SIZE = 1 << 40  # bytes
LARGER = "close it in this process and open it with a larger map_size, or delete events"
LEAST_ROOM = 1 << 20  # bytes of a map beyond the file
ROOM = 1 << 24  # the same, if the address space allows it
LEAST_GROWTH = 1 << 24  # a map that can grow by less than this does not grow
OF_LIMIT, OF_ALL = 4, 128  # the share of one map is the space left, divided by this
FOR_PROGRAM = 8  # this part of a limited address space is never taken, except for the file itself
UNIT = 1 << 20  # sizes are multiples of it, and so of every page size
STATM = "/proc/self/statm"  # Linux; see proc(5)

# What processors of 64 bits give a process, mostly; less if mapping has failed. A map can only grow
# there: with 32 bits a larger piece may be missing although the sum is there.
_all_bytes = 1 << 47 if sys.maxsize > 1 << 32 else 1 << 31
MAY_GROW = sys.maxsize > 1 << 32


def _limit() -> int | None:
    """Return the limit on the address space of this process in bytes; None if there is none."""
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if soft == resource.RLIM_INFINITY else soft


def _in_use() -> int:
    """Return the bytes of address space in use; 0 if the system does not say."""
    try:
        descriptor = os.open(STATM, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return int(os.read(descriptor, 64).split()[0]) * mmap.PAGESIZE
        finally:
            os.close(descriptor)
    except (OSError, ValueError, IndexError):
        return 0


def _share(limit: int | None) -> int:
    """Return the share of one map in the address space that is left, in bytes."""
    if limit is None:
        return max(0, _all_bytes - _in_use()) // OF_ALL
    return max(0, limit - limit // FOR_PROGRAM - _in_use()) // OF_LIMIT


def map_sizes(used: int, *, many: bool = True) -> Iterator[int]:
    """Yield the sizes to try for a map of a file of `used` bytes; the next if one fails.

    `many`: the process may have many maps. Without it and without a limit there is surely room.
    """
    limit = _limit()
    share = DEFAULT_MAP_SIZE
    if many or limit is not None:
        share = _share(limit)
    elif used < DEFAULT_MAP_SIZE // 2:  # the short path of almost every opening
        yield DEFAULT_MAP_SIZE
        _note_failure(DEFAULT_MAP_SIZE)
        share = _share(limit)
    least = _rounded(used + LEAST_ROOM)
    size = max(_rounded(min(share, DEFAULT_MAP_SIZE)), _rounded(used + used // 8 + ROOM))
    while size > least:
        yield size
        if limit is None:
            _note_failure(size)
            size = min(size, 2 * _share(limit))
        size = _rounded(size // 2)
    yield least


def _note_failure(size: int) -> None:
    """Note how large the address space is, if a map failed because it did not fit."""
    global _all_bytes  # noqa: PLW0603  it is one for the process
    if _fits(size, 0):  # it failed for another reason: LMDB has one error for several
        return
    _all_bytes = min(_all_bytes, _in_use() + size)


def _rounded(size: int) -> int:
    return -(-size // UNIT) * UNIT


def short_of_space(size: int) -> str:
    """Return the remedy for a map of `size` bytes that cannot grow; empty if it is large enough."""
    if size >= DEFAULT_MAP_SIZE:
        return ""
    limit = _limit()
    if limit is None:
        return "the address space of the process is used up: close other stores of the process"
    return (
        f"the address space of the process is limited to {limit:,} bytes, and "
        f"{max(0, limit - _in_use()):,} are left, some of them for the program: raise the limit "
        "(ulimit -v)"
    )


def _fits(new: int, old: int) -> bool:
    """Whether a map of `old` bytes can become one of `new`; other threads are slow to take as much.

    A limit counts the old map until it is gone, so only the difference is mapped on trial.
    """
    size = new if _limit() is None else new - old + LEAST_ROOM
    try:
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        mmap.mmap(-1, size, flags=flags, prot=mmap.PROT_READ).close()
    except (OSError, ValueError, OverflowError, MemoryError):
        return False
    return True


def make_room(environment: lmdb.Environment, *, held: bool) -> str:
    """Give a full environment a larger map; if that is not possible, return the remedy.

    No transaction of this process is open, except for a snapshot if one is `held`.
    """
    size: int = environment.info()["map_size"]
    if size >= DEFAULT_MAP_SIZE:
        return f"; its map has {size:,} bytes, as map_size was not given: {LARGER}"
    if held:
        return (
            f"; the address space has kept its map at {size:,} bytes, and the map cannot grow "
            "while a snapshot of this process is open: close it and write again, or delete events"
        )
    more = min(_share(_limit()), DEFAULT_MAP_SIZE - size) // UNIT * UNIT
    if more < LEAST_GROWTH or not MAY_GROW or not _fits(size + more, size):
        why = short_of_space(size)
        return f"; its map has {size:,} bytes and cannot grow, because {why}, or delete events"
    environment.set_mapsize(size + more)
    return ""


def adopt_map(environment: lmdb.Environment) -> None:
    """Adopt the larger map that another process has given the store; this ends transactions.

    Raises:
        EventReadException: the address space is too small for the file.
        lmdb.Error: LMDB refused.
    """
    folder, info = folder_of(environment), environment.info()
    used = (info["last_pgno"] + 1) * environment.stat()["psize"]
    if used <= info["map_size"]:  # another thread was first
        return
    for size in (max(used, map_size_of(folder.data)), *map_sizes(used)):
        if _fits(size, info["map_size"]):
            environment.set_mapsize(size)
            return
    raise EventReadException(
        f"another process has given the store {shown(folder.path)} a larger file, of {used:,} "
        f"bytes, and it does not fit: {short_of_space(0)}"
    )
