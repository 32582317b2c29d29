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
from typing import TYPE_CHECKING, TypeVar

from lmdbstore.disk.folder import Identity, identity_of
from lmdbstore.errors import OpenBusy, StoreOpenError, shown

from .waits import THREAD, UNNAMED, busy, flock_within

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmdbstore.disk.folder import StoreFolder
    from lmdbstore.threads.deadline import Deadline

__all__ = ["opening_busy", "while_opening"]

T = TypeVar("T")


def while_opening(
    folder: StoreFolder, descriptor: int, deadline: Deadline, work: Callable[[Identity], T]
) -> T:
    """Run `work` with the identity of the data file, while no other process opens the store.

    `descriptor` is one of the data file, which only this call locks.

    Raises:
        OpenBusy: another process opened it until the deadline.
        StoreOpenError: the data file cannot be locked.
    """
    try:
        return work(_locked(folder, descriptor, deadline))
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def _locked(folder: StoreFolder, descriptor: int, deadline: Deadline) -> Identity:
    try:
        free = flock_within(descriptor, fcntl.LOCK_EX, deadline)
        identity = identity_of(os.fstat(descriptor))
    except OSError as error:
        raise StoreOpenError(
            f"the store {shown(folder.path)} could not be opened: {error}"
        ) from error
    if not free:
        raise opening_busy(folder, deadline)
    return identity


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
