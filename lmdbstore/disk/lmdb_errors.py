"""Where the exceptions of LMDB become ours: the one place that knows both.

Rules: the original stays as `__cause__`. A write error says whether the write may have happened:
only a failed write of LMDB's meta page leaves that open, and LMDB then refuses all further work
(`PanicError`) until the store is opened again.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, TypeVar

import lmdb

from lmdbstore.errors import (
    EventReadException,
    EventStoreException,
    EventWriteException,
    StoreClosed,
    StoreDamaged,
    StoreFull,
)

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "TOO_MANY_READERS",
    "advice",
    "code",
    "in_any_map",
    "map_advice",
    "read_error",
    "write_error",
]

T = TypeVar("T")

_DAMAGE = (
    lmdb.CorruptedError,
    lmdb.PageNotFoundError,
    lmdb.InvalidError,
    lmdb.VersionMismatchError,
    lmdb.IncompatibleError,
    lmdb.BadDbiError,
)
TOO_MANY_READERS = (
    "too many readers at once: all slots of the store's reader table are taken by processes that "
    "have it open; have every process open it with a larger max_readers"
)
# What mapping a file fails with when the address space, or a limit on it, is too small.
_NO_ROOM = (errno.ENOMEM, errno.EINVAL, errno.EFBIG, errno.EOVERFLOW)
_CLOSED = "closed/deleted/dropped"  # py-lmdb's words for an environment that was closed


def _common(error: lmdb.Error) -> EventStoreException | None:
    if _CLOSED in str(error):
        return StoreClosed("the store is closed; open it again")
    if isinstance(error, lmdb.PanicError):
        return StoreDamaged(
            "an earlier write of the file's meta page failed, and LMDB has stopped; "
            f"close the store, see to the disk, and open it again ({error})"
        )
    if isinstance(error, _DAMAGE):
        return StoreDamaged(f"the file is damaged: {error}")
    return None


def code(error: lmdb.Error) -> int:
    """Return the error number of LMDB or the system; 0 for what py-lmdb raises by itself."""
    number: int = getattr(error, "code", 0)
    return number


def read_error(error: lmdb.Error) -> EventStoreException:
    """Return what a failed read raises."""
    if isinstance(error, lmdb.ReadersFullError):
        return EventReadException(f"{TOO_MANY_READERS} ({error})")
    return _common(error) or EventReadException(f"the store could not be read: {error}")


def write_error(error: lmdb.Error) -> EventStoreException:
    """Return what a failed write raises."""
    if isinstance(error, lmdb.MapFullError):
        return StoreFull(
            "the store is full: its map_size is used up and nothing was written; close it in "
            "this process and open it with a larger map_size, or delete events"
        )
    message = f"the write failed and nothing was written: {error}{advice(error)}"
    return _common(error) or EventWriteException(message)


def map_advice(error: lmdb.Error) -> str:
    """Return what there is to be done about a map that does not fit; empty where it is not that."""
    if isinstance(error, lmdb.MemoryError) or code(error) in _NO_ROOM:
        return "; the address space is too small for the map: pass a smaller map_size"
    return ""


def advice(error: lmdb.Error | OSError) -> str:
    """Return what there is to be done about a disk that takes no more; empty where it is not that.

    Of a write of which a full disk took a part, LMDB says that it was an I/O error.
    """
    number = error.errno if isinstance(error, OSError) else code(error)
    if number in (errno.ENOSPC, errno.EDQUOT):
        return "; the disk is full: free some space and try again"
    if number == errno.EFBIG:
        return "; the file may not grow: raise the limit on the size of files (ulimit -f)"
    return "; see whether the disk is full, or fails" if number == errno.EIO else ""


def in_any_map(work: Callable[[], T], adopt: Callable[[], None]) -> T:
    """Run `work`, and again each time that another process has given the store a larger map.

    `adopt` takes over the larger map.
    """
    while True:
        try:
            return work()
        except lmdb.MapResizedError:
            adopt()
