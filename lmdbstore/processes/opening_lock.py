"""The opening lock: processes open a store one after the other.

The first process that opens a store lets LMDB initialize its lock file again, and LMDB makes the
others wait until that is done. If the first process is killed in the meantime, LMDB lets the others
in all the same. They take an incomplete lock file for a complete one, and so take the state before
the last commit for the latest one, and then overwrite the latest one. So no process may reach that
wait: a process that opens a store holds a lock (`flock`) on the data file. The kernel drops the
lock of a process that dies. The next process then finds that no process has the store open, and
initializes the lock file itself.

Only LMDB's opening, some milliseconds, is done while the lock is held.
"""

from __future__ import annotations

import contextlib
import fcntl
from typing import TYPE_CHECKING

from lmdbstore.errors import StoreOpenError, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmdbstore.disk.folder import StoreFolder

__all__ = ["opening_lock"]


@contextlib.contextmanager
def opening_lock(folder: StoreFolder, descriptor: int) -> Iterator[None]:
    """Wait until no other process opens the store, and keep the others from opening it.

    `descriptor` is one of the data file, which only this call locks.

    Raises:
        StoreOpenError: the data file cannot be locked.
    """
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as error:
            raise StoreOpenError(
                f"the store {shown(folder.path)} could not be opened: {error}"
            ) from error
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
