"""The opening lock: processes open a store one after the other.

The first one that opens a store lets LMDB begin its lock file anew, and LMDB makes the others wait
until that is done. If the first one is killed meanwhile, LMDB lets them in all the same: they take
a lock file that was begun for a whole one, and with it the state before the last commit for the
latest, which they then write over. So nobody may come to wait there: who opens holds a lock
(`flock`) on the data file. The kernel drops it when a process dies, and the next one then finds
that nobody has the store open, and begins the lock file anew itself.

Nothing but LMDB's opening, some milliseconds, is done while it is held.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING

from lmdbstore.errors import StoreOpenError, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmdbstore.disk.folder import StoreFolder

__all__ = ["opening_lock"]


@contextlib.contextmanager
def opening_lock(folder: StoreFolder) -> Iterator[None]:
    """Wait until no other process opens the store, and keep the others from opening it.

    Raises:
        StoreOpenError: the data file cannot be locked.
    """
    with contextlib.ExitStack() as undo:
        try:
            descriptor = os.open(folder.data, os.O_RDONLY | os.O_CLOEXEC)
            undo.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as error:
            raise StoreOpenError(
                f"the store {shown(folder.path)} could not be opened: {error}"
            ) from error
        yield
