"""Marks: facts about the processes that have a store open, as locks on its data file.

A mark is a shared lock on one byte of the data file, far beyond the end of any file; the place of
the byte is the fact. A process that opens the store sets its marks, and looks for marks that
exclude it:

- The lock file and the barrier that it uses: the place is a hash of their devices and inodes. If
  one of these files is removed while a process has it open, the next process makes a new one, and
  neither sees the readers and writers of the other: half of the acknowledged writes were lost.
- Whether it may write: there is one region of such places for writers, and one for readers.
- That it reads through a read-only mount, where LMDB cannot list it as a reader (`UNLISTED`). A
  writer would use pages again that such a reader still reads.

Rules: a mark is set before others are looked for, so of two processes that exclude each other at
least one is refused. Nothing else locks these bytes; see `ofd_locks` for the kind of lock. If
another file becomes the data file, the marks move to it (`move`) while no other process can open
the store. That a data file was removed or replaced is told by a lock on the barrier
(`Barrier.use_data`).

Linux has such locks. On other systems, and on file systems without them, nothing is marked and no
process is refused.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lmdbstore.disk.folder import BARRIER_FILE, DATA_FILE, Identity, StoreFolder, identity_of
from lmdbstore.errors import StoreOpenError, shown

from .descriptors import close_quietly
from .ofd_locks import REGION, SUPPORTED, locked_in, place_of, share, unlock
from .presence import in_use

if TYPE_CHECKING:
    from lmdbstore.disk.files import Directory

__all__ = ["Marks"]

WRITERS, READERS = 2 * REGION, 3 * REGION  # where the regions of marks begin
UNLISTED = 4 * REGION

_OTHER_FILES = (
    "is open in another process, with a lock.mdb or a barrier that was removed or replaced since; "
    "close it there, and open it again: it then uses the files that are in the folder now"
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

    def __init__(self, directory: Directory) -> None:
        """Open the data file in the folder of a store; nothing is marked yet.

        Raises:
            StoreOpenError: it cannot be opened.
        """
        self._directory = directory
        self._places: list[int] = []
        self._supported = SUPPORTED
        self._descriptors = [_opened(directory)]
        self.folder_identity = directory.identity
        self._files: tuple[os.stat_result | None, bool] = None, False  # see `use_files`
        self.barrier: Identity | None = None  # the one that is marked; None if there is none

    @property
    def folder(self) -> StoreFolder:
        """The folder that is open, whatever is put at its path."""
        way = self._directory.way_to(self.folder_identity)
        return StoreFolder(self._directory.path, way)

    @property
    def descriptor(self) -> int:
        """The descriptor of the data file."""
        return self._descriptors[0]

    def use_files(self, lock: os.stat_result | None, *, writes: bool) -> None:
        """Mark the lock file of this status, and the barrier in the folder, as those in use.

        `writes`: this process may write. If there is no barrier yet, `use_barrier` is called when
        there is one; no other process opens the store in between.

        Raises:
            StoreInUse: another process has the store open with other files; or it reads the store
                through a read-only mount, and this one writes.
        """
        self._files = lock, writes
        place = self._place(lock)
        self._set(place + (WRITERS if writes else READERS))
        end = UNLISTED + 1 if writes else UNLISTED
        self._refuse_others(WRITERS, end, (WRITERS + place, READERS + place))
        self._keep_last()

    def use_barrier(self) -> None:
        """Mark the barrier that was missing; raises as `use_files` does."""
        if UNLISTED not in self._places:
            lock, writes = self._files
            self.use_files(lock, writes=writes)

    def _place(self, lock: os.stat_result | None) -> int:
        numbers = [0, 0] if lock is None else [lock.st_dev, lock.st_ino]
        try:
            barrier = os.stat(BARRIER_FILE, dir_fd=self._directory.descriptor)
            self.barrier = identity_of(barrier)
            numbers += self.barrier
        except OSError:  # it is missing; or an error is raised when it is opened
            self.barrier = None
        return place_of(*numbers)

    @property
    def lock(self) -> Identity | None:
        """The lock file that is marked; None if there is none."""
        lock, _ = self._files
        return lock and identity_of(lock)

    @property
    def is_unlisted(self) -> bool:
        """Whether this process uses no lock file; see `read_unlisted`."""
        return UNLISTED in self._places

    def read_unlisted(self) -> None:
        """Mark that this process reads, and uses no lock file: LMDB does not list it as a reader.

        Raises:
            StoreInUse: a process may write to the store.
        """
        self._set(UNLISTED)
        self._refuse_others(WRITERS, READERS, (), _WRITER_BESIDE)
        self._keep_last()

    def move(self) -> None:
        """Set the same marks on the file that is the data file now; no other process is present.

        Raises:
            StoreOpenError: it cannot be opened or marked.
        """
        self._descriptors.append(_opened(self._directory))
        os.close(self._descriptors.pop(0))
        for place in self._places:
            self._share(place)

    def _keep_last(self) -> None:
        """Remove a mark that another one has replaced."""
        for place in self._places[:-1]:
            self._places.remove(place)
            unlock(self._descriptors[0], place, 1)

    def _set(self, place: int) -> None:
        if place in self._places:
            self._places.remove(place)
        self._places.append(place)  # the last one stays: see `_keep_last`
        self._share(place)

    def _share(self, place: int) -> None:
        if self._supported:
            try:
                self._supported = share(self._descriptors[0], place)
            except OSError as error:
                raise StoreOpenError(
                    f"the store {shown(self._directory.path)} could not be marked as open: {error}"
                ) from error

    def _refuse_others(
        self, first: int, end: int, allowed: tuple[int, ...], trouble: str | None = None
    ) -> None:
        """Raise StoreInUse if other processes have set marks in a range, except at some places."""
        found = self._mark_in(first, end)
        if found in allowed:  # the system returns any mark of the range, not the first
            self._refuse_others(first, found, allowed, trouble)
            self._refuse_others(found + 1, end, allowed, trouble)
        elif found:
            why = trouble or (_UNLISTED_READER if found == UNLISTED else _OTHER_FILES)
            raise in_use(StoreFolder(self._directory.path), why, elsewhere=True)

    def _mark_in(self, first: int, end: int) -> int:
        return locked_in(self._descriptors[0], first, end) if self._supported else 0

    def close(self) -> None:
        """Remove the marks, even if a forked child still has the descriptor."""
        try:
            if self._descriptors and self._supported:
                unlock(self._descriptors[0], 0, 0)
        except OSError:  # someone else has closed it, and the marks are gone
            pass
        self.abandon()

    def abandon(self) -> None:
        """Close the descriptor in a forked child; the parent keeps the marks."""
        while self._descriptors:
            close_quietly(self._descriptors.pop())

    def forget(self) -> None:
        """Leave the descriptor alone: someone else has closed it."""
        self._descriptors.clear()


def _opened(directory: Directory) -> int:
    try:
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
        return os.open(DATA_FILE, flags, dir_fd=directory.descriptor)
    except OSError as error:
        raise StoreOpenError(
            f"the store {shown(directory.path)} could not be opened: {error}"
        ) from error
