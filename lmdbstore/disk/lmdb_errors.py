"""The exceptions of LMDB, turned into ours: the only module that knows both.

Rules: the original is kept as `__cause__`. A write error says whether the write may have happened.
Only a failed write of LMDB's meta page leaves that open, and LMDB then refuses all further work
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

from .files import space_advice, space_is_short
from .folder import StoreFolder, folder_of

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "TOO_MANY_READERS",
    "advice",
    "code",
    "in_any_map",
    "lacks_space",
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
# The errors of mapping a file if the address space, or a limit on it, is too small.
_NO_ROOM = (errno.ENOMEM, errno.EINVAL, errno.EFBIG, errno.EOVERFLOW)
_CLOSED = "closed/deleted/dropped"  # py-lmdb's words for an environment that was closed


def _common(error: lmdb.Error) -> EventStoreException | None:
    if _CLOSED in str(error):
        return StoreClosed("the store is closed; open it again")
    if isinstance(error, lmdb.PanicError):
        return StoreDamaged(
            "an earlier write of the file's meta page failed, and LMDB has stopped; "
            f"close the store, check the disk, and open it again ({error})"
        )
    if isinstance(error, _DAMAGE):
        return StoreDamaged(f"the file is damaged: {error}")
    return None


def code(error: lmdb.Error) -> int:
    """Return the error number of LMDB or the system; 0 for an error of py-lmdb itself."""
    number: int = getattr(error, "code", 0)
    return number


def read_error(error: lmdb.Error) -> EventStoreException:
    """Return the exception for a failed read."""
    if isinstance(error, lmdb.ReadersFullError):
        return EventReadException(f"{TOO_MANY_READERS} ({error})")
    return _common(error) or EventReadException(f"the store could not be read: {error}")


def write_error(error: lmdb.Error, environment: lmdb.Environment) -> EventStoreException:
    """Return the exception for a failed write to an environment."""
    if isinstance(error, lmdb.MapFullError):
        return StoreFull("the store is full and nothing was written")
    message = (
        f"the write failed and nothing was written: {error}{advice(error, _data_of(environment))}"
    )
    return _common(error) or EventWriteException(message)


def map_advice(error: lmdb.Error) -> str:
    """Return the remedy for a map that does not fit; empty for other errors."""
    if isinstance(error, lmdb.MemoryError) or code(error) in _NO_ROOM:
        return "; the address space is too small for the map: pass a smaller map_size"
    return ""


def advice(error: lmdb.Error | OSError, path: str) -> str:
    """Return the cause and the remedy for a file that takes no more data; empty for other errors.

    `path` is the file, or its folder.
    """
    number = error.errno if isinstance(error, OSError) else code(error)
    return space_advice(number or 0, path)


def lacks_space(error: EventStoreException, path: str) -> bool:
    """Whether a write to the store in the folder `path` failed because map, disk or file is full.

    Then it was not written, and one that needs less space may succeed.
    """
    cause = error.__cause__
    if isinstance(error, StoreFull):
        return True
    number = code(cause) if isinstance(cause, lmdb.Error) else 0
    return space_is_short(number, StoreFolder(path).data)


def _data_of(environment: lmdb.Environment) -> str:
    try:
        folder = folder_of(environment)
        return folder.named(folder.data)
    except lmdb.Error:  # it is closed
        return ""


def in_any_map(work: Callable[[], T], adopt: Callable[[], None]) -> T:
    """Run `work`, and again each time another process has given the store a larger map.

    `adopt` takes over the larger map.
    """
    while True:
        try:
            return work()
        except lmdb.MapResizedError:
            adopt()
