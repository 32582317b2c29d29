"""The place of an open store: whether its path still leads to the files that are open.

A folder can be renamed, removed, replaced or mounted over, and a process that has a file open does
not notice. So the identities (device and inode) of the folder and of the files in it are noted when
a store is opened, and compared with what its path leads to.

Rules:
- A full check examines the folder and each file by its path. It is made at least once a second.
- A quick check is one `stat` of the folder. If the folder is the same one and its ctime is that of
  the last full check, no name in it was removed, replaced or renamed since. The system's clock is
  coarse: a name may change after a full check while the ctime stays the same. So a quick check
  counts only if the ctime was old when the full check was made (as Git treats its index).
- A file that is mounted over changes no ctime; the next full check finds it.
- LMDB opens the file by its path (by way of the open folder, where the system has that), and does
  not say which file it has. If the file, or else its folder, is exchanged at that moment, and then
  back again, the identities are right and the map is of another file. And overlayfs copies a file
  when it is first written to: a process that has the old one open for reading keeps it, and the
  inode may stay the same. So a full check also compares the transactions: of the file, of the map,
  which may not be older, and of the file again, which may not be older than that. (Not at the
  opening itself: it would take a tenth longer.) The first commit proves for good which file it is,
  since it must be in the file afterwards, and was not before; it is made under the lock of the
  barrier.
- The lock file and the barrier are opened by their paths, too. With another lock file than the one
  of its marks (`processes.marks`), a process would write beside others that have that one. So those
  of the marks are noted, and an opening in which the ctime of the folder changed looks whether the
  process has them open. An inode is given to a new file soon, so the one at the path may be another
  file with the same inode.
- A difference is not noted for good: if the folder is moved back, the store works again.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from os import stat
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from lmdbstore.disk import format as fmt
from lmdbstore.disk.files import way_of
from lmdbstore.disk.folder import (
    BARRIER_FILE,
    DATA_FILE,
    LOCK_FILE,
    Identity,
    StoreFolder,
    identity_at,
    identity_of,
)
from lmdbstore.disk.last_state import last_state
from lmdbstore.disk.meta_page import metas_in
from lmdbstore.errors import StoreMoved

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "READ_NOTHING",
    "Files",
    "Known",
    "Place",
    "Quick",
    "check_folder",
    "quick_of",
]

LONGEST = 1.0  # seconds between two full checks
SECOND = 1_000_000_000  # nanoseconds
# The age in nanoseconds from which a ctime tells changes apart: some file systems note seconds.
SETTLED, SETTLED_SECONDS = SECOND // 20, 2 * SECOND + SECOND // 20

Quick = tuple[int, int, int]  # the device and the inode of a folder, and its ctime

READ_NOTHING = "this call has read and written nothing"
COMMITTED = "the change of this call was committed to the store that moved"
REFUSED = "this call has written nothing"


class Files(NamedTuple):
    """The identities of a folder, and of the files in it; None for a file that is not there."""

    folder: Identity
    data: Identity | None
    barrier: Identity | None
    lock: Identity | None

    @classmethod
    def of(cls, path: str, folder: os.stat_result) -> Files:
        """Return what is at a path now, of which the folder was examined; raises OSError."""
        names = DATA_FILE, BARRIER_FILE, LOCK_FILE
        return cls(identity_of(folder), *(identity_at(f"{path}/{name}") for name in names))


class Known:
    """The files that an environment has open; several places can lead to them."""

    def __init__(  # noqa: PLR0913
        self,
        files: Files,
        store: bytes | None,
        descriptor: int,
        settled: Callable[[Callable[[], str]], str],
        transaction: Callable[[], int],
        *,
        has_files: Callable[[], bool],
        quick: Quick | None = None,
    ) -> None:
        """Note the identity of the store in the files, too, and a descriptor of the folder.

        `settled` runs a function while no file is being replaced by the environment itself.
        `transaction` returns the last one in the map. `has_files` tells whether the noted side
        files are open. `quick` is what the folder was like before its files were examined and
        opened.
        """
        self.files = files
        self.store = store
        self.descriptor = descriptor
        self.settled = settled
        self.transaction = transaction
        self.has_files = has_files
        self.quick = quick
        # Whether a commit has proved which file LMDB has: the noted one, or another one.
        self.proved = self.elsewhere = False

    def expect_commit(self) -> None:
        """Note that LMDB has opened the file again."""
        self.proved = self.elsewhere = False

    def last(self) -> int | None:
        """Return the last transaction of the noted data file; None if it is not in the folder."""
        # Opened each time: overlayfs may have copied it.
        try:
            # The last: in case it is a pipe, which opening would wait for.
            flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
            descriptor = os.open(DATA_FILE, flags, dir_fd=self.descriptor)
            with open(descriptor, "rb", buffering=0) as file:
                metas = metas_in(file)
                if identity_of(os.fstat(descriptor)) != self.files.data:
                    return None
        except OSError:
            return None
        return max((meta.transaction for meta in metas), default=None)

    def prove(self, before: int) -> None:
        """Examine the file after a commit; `before` is its last transaction before that."""
        after = self.last()
        self.proved = before != after == self.transaction()
        self.elsewhere = before == after

    def whereabouts(self) -> str:
        """Return where the open folder is now, if the system knows, for a message."""
        with suppress(OSError):
            if identity_of(os.fstat(self.descriptor)) == self.files.folder:
                now = os.readlink(way_of(self.descriptor))
                return f" (the open one is {now!r} now)"
        return ""


class Place:
    """A path, and the open files to which it led."""

    __slots__ = ("_difference", "_known", "_opened", "_path", "_quick", "_way", "deadline")

    def __init__(self, path: str, known: Known) -> None:
        """Compare `path` with the known files from now on; nothing is compared yet."""
        self._path = path
        self._way = os.fsencode(path)
        self._known = known
        self._quick = known.quick
        self._difference = ""
        self._opened = False  # whether the opening has checked it
        # A call after this moment, by the monotonic clock, makes a full check.
        self.deadline = monotonic() + LONGEST

    def check_opened(self) -> None:
        """Raise StoreMoved if the path does not lead to the files that were just opened."""
        if self._is_quick():
            self._opened = True
            return
        if not self._look() and not self._known.has_files():
            self._difference = f"{LOCK_FILE} or {BARRIER_FILE} was exchanged while it was opened"
        if self._difference:
            raise self._moved(READ_NOTHING)
        self._opened = True

    def check(self, outcome: str = READ_NOTHING) -> None:
        """Raise StoreMoved if the path leads elsewhere; `outcome` says what the call has done."""
        if self._look():
            raise self._moved(outcome)

    def check_same(self, before: Known) -> None:
        """Raise StoreMoved if the store here is not the one that was known before, by a parent."""
        known = self._known
        if (known.files.folder, known.store) != (before.files.folder, before.store):
            self._difference = "the parent of this process had another store open there"
            raise self._moved(READ_NOTHING)

    def is_left(self) -> bool:
        """Whether the path leads elsewhere; by a quick check, if that is enough."""
        return not self._is_quick() and bool(self._look())

    def _is_quick(self) -> bool:
        """Whether a quick check is enough, and finds no difference."""
        try:
            found = stat(self._way)
            if (
                self._quick == (found.st_dev, found.st_ino, found.st_ctime_ns)
                and monotonic() < self.deadline
            ):
                return True
        except OSError:  # the full check finds out
            pass
        return False

    def unproved(self) -> int | None:
        """Before a commit, return what `prove` takes after it; None if that is not needed."""
        return None if self._known.proved else self._known.last()

    def prove(self, before: int) -> None:
        """Find out whether a commit is in the file that was noted; a full check reports it."""
        self._known.prove(before)
        self.deadline = 0.0

    def moved(self, *, committed: bool) -> StoreMoved:
        """Return the exception for a change that was committed, or refused, elsewhere."""
        return self._moved(COMMITTED if committed else REFUSED, committed=committed)

    def _moved(self, outcome: str, *, committed: bool = False) -> StoreMoved:
        return StoreMoved(
            f"the path {self._path!r} no longer leads to the store that was opened by it: "
            f"{self._difference}; {outcome}; if that was not intended, put the store back in its "
            "place, otherwise close this store object and open the path again",
            committed=committed,
        )

    # -- the full check ---------------------------------------------------------------------------

    def _look(self) -> str:
        """Make a full check; return what is different, or an empty text."""
        began, until = time.time_ns(), monotonic() + LONGEST
        self._quick = None
        found = self._compared()
        if isinstance(found, str):
            # A file that the environment replaces itself is not known yet.
            found = self._known.settled(self._compare)
        if isinstance(found, str) and found:
            self._difference, self.deadline = found, 0.0
            return found
        if not isinstance(found, str):
            self._quick = quick_of(found, began)
        self.deadline = until
        return ""

    def _compare(self) -> str:
        found = self._compared()
        return found if isinstance(found, str) else ""

    def _compared(self) -> str | os.stat_result:
        """Return what is different, or else the status of the folder before the comparison."""
        try:
            status = stat(self._way)
            found = Files.of(self._path, status)
            if found != self._known.files:
                return self._described(found)
            if self._opened and not self._known.proved and (other := self._another_file()):
                return other
        except FileNotFoundError:
            return f"nothing is there{self._known.whereabouts()}"
        except OSError as error:
            return f"it cannot be examined ({error.strerror}){self._known.whereabouts()}"
        return status

    def _another_file(self) -> str:
        """Return a text if the map is not of the file at the path."""
        known = self._known
        # In this order, since other processes may write.
        before, mapped = known.last(), known.transaction()
        if before is not None and before > mapped:
            return (
                f"{DATA_FILE} there is a newer copy of the one that is open (overlayfs copies "
                "a file when it is first written to)"
            )
        after = known.last()
        if known.elsewhere or (after is not None and mapped > after):
            return (
                f"{DATA_FILE} there is not the one that is open: it was exchanged, or its folder, "
                "while it was opened"
            )
        return ""

    def _described(self, found: Files) -> str:
        known = self._known.files
        if found.folder != known.folder:
            return f"{_folder_text(self._path, self._known)}{self._known.whereabouts()}"
        for name in ("data", "barrier", "lock"):
            was, now = getattr(known, name), getattr(found, name)
            file = {"data": DATA_FILE, "barrier": BARRIER_FILE, "lock": LOCK_FILE}[name]
            if now is None and was is not None:
                return f"{file} in the folder is gone"
            if now != was:
                return f"{file} in the folder is another file than the one that is open"
        return "the folder was changed while it was examined"


def quick_of(folder: os.stat_result, began: int) -> Quick | None:
    """Return what a quick check compares, or None if it could not tell later changes.

    `began` is the time in nanoseconds before the folder and the files in it were examined.
    """
    ctime = folder.st_ctime_ns
    if began - ctime <= _settled_after(ctime):
        return None
    return folder.st_dev, folder.st_ino, ctime


def _settled_after(ctime: int) -> int:
    return SETTLED if ctime % SECOND else SETTLED_SECONDS


def _folder_text(path: str, known: Known) -> str:
    """Describe another folder."""
    try:
        with open(StoreFolder(path).data, "rb") as file:
            pages, trees = last_state(file, _ignored)
            store = fmt.decode_identity(pages.lookup(trees.get(fmt.META), fmt.IDENTITY) or b"")
    except (OSError, ValueError):
        return "another folder is there, without a store"
    if store is not None and store == known.store:
        return "another folder is there, with a copy of the store"
    return "another folder is there, with another store"


def _ignored(_: Any) -> None:
    """Take what cannot be read in a file that is not ours."""


def check_folder(path: str, folder: Identity, outcome: str = READ_NOTHING) -> None:
    """Raise StoreMoved if a path does not lead to a folder; `outcome` says what the call did."""
    try:
        if identity_of(stat(path)) == folder:
            return
        found = "another folder is there"
    except FileNotFoundError:
        found = "nothing is there"
    except OSError as error:
        found = f"it cannot be examined ({error.strerror})"
    raise StoreMoved(
        f"the path {path!r} no longer leads to the folder that was opened by it: {found}; "
        f"{outcome}; find out what was moved, and call this again"
    )
