"""The presence: a shared lock on a store's folder, or an exclusive one to replace its file.

Rules: every environment holds the lock (`flock`) of the folder shared, from before it opens the
first file until it has closed the last. A process that replaces the data file (compacting,
repairing) holds it exclusively. So it knows that no process has the old file open, and that none
opens it in the meantime. No process waits for the lock: it is taken or refused at once, and a
refusal names the processes. If the change from shared to exclusive is refused, the shared lock is
lost until it is taken again. So the process that makes the change holds the writers' lock of the
barrier, and no other process gets the exclusive lock in between.

The kernel drops the lock of a process that dies. Programs that open the files with LMDB itself do
not hold it; if the system lists its locks, LMDB's own lock shows these programs.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from lmdbstore.disk.files import Directory
from lmdbstore.disk.folder import StoreFolder
from lmdbstore.errors import StoreClosed, StoreInUse, StoreOpenError, shown

from .barrier import write_lock
from .descriptors import close_after_call, close_quietly, open_for_call
from .lock_list import described, is_listed, own_number, users

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Presence", "alone_in", "in_use", "present_in"]

_OPEN = "is open elsewhere; close it there first"


class Presence:
    """The mark that this process has a store open."""

    def __init__(self, folder: StoreFolder) -> None:
        """Hold the lock of the folder shared.

        Raises:
            StoreInUse: the store's file is being replaced.
            StoreOpenError: the folder cannot be opened.
        """
        self._folder = folder
        self._descriptors: list[int] = []
        try:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
            self._descriptors.append(os.open(folder.path, flags))
        except OSError as error:
            raise StoreOpenError(
                f"the folder {shown(folder.path)} could not be opened: {error}"
            ) from error
        try:
            self._share()
        except BaseException:
            self.abandon()
            raise

    @property
    def directory(self) -> Directory:
        """The open folder; raises StoreClosed."""
        try:
            return Directory(self._descriptors[0], self._folder.path)
        except IndexError:
            raise StoreClosed("the store is closed; open it again") from None

    @property
    def folder(self) -> StoreFolder:
        """The folder by way of its descriptor: the one that is locked, wherever its path leads."""
        return StoreFolder(self._folder.path, self.directory.way)

    def _share(self) -> None:
        self._take(fcntl.LOCK_SH, "is being compacted or repaired; open it when that is done")

    def _take(self, kind: int, trouble: str) -> None:
        try:
            fcntl.flock(self._descriptors[0], kind | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise in_use(self._folder, trouble) from error
        except OSError as error:
            raise StoreOpenError(
                f"the folder {shown(self._folder.path)} could not be locked: {error}"
            ) from error

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the lock exclusively for a `with` block; the writers' lock of the barrier is held.

        Raises:
            StoreInUse: another process has the store open.
        """
        try:
            self._take(fcntl.LOCK_EX, _OPEN)
            if users(self._folder) - {own_number()}:
                raise in_use(self._folder, _OPEN)
            yield
        finally:
            # Also if the exclusive lock was refused, because that loses the shared one. And again
            # if an interrupt strikes in it: otherwise no process could open the store.
            try:
                self._share()
            except BaseException:
                self._share()
                raise

    def close(self) -> None:
        """Release the lock, even if a forked child still has its descriptor."""
        for descriptor in self._descriptors:
            try:  # noqa: SIM105  at each closing: `suppress` takes longer than the call
                fcntl.flock(descriptor, fcntl.LOCK_UN)
            except OSError:  # someone else has closed it, and the lock is gone
                pass
        self.abandon()

    def abandon(self) -> None:
        """Close the descriptor in a forked child; the parent keeps the lock."""
        while self._descriptors:
            close_quietly(self._descriptors.pop())

    def forget(self) -> None:
        """Leave the descriptor alone: someone else has closed it."""
        self._descriptors.clear()


@contextmanager
def present_in(folder: StoreFolder) -> Iterator[Presence]:
    """Hold the lock of a store's folder shared, for a `with` block; raises what Presence raises."""
    presence = open_for_call(partial(Presence, folder))
    try:
        yield presence
    finally:
        close_after_call(presence)


@contextmanager
def alone_in(folder: StoreFolder) -> Iterator[Presence]:
    """Hold the lock of a store's folder exclusively, for a `with` block.

    Raises:
        StoreInUse: a process has the store open, possibly this one.
        StoreOpenError: the folder or its side file cannot be opened.
    """
    with present_in(folder) as presence, write_lock(presence.folder, wait=False) as free:
        if not free:
            raise in_use(presence.folder, _OPEN)
        with presence.alone():
            yield presence


def in_use(folder: StoreFolder, trouble: str, *, elsewhere: bool = False) -> StoreInUse:
    """Return the exception that names the other processes which have the store open.

    `elsewhere`: it is known that another process has it open, even if this one has it open too.
    """
    found, own = users(folder), own_number()
    names = [described(other) for other in sorted(found - {own})]
    if not names and is_listed() and (elsewhere or own not in users(folder, ours=True)):
        names = ["a process that cannot be seen here, perhaps in another container"]
    by = f": {', '.join(names)}" if names else ""
    return StoreInUse(f"the store {shown(folder.path)} {trouble}{by}")
