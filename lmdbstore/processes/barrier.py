"""The barrier: how a strict read waits for the write in progress, in any process.

LMDB's readers never wait for its writer; strict consistency requires that they do. So every store
has a side file, `barrier`, of one byte that is mapped into memory, and a lock (`flock`) on that
file:

- A writer takes the lock exclusively, makes the byte odd, begins its transaction, works, commits,
  makes the byte even, and releases the lock.
- A reader reads the byte. If it is even, the reader continues. If it is odd, the reader waits until
  the byte has changed.

This is correct because the byte is made odd before the transaction begins, and made even after it
was committed or dropped. So a reader that sees an even byte sees everything that was committed, and
a reader that saw an odd byte continues only when the write it saw has ended. The byte counts, so
that a reader waits for one write and not for all that follow without a gap. Waiting for the lock
itself was measured at 1.6 ms in the median and 69 ms at worst with one busy writer, and 16 ms with
two; waiting for the byte takes 0.7 ms, the length of one write.

A writer that died leaves the byte odd, and the kernel drops the writer's lock. So if a waiting
reader can take the lock shared while the byte is unchanged, the reader knows that the writer died,
and settles the write: it takes the lock exclusively, runs an empty write transaction, which also
completes a commit that was cut off half-way, and makes the byte even. A reader without the right to
write continues at once: the write was never acknowledged.

The side file is never removed or replaced while the store exists. Reader and writer hold separate
descriptions of it, because `flock` belongs to the description. On processors that reorder stores,
the locks and system calls of a commit keep the byte and the data in order.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import threading
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from lmdbstore.disk.lmdb_errors import advice
from lmdbstore.errors import StoreClosed, StoreOpenError
from lmdbstore.threads.run_locked import run_locked

from .descriptors import LOST, is_ours, mark, others_are_open

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lmdbstore.disk.folder import StoreFolder

__all__ = ["Barrier", "create_barrier_file", "write_lock"]

# Seconds between two reads of the byte. A durable write takes about a millisecond, so the first
# waits are a fraction of that; they grow because some writes are long.
FIRST_WAIT, LONGEST_WAIT, GROWTH = 0.0001, 0.005, 1.5


_lost: list[mmap.mmap] = []  # kept for good


def create_barrier_file(folder: StoreFolder, mode: int) -> None:
    """Make the side file of a store, if it is missing; raises StoreOpenError."""
    path = folder.barrier
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
        try:
            if os.fstat(descriptor).st_size == 0:
                os.write(descriptor, b"\0")
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StoreOpenError(
            f"{path!r} of the store could not be made: {error}{advice(error, folder.path)}"
        ) from error


@contextmanager
def write_lock(folder: StoreFolder, *, wait: bool) -> Iterator[bool]:
    """Keep all processes from writing to a store, through a separate description of the side file.

    With `wait`, several callers may hold the lock at once. Without `wait`, only one may hold it,
    and the result is False if another process writes. A folder without the side file needs no lock:
    no process has that store open.

    Raises:
        StoreOpenError: the side file cannot be opened.
    """
    path = folder.barrier
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        yield True
        return
    except OSError as error:
        raise StoreOpenError(f"{path!r} of the store could not be opened: {error}") from error
    try:
        yield _locked(descriptor, wait=wait)
    finally:
        os.close(descriptor)


def _locked(descriptor: int, *, wait: bool) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class Barrier:
    """The barrier of one open store in one process."""

    def __init__(self, folder: StoreFolder, *, readonly: bool) -> None:
        """Open the side file of the store in `folder`.

        Raises:
            StoreOpenError: it is missing, or cannot be opened.
        """
        path = folder.barrier
        flags = (os.O_RDONLY if readonly else os.O_RDWR) | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptors: list[int] = []
        # One thread of the process watches the byte; its signal handlers may watch it too.
        self._waiting = threading.RLock()
        self._closed = False
        self._readonly = readonly
        try:
            self._descriptors += [mark(os.open(path, flags)), os.open(path, flags)]
            self.byte = _mapped(path, flags, readonly=readonly)
        except (OSError, ValueError) as error:
            self.abandon()
            raise StoreOpenError(
                f"{path!r} cannot be opened ({error}); it belongs to the store; open the store "
                "with the right to write to create it"
            ) from error
        self._use_descriptors()

    def _use_descriptors(self) -> None:
        self._writer, self._reader = self._descriptors
        # Let other processes write. A built-in call, so that no interrupt can come before it.
        self.unlock: Callable[[], None] = partial(fcntl.flock, self._writer, fcntl.LOCK_UN)

    # -- the writer ---------------------------------------------------------------------------

    def lock(self) -> None:
        """Wait until no other process writes, and keep others from it; Ctrl-C ends the wait.

        Raises:
            StoreClosed: the descriptors of the store were closed.
        """
        self.check_ours()
        fcntl.flock(self._writer, fcntl.LOCK_EX)

    def check_ours(self) -> None:
        """Raise StoreClosed if the descriptors of the store were closed by someone else."""
        if not is_ours(self._writer):
            self.unlock = _nothing  # it is not ours to unlock
            raise StoreClosed(LOST)

    @property
    def is_lost(self) -> bool:
        """Whether someone else has closed the descriptors of the store."""
        return bool(self._descriptors) and not is_ours(self._writer)

    @property
    def may_harm(self) -> bool:
        """Whether closing what a lost store has open may close the descriptors of someone else."""
        return others_are_open(self._writer)

    def raised(self, begin: Callable[[], None]) -> None:
        """Make readers wait from now on, and begin the transaction; the lock is held.

        A byte that is already odd was left by a writer that died. Its readers must not continue
        before `begin` has settled that write.
        """
        byte = self.byte
        if byte[0] & 1:
            begin()
            byte[0] = (byte[0] + 2) & 0xFF
        else:
            byte[0] += 1
            begin()

    # -- the reader ---------------------------------------------------------------------------

    @property
    def up(self) -> bool:
        """Whether a write is in progress."""
        try:
            return self.byte[0] & 1 == 1
        except ValueError:  # the map is closed
            raise StoreClosed("the store is closed; open it again") from None

    def _read_byte(self) -> int:
        try:
            return self.byte[0]
        except ValueError:  # the map is closed
            raise StoreClosed("the store is closed; open it again") from None

    def wait(self, settle: Callable[[], None]) -> None:
        """Return when the write in progress has ended; at once if there is none.

        `settle` runs an empty write transaction as a writer does; it is called if the writer has
        died. The thread that writes must not wait here.
        """
        seen = self._read_byte()
        if not seen & 1:
            return
        run_locked(self._waiting, self._wait, seen, settle)

    def _wait(self, seen: int, settle: Callable[[], None]) -> None:
        pause = FIRST_WAIT
        while self._read_byte() == seen:
            if self._closed:
                raise StoreClosed("the store is closed; open it again")
            if self._writer_died(seen):
                if self._readonly:
                    return
                settle()
                continue
            time.sleep(pause)
            pause = min(pause * GROWTH, LONGEST_WAIT)

    def _writer_died(self, seen: int) -> bool:
        self.check_ours()
        try:
            fcntl.flock(self._reader, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        try:
            return self.byte[0] == seen
        finally:
            fcntl.flock(self._reader, fcntl.LOCK_UN)

    def take_over(self, writing: Barrier) -> None:
        """Take what another barrier of this process has open with the right to write.

        The other one must not be used any more. A thread that waits here continues with it.
        """
        run_locked(self._waiting, self._take_over, writing)

    def _take_over(self, writing: Barrier) -> None:
        old, self._descriptors, writing._descriptors = self._descriptors, writing._descriptors, []
        self._use_descriptors()
        self.byte, self._readonly = writing.byte, False  # the old map ends with its last reader
        while old:
            os.close(old.pop())

    def close(self) -> None:
        """Close the side file; no thread writes. Readers that wait raise StoreClosed."""
        self._closed = True
        run_locked(self._waiting, self._close)

    def _close(self) -> None:
        if self.is_lost:
            self._descriptors.clear()
            if self.may_harm:
                _lost.append(self.byte)  # it has a descriptor of its own, and would close that
                return
        self.byte.close()
        self.abandon()

    def abandon(self, *, lost: bool = False) -> None:
        """Close the side file in a forked child; the parent keeps the lock.

        `lost`: someone else has closed it.
        """
        if lost:
            self._descriptors.clear()
            _lost.append(self.byte)
        while self._descriptors:
            os.close(self._descriptors.pop())


def _nothing() -> None:
    pass


def _mapped(path: str, flags: int, *, readonly: bool) -> mmap.mmap:
    # A separate description: the map keeps it open as long as the map exists, in a forked child
    # too, and a lock on it would last as long.
    descriptor = os.open(path, flags)
    try:
        access = mmap.ACCESS_READ if readonly else mmap.ACCESS_WRITE
        return mmap.mmap(descriptor, 1, access=access)
    finally:
        os.close(descriptor)
