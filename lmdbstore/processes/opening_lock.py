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

import fcntl
import os
from typing import TYPE_CHECKING

from lmdbstore.disk.folder import Identity, identity_of
from lmdbstore.errors import OpenBusy, StoreOpenError, shown
from lmdbstore.threads.deadline import FOREVER, Deadline

from .waits import THREAD, UNNAMED, busy, flock_within

if TYPE_CHECKING:
    from lmdbstore.disk.folder import StoreFolder

__all__ = ["OpeningLock", "opening_busy"]


class OpeningLock:
    """The lock, for a `with` block: no other process opens the store in it."""

    __slots__ = ("_deadline", "_descriptor", "_folder")

    def __init__(self, folder: StoreFolder, descriptor: int, deadline: Deadline = FOREVER) -> None:
        """Take it later, and wait no longer than until the deadline.

        `descriptor` is one of the data file, which only this object locks.
        """
        self._folder, self._descriptor, self._deadline = folder, descriptor, deadline

    def __enter__(self) -> Identity:
        """Take the lock, and return the identity of the data file.

        Raises:
            OpenBusy: another process opened the store until the deadline.
            StoreOpenError: the data file cannot be locked.
        """
        try:
            return self._taken()
        except BaseException:
            self.__exit__()
            raise

    def _taken(self) -> Identity:
        try:
            free = flock_within(self._descriptor, fcntl.LOCK_EX, self._deadline)
            identity = identity_of(os.fstat(self._descriptor))
        except OSError as error:
            raise StoreOpenError(
                f"the store {shown(self._folder.path)} could not be opened: {error}"
            ) from error
        if not free:
            raise opening_busy(self._folder, self._deadline)
        return identity

    def __exit__(self, *_: object) -> None:
        """Release the lock."""
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)


def opening_busy(folder: StoreFolder, deadline: Deadline, *, in_process: bool = False) -> OpenBusy:
    """Return the exception for an opening that waited until its deadline.

    `in_process`: it waited for another thread of this process, which may wait for others itself.
    """
    return busy(
        OpenBusy,
        folder,
        deadline,
        work="the opening or the write",
        outcome="it was not opened",
        locks=(folder.data, folder.barrier),
        unknown=THREAD if in_process else UNNAMED,
    )
