"""Who has a store open: a shared lock on its folder, or the exclusive one of who replaces its file.

Rules: every environment holds the lock (`flock`) of the folder shared, from before it opens the
first file until it has closed the last. Who puts another data file in place (compacting, repairing)
holds it exclusively, and so knows that no process has the old one open, and that none opens it
meanwhile. Nobody waits for it: it is taken or refused at once, with the processes named. Changing
a lock from shared to exclusive loses it where that is refused, until it is taken again; so who does
it holds the writers' lock of the barrier, and nobody else gets the exclusive one in between.

The kernel drops the lock of a process that dies. Programs that open the files with LMDB itself do
not hold it; where the system lists its locks, LMDB's own lock tells of them.
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
    """That this process has a store open."""

    def __init__(self, folder: StoreFolder) -> None:
        """Hold the lock of the folder shared.

        Raises:
            StoreInUse: somebody is replacing the store's file.
            StoreOpenError: the folder may not be read.
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
            # Also where the other lock was refused: the shared one was lost then. And again if an
            # interrupt strikes in it: else nobody could open the store.
            try:
                self._share()
            except BaseException:
                self._share()
                raise

    def close(self) -> None:
        """Let the lock go, also if a forked child still has its descriptor."""
        for descriptor in self._descriptors:
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        self.abandon()

    def abandon(self) -> None:
        """Close the descriptor in a forked child, where the lock stays with the parent."""
        while self._descriptors:
            os.close(self._descriptors.pop())


@contextmanager
def alone_in(folder: StoreFolder) -> Iterator[None]:
    """Hold the lock of a store's folder exclusively, for a `with` block.

    Raises:
        StoreInUse: a process has the store open, this one maybe.
        StoreOpenError: the folder or its side file may not be opened.
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
    """Return the other processes that have the store open, as far as the system tells."""
    inodes = set()
    for path, kind in ((folder.path, "FLOCK"), (folder.lock, "POSIX")):
        with suppress(OSError):
            inodes.add((kind, str(os.stat(path).st_ino)))
    try:
        with open(LOCKS, encoding="ascii") as file:
            lines = [line.split() for line in file]
    except OSError:  # another system
        return []
    # 1: FLOCK  ADVISORY  READ 4711 fe:01:262146 0 EOF
    found = [
        (int(fields[4]), fields[5].rpartition(":")[0])
        for fields in lines
        if fields[1] != "->" and (fields[1], fields[5].rpartition(":")[2]) in inodes
    ]
    # Other file systems have the same numbers of inodes. How the system names this one (not always
    # as `stat` does) is seen at this process's own lock, where it holds one.
    devices = {device for process, device in found if process == os.getpid()}
    processes = {process for process, device in found if device in devices or not devices}
    return sorted(processes - {os.getpid()})


def command(process: int) -> str | None:
    """Return the name of what runs in a process; None where the system does not tell."""
    try:
        with open(f"/proc/{process}/comm", encoding="utf-8", errors="backslashreplace") as file:
            return file.read().strip()
    except OSError:
        return None
