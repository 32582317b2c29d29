"""The open file of an environment: how it gets a larger map, is opened again, and is replaced.

Rules: each is done while all threads are kept out, and no snapshot of this process reads the file;
only a larger map of another process is adopted under snapshots, which then end. A file is opened
again under the lock of the barrier. If it cannot be opened at all, or that is interrupted, the
environment is closed.

The file is open for reading only (`reads_only`) in two cases: all stores that share it only read;
or another process was writing when a store was opened that does not wait for writers, and handles
of databases in a file that is open for writing need a write transaction. It is opened again for
writing before the first write.
"""

from __future__ import annotations

import contextlib
import gc
import os
import time
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from weakref import ref

import lmdb

from lmdbstore.disk.databases import Databases, open_databases
from lmdbstore.disk.files import Directory, NotFlushedError, adopt_rights, exchange
from lmdbstore.disk.folder import DATA_FILE, LOCK_FILE, StoreFolder
from lmdbstore.disk.lmdb_errors import read_error
from lmdbstore.disk.map_size import LARGER, adopt_map, make_room
from lmdbstore.errors import (
    EventStoreException,
    EventWriteException,
    OpenBusy,
    StoreClosed,
    StoreOpenError,
    shown,
)
from lmdbstore.opening.open_lmdb import open_lmdb
from lmdbstore.opening.place import Files, Known, Quick
from lmdbstore.processes.barrier import Barrier
from lmdbstore.processes.descriptors import is_open_here
from lmdbstore.processes.opening_lock import while_opening
from lmdbstore.processes.waits import FIRST_WAIT
from lmdbstore.threads.deadline import FOREVER, NOW, Deadline
from lmdbstore.threads.gate import Gate
from lmdbstore.threads.reentry import reentry
from lmdbstore.write.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmdbstore.opening.options import Options
    from lmdbstore.processes.marks import Marks
    from lmdbstore.processes.presence import Presence
    from lmdbstore.processes.snapshot_notes import Notes

    from .held_transaction import HeldTransaction

__all__ = ["OpenFile", "Opened", "User"]


class User(Protocol):
    """A user of an environment: the session of a store."""

    options: Options
    timeout: float | None  # seconds


class Opened(NamedTuple):
    """The open parts of a folder."""

    presence: Presence
    marks: Marks
    lmdb: lmdb.Environment
    databases: Databases
    barrier: Barrier
    notes: Notes
    reads_only: bool  # whether the file is open for reading only
    files: Files
    identity: bytes | None  # of the store
    quick: Quick | None  # of the folder, if the files in it are those that were opened


def _open(own: ref[OpenFile]) -> OpenFile:
    if (found := own()) is None:
        raise StoreClosed("the store is closed; open it again")
    return found


