"""The side file of the barrier: making it, opening it, and mapping it into memory.

Rules: it has SIZE bytes, zeros in the beginning. A process that finds it shorter, and may write to
it, makes it longer. It is never replaced, since other processes may have it open. It is opened in
the folder that is open, whatever is at the path of that.
"""

from __future__ import annotations

import errno
import mmap
import os
from typing import TYPE_CHECKING

from lmdbstore.disk.files import make_file
from lmdbstore.disk.folder import BARRIER_FILE
from lmdbstore.disk.lmdb_errors import advice
from lmdbstore.errors import StoreOpenError

from .write_set import SIZE

if TYPE_CHECKING:
    from lmdbstore.disk.folder import StoreFolder
    from lmdbstore.disk.rights import Rights

__all__ = ["create_barrier_file", "mapped", "opened"]


def create_barrier_file(folder: StoreFolder, rights: Rights, *, readonly: bool = False) -> None:
    """Make the side file of a store, if it is missing; fill it, if it is empty or too short.

    With `readonly` it may stay missing, if this process may not write to the folder.

    Raises:
        StoreOpenError: it cannot be made.
    """
    path = folder.barrier
    try:
        if not os.path.lexists(path):
            make_file(path, rights, _fill)
        elif os.lstat(path).st_size < SIZE:  # others may have it open: it is not replaced
            with open(path, "r+b", buffering=0) as file:  # no link: see `check_plain`
                _fill(file.fileno())
    except OSError as error:
        if not readonly or error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise StoreOpenError(
                f"{folder.named(path)!r} of the store could not be made: {error}"
                f"{advice(error, folder.path)}"
            ) from error


def _fill(descriptor: int) -> None:
    """Make the side file as long as it must be, with zeros."""
    size = os.fstat(descriptor).st_size
    os.pwrite(descriptor, bytes(SIZE - size), size)
    os.fsync(descriptor)


def opened(folder: int, flags: int) -> int:
    """Open the side file in a folder that is open; raises OSError."""
    return os.open(BARRIER_FILE, flags, dir_fd=folder)


def mapped(folder: int, flags: int, *, readonly: bool) -> mmap.mmap:
    """Map the side file in a folder that is open; raises OSError, or ValueError if it is empty."""
    # A separate description: the map keeps it open as long as the map exists, in a forked child
    # too, and a lock on it would last as long.
    descriptor = opened(folder, flags)
    try:
        if readonly:
            size = min(os.fstat(descriptor).st_size, SIZE)
            return mmap.mmap(descriptor, size, access=mmap.ACCESS_READ)
        try:
            return mmap.mmap(descriptor, SIZE)
        except ValueError:  # the file is shorter
            _fill(descriptor)
            return mmap.mmap(descriptor, SIZE)
    finally:
        os.close(descriptor)
