"""LMDB's lock file, made here: LMDB makes it with holes, and would die on a full disk (SIGBUS).

Rules: the file has room on disk for every reader before LMDB maps it.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from lmdbstore.disk.files import make_file
from lmdbstore.disk.lmdb_errors import advice
from lmdbstore.errors import StoreOpenError

if TYPE_CHECKING:
    from lmdbstore.disk.folder import StoreFolder
    from lmdbstore.disk.rights import Rights

__all__ = ["create_lock_file", "provide_lock_file"]

HEAD, SLOT = 128, 64  # bytes of its head, and of each reader slot


def provide_lock_file(folder: StoreFolder, max_readers: int) -> os.stat_result | None:
    """Make the lock file of a store, if it is missing: a bare copy of the data file has none.

    Returns the status of the lock file; None if there is none, on a read-only medium.

    Raises:
        StoreOpenError: it cannot be made. If only the right is missing, LMDB reports that, or works
            without the file.
    """
    with suppress(FileNotFoundError):
        return os.stat(folder.lock)
    try:
        create_lock_file(folder, max_readers, folder.rights)
        return os.stat(folder.lock)
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise StoreOpenError(
                f"{folder.named(folder.lock)!r} could not be made: {error}"
                f"{advice(error, folder.path)}"
            ) from error
        return None


def create_lock_file(folder: StoreFolder, max_readers: int, rights: Rights) -> None:
    """Make a lock file with room on disk for `max_readers` readers; raises OSError."""

    def allocate(descriptor: int) -> None:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, HEAD + SLOT * max_readers)

    make_file(folder.lock, rights, allocate)
