"""The barrier: how a strict read waits for the write in progress, in any process.

LMDB's readers never wait for its writer; strict consistency requires that they do. So every store
has a side file, `barrier`, whose first byte is mapped into memory, and a lock (`flock`) on that
file:

- A writer takes the lock exclusively, makes the byte odd, begins its transaction, works, commits,
  makes the byte even, and releases the lock.
- A reader reads the byte. If it is even, the reader continues. If it is odd, the reader waits until
  the byte has changed.

This is correct because the byte is made odd before the transaction begins, and made even after it
was committed or dropped. So a reader that sees an even byte sees everything that was committed, and
a reader that saw an odd byte continues only when the write it saw has ended. The byte counts, so
that a reader waits for one write and not for all that follow without a gap: 0.7 ms, where waiting
for the lock took 1.6 ms in the median and 69 ms at worst beside one busy writer.

Most reads do not wait, because the write in progress cannot change them: the writer publishes in
the side file what it may change. `processes.write_set` has the rules, and the order of memory.

A writer that died leaves the byte odd, and the kernel drops the writer's lock. So if a waiting
reader can take the lock shared while the byte is unchanged, the reader knows that the writer died,
and settles the write: it takes the lock exclusively, runs an empty write transaction, which also
completes a commit that was cut off half-way, and makes the byte even. A reader without the right to
write continues at once: the write was never acknowledged.

The side file is never removed or replaced while the store exists. On a read-only medium it may be
missing: no process writes while the store is read there (see `processes.marks`). Reader and writer
hold separate descriptions of it, because `flock` belongs to the description.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import threading
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from lmdbstore.disk.folder import Identity, identity_of
from lmdbstore.disk.rights import trouble
from lmdbstore.errors import ReadBusy, StoreBusy, StoreClosed, StoreOpenError, WriteBusy, shown
from lmdbstore.threads.deadline import FOREVER, NOW, Deadline
from lmdbstore.threads.run_locked import run_locked, run_within

from .barrier_file import mapped, opened
from .descriptors import (
    LOST,
    LockedFile,
    close_after_call,
    is_ours,
    marked,
    open_for_call,
    others_are_open,
)
from .ofd_locks import REGION, SUPPORTED, locked_in, place_of, share, unlock
from .waits import FIRST_WAIT, GROWTH, LONGEST_WAIT, NEVER_WAIT, busy, flock_within
from .write_set import SIZE, Fields, WriteSet, publish, published

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lmdbstore.disk.folder import StoreFolder

__all__ = ["Barrier", "write_lock"]

B = TypeVar("B", bound="StoreBusy")
T = TypeVar("T")

_lost: list[mmap.mmap] = []  # kept for good
CLOSED = "the store is closed; open it again"
DATA = REGION  # where the places of locks that tell data files begin


@contextmanager
def write_lock(
    folder: StoreFolder,
    *,
    wait: bool,
    deadline: Deadline = FOREVER,
    kind: type[StoreBusy] = ReadBusy,
) -> Iterator[bool]:
    """Keep all processes from writing to a store, through a separate description of the side file.

    With `wait`, several callers may hold the lock at once. Without `wait`, only one may hold it,
    and the result is False if another process writes. A folder without the side file needs no lock:
    no process has that store open.

    Raises:
        StoreOpenError: the side file cannot be opened.
        StoreBusy: of this kind, if another process wrote until the deadline.
    """
    path = folder.barrier
    try:
        file = open_for_call(partial(LockedFile, path))
    except FileNotFoundError:
        yield True
        return
    except OSError as error:
        raise StoreOpenError(
            f"{folder.named(path)!r} of the store could not be opened: {error}"
        ) from error
    try:
        how = (fcntl.LOCK_SH, deadline) if wait else (fcntl.LOCK_EX, NOW)
        free = flock_within(file.descriptor, *how)
        if wait and not free:
            raise _held_up(kind, folder, deadline, "nothing was read or changed")
        yield free
    finally:
        close_after_call(file)


def _held_up(
    kind: type[B], folder: StoreFolder, deadline: Deadline, outcome: str, remedy: str = ""
) -> B:
    locks = (folder.barrier,)
    return busy(
        kind, folder, deadline, work="the write", outcome=outcome, locks=locks, remedy=remedy
    )


class Barrier:
    """The barrier of one open store in one process."""

    def __init__(self, folder: StoreFolder, descriptor: int, *, readonly: bool) -> None:
        """Open the side file of the store in `folder`, which is open under `descriptor`.

        Raises:
            StoreOpenError: it is missing, or cannot be opened.
        """
        self._folder = folder
        flags = (os.O_RDONLY if readonly else os.O_RDWR) | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptors: list[int] = []
        # One thread of the process watches the byte; its signal handlers may watch it too.
        self._waiting = threading.RLock()
        self._closed = False
        self.readonly = readonly
        self._seen: tuple[bytes, WriteSet | None] = b"", None  # the side file when it was last read
        self._mark = 0  # of the first descriptor
        self._data = 0  # the place of the lock that tells the data file
        try:
            self._descriptors += (opened(descriptor, flags) for _ in range(2))
            self._mark = marked(self._descriptors[0])
            self.byte = mapped(descriptor, flags, readonly=readonly)
        except (OSError, ValueError) as error:
            self.abandon()
            path = folder.barrier
            missing = isinstance(error, FileNotFoundError)
            if not (readonly and missing and folder.is_on_readonly_medium):  # no process writes
                raise StoreOpenError(
                    f"{folder.named(path)!r} cannot be opened ({error}); it belongs to the store"
                    + (trouble(path, folder.data) or "; a process that may write there makes it")
                ) from error
            self.byte = mmap.mmap(-1, SIZE)
        self._use_descriptors()

    def _use_descriptors(self) -> None:
        # There are none on a read-only medium without the side file.
        self._writer, self._reader = self._descriptors[:2] or (-1, -1)
        self._own = self._writer, self._mark
        # Let other processes write. A built-in call, so that no interrupt can come before it.
        self.unlock: Callable[[], None] = partial(fcntl.flock, self._writer, fcntl.LOCK_UN)

    def use_data(self, data: Identity) -> bool:
        """Mark the data file with which this side file is used, by a lock on it; see `ofd_locks`.

        Returns False if another process uses it with another data file: that one was removed or
        replaced. Then the two would share the lock file of LMDB, and lose writes.
        """
        if not self._descriptors or not SUPPORTED:
            return True
        before, self._data = self._data, DATA + place_of(*data)
        try:
            if not share(self._writer, self._data):
                return True  # the file system has no such locks
        except OSError as error:
            raise StoreOpenError(
                f"the store {shown(self._folder.path)} could not be marked as open: {error}"
            ) from error
        if before not in (0, self._data):
            unlock(self._writer, before, 1)
        found = locked_in(self._writer, DATA, DATA + REGION)
        if found == self._data:  # the system returns any lock of the range
            found = locked_in(self._writer, DATA, found) or locked_in(
                self._writer, found + 1, DATA + REGION
            )
        return not found

    @property
    def identity(self) -> Identity | None:
        """The device and the inode of the side file; None if there is none."""
        return identity_of(os.fstat(self._writer)) if self._descriptors else None

    # -- the writer ---------------------------------------------------------------------------

    def lock(self, deadline: Deadline = FOREVER) -> None:
        """Wait until no other process writes, and keep others from it; Ctrl-C ends the wait.

        Raises:
            WriteBusy: another process wrote until the deadline.
            StoreClosed: the descriptors of the store were closed.
        """
        if deadline.limit is None:  # the short path of almost all writes
            self.check_ours()
            fcntl.flock(self._writer, fcntl.LOCK_EX)
        elif not self.lock_within(deadline):
            raise self.write_busy(deadline, "nothing was written")

    def lock_within(self, deadline: Deadline) -> bool:
        """Do the same, but return False if another process wrote until the deadline."""
        self.check_ours()
        return flock_within(self._writer, fcntl.LOCK_EX, deadline)

    def write_busy(self, deadline: Deadline, outcome: str) -> WriteBusy:
        """Return the exception for a write that waited until its deadline."""
        return _held_up(WriteBusy, self._folder, deadline, outcome)

    def read_busy(self, deadline: Deadline) -> ReadBusy:
        """Return the exception for a read that waited until its deadline."""
        return _held_up(ReadBusy, self._folder, deadline, "nothing was read", NEVER_WAIT)

    def check_ours(self) -> None:
        """Raise StoreClosed if the descriptors of the store were closed by someone else."""
        writer, mark = self._own
        if writer >= 0 and not is_ours(writer, mark):
            self.unlock = lambda: None  # it is not ours to unlock
            raise StoreClosed(CLOSED if self._closed else LOST)

    @property
    def is_lost(self) -> bool:
        """Whether someone else has closed the descriptors of the store."""
        return bool(self._descriptors) and not is_ours(*self._own)

    @property
    def may_harm(self) -> bool:
        """Whether closing what a lost store has open may close the descriptors of someone else."""
        return others_are_open(self._writer)

    def raised(self, begin: Callable[[], None], writes: Fields) -> None:
        """Make readers of what it `writes` wait, and begin the transaction; the lock is held.

        A byte that is already odd was left by a writer that died. Its readers must not continue
        before `begin` has settled that write.
        """
        byte = self.byte
        if byte[0] & 1:
            begin()
            byte[0] = publish(byte, writes)
        else:
            byte[0] = publish(byte, writes)
            begin()

    # -- the reader ---------------------------------------------------------------------------

    @property
    def up(self) -> bool:
        """Whether a write is in progress."""
        return self._read_byte() & 1 == 1

    def in_progress(self) -> WriteSet | None:
        """Return what the write in progress may change; None if there is none."""
        data = self._read(lambda side: side[:SIZE])
        seen = self._seen
        if data != seen[0]:  # many reads come in the time of one write
            self._seen = seen = data, published(data)
        return seen[1]

    def _read_byte(self) -> int:
        return self._read(lambda side: side[0])

    def _read(self, work: Callable[[mmap.mmap], T]) -> T:
        try:
            return work(self.byte)
        except ValueError:  # the map is closed
            raise StoreClosed(CLOSED) from None

    def wait(self, settle: Callable[[Deadline], bool], deadline: Deadline = FOREVER) -> None:
        """Return when the write in progress has ended; at once if there is none.

        `settle` runs an empty write transaction as a writer does, or returns False if this process
        cannot write now; it is called if the writer has died. The thread that writes must not wait
        here.

        Raises:
            ReadBusy: the write has not ended at the deadline.
        """
        seen = self._read_byte()
        if not seen & 1:
            return
        refusal = partial(self.read_busy, deadline)
        run_within(self._waiting, deadline, refusal, self._wait, seen, settle, deadline)

    def _wait(self, seen: int, settle: Callable[[Deadline], bool], deadline: Deadline) -> None:
        pause = FIRST_WAIT
        while self._read_byte() == seen:
            if self._closed:
                raise StoreClosed(CLOSED)
            if self._writer_died(seen):
                if self.readonly or not settle(deadline):
                    return
                continue
            left = deadline.left
            if not left:
                raise self.read_busy(deadline)
            time.sleep(min(pause, left))
            pause = min(pause * GROWTH, LONGEST_WAIT)

    def _writer_died(self, seen: int) -> bool:
        self.check_ours()
        reader = self._reader  # `take_over` may put another one in its place
        try:
            fcntl.flock(reader, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        try:
            return self.byte[0] == seen
        finally:
            fcntl.flock(reader, fcntl.LOCK_UN)

    def take_over(self, writing: Barrier) -> None:
        """Take what another barrier of this process has open with the right to write.

        The other one must not be used any more. A thread that waits here continues with it.
        """
        # Without waiting for that thread, which may wait for ever: the old ones stay open.
        old = self._writer
        self._descriptors, writing._descriptors = writing._descriptors + self._descriptors, []
        self._mark = writing._mark
        self._use_descriptors()
        if self._data:
            share(self._writer, self._data)
            if old >= 0:
                unlock(old, self._data, 1)
        self.byte, self.readonly = writing.byte, False  # the old map ends with its last reader

    def close(self) -> None:
        """Close the side file; no thread writes. Readers that wait raise StoreClosed."""
        self._closed = True
        run_locked(self._waiting, self._close)

    def _close(self) -> None:
        if self.is_lost:
            self._descriptors.clear()
            if self.may_harm:
                _lost.append(self.byte)  # it has a descriptor of its own, and would close that
        if self.byte not in _lost:
            self.byte.close()
        self.abandon()

    def abandon(self, *, lost: bool = False) -> None:
        """Close the side file in a forked child; the parent keeps the lock.

        `lost`: someone else has closed it.
        """
        if lost:
            self._descriptors.clear()
            _lost.append(self.byte)
        self.unlock = lambda: None  # the parent does, if it was forked in the middle of a write
        while self._descriptors:
            os.close(self._descriptors.pop())
