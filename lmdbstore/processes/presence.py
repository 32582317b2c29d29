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
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from lmdbstore.errors import StoreInUse, StoreOpenError, shown

from .barrier import write_lock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmdbstore.disk.folder import StoreFolder

__all__ = ["Presence", "alone_in", "command"]

LOCKS = "/proc/locks"  # Linux; see proc(5)
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

    def _share(self) -> None:
        self._take(fcntl.LOCK_SH, "is being compacted or repaired; open it when that is done")

    def _take(self, kind: int, trouble: str) -> None:
        try:
            fcntl.flock(self._descriptors[0], kind | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise _in_use(self._folder, trouble) from error
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
            if _holders(self._folder):
                raise _in_use(self._folder, _OPEN)
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
            with suppress(OSError):  # someone else has closed it, and the lock is gone
                fcntl.flock(descriptor, fcntl.LOCK_UN)
        self.abandon()

    def abandon(self) -> None:
        """Close the descriptor in a forked child; the parent keeps the lock."""
        while self._descriptors:
            with suppress(OSError):
                os.close(self._descriptors.pop())

    def forget(self) -> None:
        """Leave the descriptor alone: someone else has closed it."""
        self._descriptors.clear()


@contextmanager
def alone_in(folder: StoreFolder) -> Iterator[None]:
    """Hold the lock of a store's folder exclusively, for a `with` block.

    Raises:
        StoreInUse: a process has the store open, possibly this one.
        StoreOpenError: the folder or its side file cannot be opened.
    """
    with write_lock(folder, wait=False) as free:
        if not free:
            raise _in_use(folder, _OPEN)
        presence = Presence(folder)
        try:
            with presence.alone():
                yield
        finally:
            presence.close()


def _in_use(folder: StoreFolder, trouble: str) -> StoreInUse:
    names = [f"{command(process) or 'unknown'} (process {process})" for process in _holders(folder)]
    by = f": {', '.join(names)}" if names else ""
    return StoreInUse(f"the store {shown(folder.path)} {trouble}{by}")


def _holders(folder: StoreFolder) -> list[int]:
    """Return the other processes that have the store open, as far as the system lists them."""
    inodes = set()
    for path, kind in ((folder.path, "FLOCK"), (folder.lock, "POSIX")):
        with suppress(OSError):
            inodes.add((kind, str(os.stat(path).st_ino)))
    try:
        with open(LOCKS, encoding="ascii") as file:
            lines = [line.split() for line in file]
    except OSError:  # a system without it
        return []
    # 1: FLOCK  ADVISORY  READ 4711 fe:01:262146 0 EOF
    found = [
        (int(fields[4]), fields[5].rpartition(":")[0])
        for fields in lines
        if fields[1] != "->" and (fields[1], fields[5].rpartition(":")[2]) in inodes
    ]
    # Other file systems have the same inode numbers. The system's name of this file system (which
    # may differ from that of `stat`) is taken from this process's own lock, if it holds one.
    devices = {device for process, device in found if process == os.getpid()}
    processes = {process for process, device in found if device in devices or not devices}
    return sorted(processes - {os.getpid()})


def command(process: int) -> str | None:
    """Return the name of the program in a process; None if the system does not give it."""
    try:
        with open(f"/proc/{process}/comm", encoding="utf-8", errors="backslashreplace") as file:
            return file.read().strip()
    except OSError:
        return None