class OpenFile:
    """What an environment has open in its folder."""

    def __init__(self, path: str, options: Options, opened: Opened) -> None:
        """Own the opened parts of the store in `path`; `engine.open` opens them."""
        self.path = path
        self.options = options
        self.pid = os.getpid()
        self.users: set[ref[User]] = set()  # changed in built-in calls, so that it needs no lock
        self.gate = Gate()
        self.presence, self.marks, self.lmdb, self.databases, self.barrier, self.notes = opened[:6]
        self.reads_only = opened.reads_only
        own = ref(self)  # in what this owns, so that it is freed as soon as it is closed
        self.known = Known(
            opened.files,
            opened.identity,
            opened.presence.directory.descriptor,
            self.gate.run,
            lambda: _open(own).last_transaction(),
            has_files=lambda: _open(own).has_files(),
            quick=opened.quick,
        )
        self._held: set[ref[HeldTransaction]] = set()  # the same
        self._end: Callable[[lmdb.Transaction[Any]], object] = lmdb.Transaction.abort  # of a read
        self._grown = 0  # how often the map was made larger
        self.is_lost = False  # whether someone else has closed the descriptors, once it is noticed
        adopt_map = lambda: _open(own).adopt_map()  # noqa: E731
        compresses = lambda: _open(own).options.compression is not None  # noqa: E731
        self.writer = Writer(
            self.lmdb, self.databases, self.gate, self.barrier, adopt_map, compresses
        )

    @property
    def folder(self) -> StoreFolder:
        """The folder that is open, wherever its path leads."""
        return self.presence.folder

    @property
    def directory(self) -> Directory:
        """The open folder.

        Raises:
            EventWriteException: the program has closed its descriptor.
        """
        directory = self.presence.directory
        with contextlib.suppress(OSError):
            if directory.identity == self.known.files.folder:
                return directory
        raise EventWriteException(
            f"this program has closed descriptors that the store {self.path!r} has open; "
            "close the store, and open it again"
        )

    def has_files(self) -> bool:
        """Whether the side files that were noted are open; each is opened by its path."""
        return self.known.files.barrier == self.barrier.identity and self._has_lock()

    def _has_lock(self) -> bool:
        lock = self.known.files.lock
        return lock is None or self.marks.is_unlisted or is_open_here(lock, self.marks.descriptor)

    def last_transaction(self) -> int:
        """Return LMDB's number of the last transaction in the map."""
        try:
            return int(self.gate.run(lambda: self.lmdb.info()["last_txnid"]))
        except lmdb.Error as error:
            raise read_error(error) from error

    def check_outside(self, call: str, kind: type[EventStoreException]) -> None:
        """Raise an exception of this kind if this thread is inside another call."""
        if self.is_inside:
            raise reentry(kind, call)

    @property
    def is_inside(self) -> bool:
        """Whether this thread is inside another call, so that this one is a signal handler's."""
        return self.writer.writing_here or self.gate.inside_here

    def check_none_held(self) -> None:
        """Raise EventWriteException if a snapshot of this process holds a transaction."""
        if self.holds_transactions():
            raise EventWriteException(
                "a snapshot of this process is open and reads the present file; close it, and "
                "compact again"
            )

    def holds_transactions(self) -> bool:
        """Whether a snapshot of this process reads the file."""
        if self._any_held:
            gc.collect()  # it may be garbage in a reference cycle
        return self._any_held

    @property
    def _any_held(self) -> bool:
        return any(held.txn is not None for held in self._all_held())

    def _all_held(self) -> list[HeldTransaction]:
        return [held for found in list(self._held) if (held := found()) is not None]

    def _drop_held(self) -> None:
        for held in self._all_held():
            held.drop()

    # -- a larger map -----------------------------------------------------------------------------

    def adopt_map(self) -> None:
        """Adopt the larger map that another process has given the store.

        This ends all read transactions of the process, those of snapshots too.
        """
        try:
            self.gate.keep_out(self._adopt)
        except lmdb.Error as error:
            raise read_error(error) from error

    def _adopt(self) -> None:
        if self.gate.closed:
            raise StoreClosed("the store is closed; open it again")
        self._drop_held()
        adopt_map(self.lmdb)

    def make_room(self, grown: int) -> str:
        """Give the store a larger map, unless it grew in the meantime; else return the remedy."""
        size = self.options.map_size
        if size is not None:
            return f"; its map_size is {size:,} bytes: {LARGER}"
        if self.gate.inside_here:  # a signal handler interrupted a read, which the map must outlive
            return "; write again, outside of the signal handler"
        try:
            return self.gate.keep_out(lambda: self._grow(grown))
        except lmdb.Error as error:
            raise read_error(error) from error

    def _grow(self, grown: int) -> str:
        if self.gate.closed:
            raise StoreClosed("the store is closed; open it again")
        if self._grown != grown:
            return ""
        gc.collect()  # a snapshot may be garbage in a reference cycle
        remedy = make_room(self.lmdb, held=self._any_held)
        self._grown += not remedy
        return remedy

    # -- for reading only, until the first write --------------------------------------------------

    def allow_writing(self, wanted: Options) -> None:
        """Let stores with these options write, where all stores so far only read.

        The next write opens the file for writing. `process_lock` is held, and the side files exist.

        Raises:
            StoreOpenError: the barrier cannot be opened for writing.
        """
        options = self.options.with_writing(wanted)
        if not self.barrier.readonly:  # a store that is gone by now wrote
            self.options = options
            return
        writing = Barrier(self.folder, self.directory.descriptor, readonly=False)
        try:
            self.barrier.take_over(writing)
            self.options = options  # last: until then the next store repeats all of this
        finally:
            writing.abandon()

    def forget_writers(self) -> None:
        """If all stores that are left only read, let the next that writes choose the options.

        It opens the file again.
        """
        users = [user for found in list(self.users) if (user := found()) is not None]
        if users and all(user.options.readonly for user in users) and not self.options.readonly:
            self.options = self.options._replace(readonly=True)
            self.reads_only = True

    def become_writer(self, deadline: Deadline = FOREVER) -> bool:
        """Open the file for writing; False if a snapshot of this process reads it.

        Raises:
            WriteBusy: others wrote to the store, or opened it, until the deadline.
            EventWriteException: it cannot be opened for writing.
            StoreClosed: the store was closed.
        """
        if self.is_inside:
            raise reentry(EventWriteException, "a write")
        while self.reads_only and not self.holds_transactions():
            self.writer.while_idle(partial(self._try_it, deadline), deadline)
            if self.reads_only:
                if not deadline.left:
                    raise self.barrier.write_busy(deadline, "nothing was written")
                time.sleep(FIRST_WAIT)
        return not self.reads_only

    def _try_it(self, deadline: Deadline) -> None:
        """Try it once: not if a process opens the store, or a snapshot was taken in between.

        A process that opens the store may wait for the barrier's lock with the opening lock held.
        So this waits for the former only. The latter is taken while the gate is barred: no thread
        can fork then, and leave the lock to a child.
        """
        if self.gate.closed:
            raise StoreClosed("the store is closed; open it again")
        try:
            self.barrier.lock(deadline)
            self.gate.keep_out(self._open_to_write)
        finally:
            self.barrier.unlock()

    def _open_to_write(self) -> None:
        if not self.reads_only or self.holds_transactions():
            return
        try:
            with contextlib.suppress(OpenBusy):
                folder, descriptor = self.folder, self.marks.descriptor
                while_opening(folder, descriptor, NOW, lambda _: self._or_close(self._open_or_stay))
        except StoreOpenError as error:
            closed = ", and the store was closed" if self.gate.closed else ""
            raise EventWriteException(f"nothing was written{closed}: {error}") from error

    def _open_or_stay(self) -> StoreOpenError | None:
        """Open the file for writing, or else for reading again; return why the former failed."""
        self.lmdb.close()
        try:
            self._open(readonly=False)
        except StoreOpenError as error:
            self.lmdb.close()
            self._open(readonly=True)
            return error
        return None

    def _or_close(self, work: Callable[[], Exception | None]) -> None:
        """Run `work`, and raise what it returns; if it raises, the environment is closed."""
        try:
            refusal = work()
        except BaseException:
            self.gate.close()
            raise
        if refusal is not None:
            raise refusal

    def _open(self, *, readonly: bool) -> None:
        options = self.options._replace(readonly=readonly)
        self.lmdb = open_lmdb(self.folder, options, self.marks, locked=True)
        self.known.files = self.known.files._replace(lock=self.marks.lock)
        if not self._has_lock():
            raise StoreOpenError(
                f"{LOCK_FILE} of the store {shown(self.path)} was exchanged while it was opened"
            )
        self.databases, _ = open_databases(self.lmdb, self.path, readonly=readonly)
        self.writer.use(self.lmdb, self.databases)
        self.reads_only = readonly
        self.known.expect_commit()

    # -- another file -----------------------------------------------------------------------------

    def replace_file(self, made: Directory, new: str) -> None:
        """Replace the data file with the file `new` in another folder, and open it.

        The process is alone in the folder.

        Raises:
            OSError: the file was not replaced, and the old one is open again.
            EventWriteException, StoreOpenError: it failed, and the environment is closed.
        """
        adopt_rights(f"{made.way}/{new}", self.folder.data)
        self.gate.keep_out(partial(self._replace, made, new))

    def _replace(self, made: Directory, new: str) -> None:
        self.check_none_held()
        self._or_close(partial(self._exchange, made, new))

    def _exchange(self, made: Directory, new: str) -> OSError | None:
        """Close, rename and open; return the error if the system refused the renaming."""
        refusal = None
        self.lmdb.close()
        try:
            exchange(made, new, self.directory, DATA_FILE)
        except NotFlushedError as error:
            # Events saved from now on would be lost with the new file.
            raise EventWriteException(
                f"the store {shown(self.path)} has its new file, but its folder could not "
                f"be flushed ({error}), and a power cut may bring the old file back; the store was "
                "closed: check the disk, and open it again"
            ) from error
        except OSError as error:
            refusal = error
        finally:
            self.known.files = self.known.files._replace(data=self.folder.identity)
        self.marks.move()
        if self.known.files.data is not None:
            self.barrier.use_data(self.known.files.data)
        self._open(readonly=False)
        return refusal
