"""LMDB's lock file, made here: LMDB makes it with holes, and would die on a full disk (SIGBUS).

Rules: the file has room on disk for every reader before LMDB maps it.
"""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING

from lmdbstore.disk.files import temporary_name
from lmdbstore.disk.lmdb_errors import advice
from lmdbstore.errors import StoreOpenError

if TYPE_CHECKING:
    from lmdbstore.disk.folder import StoreFolder

__all__ = ["allocate_lock_file", "provide_lock_file"]

HEAD, SLOT = 128, 64  # bytes of its head, and of each reader slot


def provide_lock_file(folder: StoreFolder, max_readers: int) -> None:
    """Make the lock file of a store, if it is missing: a bare copy of the data file has none.

    Raises:
        StoreOpenError: it cannot be made. If only the right is missing, LMDB reports that, or works
            without the file.
    """
    if os.path.lexists(folder.lock):
        return
    made = temporary_name(folder.way)
    try:
        try:
            # Every user that may write events may note its reads.
            allocate_lock_file(made, max_readers, folder.rights)
            os.link(made, folder.lock)  # complete as soon as others see it
        finally:
            with contextlib.suppress(OSError):
                os.unlink(made)
    except FileExistsError:
        return  # another process was first
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise StoreOpenError(
                f"{folder.named(folder.lock)!r} could not be made: {error}"
                f"{advice(error, folder.path)}"
            ) from error


def allocate_lock_file(name: str, max_readers: int, mode: int) -> None:
    """Make a file with room on disk for `max_readers` readers; raises OSError."""
    descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, HEAD + SLOT * max_readers)
    finally:
        os.close(descriptor)
