"""Marks: facts about the processes that have a store open, as locks on its data file.

A mark is a shared lock on one byte of the data file, far beyond the end of any file; the place of
the byte is the fact. A process that opens the store sets its marks, and looks for marks that
exclude it:

- The lock file and the barrier that it uses: the place is a hash of the file's device and inode. If
  one of these files is removed while a process has it open, the next process makes a new one, and
  neither sees the readers and writers of the other: half of the acknowledged writes were lost.
- Whether it may write: the marks of lock files have one region for writers and one for readers.
- That it reads through a read-only mount, where LMDB cannot list it as a reader (`UNLISTED`). A
  writer would use pages again that such a reader still reads.

Rules: a mark is set before others are looked for, so of two processes that exclude each other at
least one is refused. They are locks of the open file description: the kernel drops them with the
process, nobody can remove them, and closing another descriptor of the file does not drop them. A
descriptor that may only read is enough. Nothing else locks these bytes. If another file becomes the
data file, the marks move to it (`move`) while no other process can open the store.

Linux has such locks. On other systems, and on file systems without them, nothing is marked and no
process is refused.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import sys
from typing import TYPE_CHECKING

from lmdbstore.errors import StoreOpenError, shown

from .presence import in_use

if TYPE_CHECKING:
    from lmdbstore.disk.folder import StoreFolder

__all__ = ["Marks"]

SUPPORTED = sys.platform == "linux" and hasattr(fcntl, "F_OFD_SETLK")
WITHOUT = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK)  # of some file systems

REGION = 1 << 60  # bytes; for the marks of one kind
# Where the regions begin. The first two are of lock files.
WRITERS, READERS, UNLISTED, BARRIERS = (REGION * (2 + number) for number in range(4))

FLOCK = "@hhqqi"  # C's `struct flock`: kind, whence, place, length, process
FACTOR, PRIME = 0x9E3779B97F4A7C15, (1 << 61) - 1  # of the hash

_OTHER_FILE = (
    "is open in another process that uses a {0} which was removed or replaced since; close it "
    "there, and open it again: it then uses the {0} that is in the folder now"
)
_UNLISTED_READER = (
    "is read through a read-only mount, where LMDB cannot list its readers, so no process may "
    "write at the same time; close it there, or let that process read through a writable mount"
)
_WRITER_BESIDE = (
    "is open for writing, and this process sees it through a read-only mount, where LMDB cannot "
    "list its readers; mount it writable (with readonly=True only the list of readers is written), "
    "or close it in the processes that write"
)


class Marks:
    """The marks of this process on one open store."""

    def __init__(self, folder: StoreFolder) -> None:
        """Open the data file; nothing is marked yet.

        Raises:
            StoreOpenError: it cannot be opened.
        """
        self._folder = folder
        self._places: list[int] = []
        self._descriptors: list[int] = []
        if SUPPORTED:
            self._descriptors.append(_opened(folder))

    def use_lock_file(self, status: os.stat_result, *, writes: bool) -> None:
        """Mark the lock file of this status as the one in use, by a process that writes or not.

        Raises:
            StoreInUse: another process has the store open with another lock file; or it reads the
                store through a read-only mount, and this one writes.
        """
        place = _place(status)
        self._set(place + (WRITERS if writes else READERS))
        end = UNLISTED + 1 if writes else UNLISTED
        self._refuse_others(WRITERS, end, (WRITERS + place, READERS + place))

    def use_barrier(self, status: os.stat_result | None) -> None:
        """Mark the barrier of this status, if there is one, as the one in use.

        Raises:
            StoreInUse: another process has the store open with another barrier.
        """
        if status is not None:
            place = BARRIERS + _place(status)
            self._set(place)
            self._refuse_others(BARRIERS, BARRIERS + REGION, (place,))

    def read_unlisted(self) -> None:
        """Mark that this process reads, and is not in LMDB's list of readers.

        Raises:
            StoreInUse: a process may write to the store.
        """
        self._set(UNLISTED)
        self._refuse_others(WRITERS, READERS, (), _WRITER_BESIDE)

    def move(self) -> None:
        """Set the same marks on the file that is the data file now; no other process is present.

        Raises:
            StoreOpenError: it cannot be opened or marked.
        """
        if self._descriptors:
            self._descriptors.append(_opened(self._folder))
            os.close(self._descriptors.pop(0))
            for place in self._places:
                self._lock(place)

    def _set(self, place: int) -> None:
        if place not in self._places:
            self._places.append(place)
        self._lock(place)

    def _lock(self, place: int) -> None:
        if not self._descriptors:
            return
        wanted = _lock_of(fcntl.F_RDLCK, place, 1)
        try:
            fcntl.fcntl(self._descriptors[0], fcntl.F_OFD_SETLK, wanted)
        except OSError as error:
            if error.errno not in WITHOUT:
                raise StoreOpenError(
                    f"{shown(self._folder.data)} could not be marked as open: {error}"
                ) from error
            self.abandon()

    def _refuse_others(
        self, first: int, end: int, allowed: tuple[int, ...], trouble: str | None = None
    ) -> None:
        """Raise StoreInUse if other processes have set marks in a range, except at some places."""
        found = self._mark_in(first, end)
        if found in allowed:  # the system returns any mark of the range, not the first
            self._refuse_others(first, found, allowed, trouble)
            self._refuse_others(found + 1, end, allowed, trouble)
        elif found:
            raise in_use(self._folder, trouble or _trouble(found), elsewhere=True)

    def _mark_in(self, first: int, end: int) -> int:
        """Return the place of a mark of another process in a range; 0 if there is none."""
        if not self._descriptors or first >= end:
            return 0
        asked = _lock_of(fcntl.F_WRLCK, first, end - first)
        found = fcntl.fcntl(self._descriptors[0], fcntl.F_OFD_GETLK, asked)
        kind, _, place, _, _ = struct.unpack(FLOCK, found)
        return 0 if kind == fcntl.F_UNLCK else int(place)

    def close(self) -> None:
        """Remove the marks, even if a forked child still has the descriptor."""
        for descriptor in self._descriptors:
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _lock_of(fcntl.F_UNLCK, 0, 0))
        self.abandon()

    def abandon(self) -> None:
        """Close the descriptor in a forked child; the parent keeps the marks."""
        while self._descriptors:
            os.close(self._descriptors.pop())


def _opened(folder: StoreFolder) -> int:
    try:
        return os.open(folder.data, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        raise StoreOpenError(
            f"the store {shown(folder.path)} could not be opened: {error}"
        ) from error


def _lock_of(kind: int, place: int, length: int) -> bytes:
    """Return a lock for `fcntl`; a length of 0 is: to the end."""
    return struct.pack(FLOCK, kind, os.SEEK_SET, place, length, 0)


def _place(status: os.stat_result) -> int:
    """Return the place of a file's mark in its region."""
    return (status.st_dev * FACTOR + status.st_ino) % PRIME % REGION


def _trouble(place: int) -> str:
    """Return what a mark at this place means for a process that it excludes."""
    if place == UNLISTED:
        return _UNLISTED_READER
    return _OTHER_FILE.format("barrier" if place >= BARRIERS else "lock.mdb")
