"""The environment: one open LMDB folder of this process, shared by all stores on it.

Rules, each because of a trap of LMDB:
- No transaction is open across the caller's code, except held ones (`engine.held_transaction`).
- A larger map of another process is adopted while all other threads are kept out.
- From before the first file is opened until the last one is closed, the process is present in the
  folder: so no process replaces a file that another has open.
- Handles of databases in a file that is open for writing need a write transaction. So a process
  that must not wait for the writer of another opens the file for reading only (`reads_only`), and
  opens it again for writing before its first write.
"""

from __future__ import annotations

import contextlib
import gc
import os
import time
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, TypeVarTuple
from weakref import WeakSet, ref

import lmdb

from lmdbstore.disk.databases import Databases, open_databases
from lmdbstore.disk.files import NotFlushedError, adopt_rights, exchange
from lmdbstore.disk.lmdb_errors import in_any_map, read_error, write_error
from lmdbstore.errors import (
    EventStoreException,
    EventWriteException,
    OpenBusy,
    StoreClosed,
    StoreFull,
    StoreOpenError,
    WriteBusy,
    shown,
)
from lmdbstore.processes.opening_lock import opening_lock
from lmdbstore.processes.snapshot_notes import readers_in
from lmdbstore.processes.waits import FIRST_WAIT
from lmdbstore.threads.deadline import FOREVER, NOW, Deadline
from lmdbstore.threads.gate import Gate
from lmdbstore.threads.reentry import reentry
from lmdbstore.write.change import EmptyCommit
from lmdbstore.write.writer import Writer

from .held_transaction import HeldTransaction
from .open_lmdb import open_lmdb

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from lmdbstore.disk.folder import StoreFolder
    from lmdbstore.processes.barrier import Barrier
    from lmdbstore.processes.presence import Presence
    from lmdbstore.processes.snapshot_notes import Notes, Reader
    from lmdbstore.write.change import Change

    from .options import Options

__all__ = ["Environment", "Opened"]

T = TypeVar("T")
A = TypeVarTuple("A")

ATTEMPTS = 10  # to find a free slot in the reader table


class Opened(NamedTuple):
    """The open parts of a folder."""

    presence: Presence
    lmdb: lmdb.Environment
    databases: Databases
    barrier: Barrier
    notes: Notes
    reads_only: bool  # whether the file is open for reading only, though the store may write


class Environment:
    """One open LMDB folder."""

    def __init__(self, folder: StoreFolder, options: Options, opened: Opened) -> None:
        """Own the opened parts; `engine.open` opens them."""
        self.folder = folder
        self.options = options
        self.pid = os.getpid()
        self.users: set[ref[object]] = set()  # changed in built-in calls, so that it needs no lock
        self.gate = Gate()
        self.presence, self.lmdb, self.databases, self.barrier, self.notes, _ = opened
        self.reads_only = opened.reads_only
        self._held: WeakSet[HeldTransaction] = WeakSet()
        self.writer = Writer(self.lmdb, self.databases, self.gate, self.barrier, self.adopt_map)

    def add_user(self, user: object) -> None:
        """Add a user, which leaves by itself when it is garbage."""
        self.users.add(ref(user, self.users.discard))

    # -- reading and writing ----------------------------------------------------------------------

    def read(
        self, work: Callable[[lmdb.Transaction[bytes], Databases], T], *, views: bool = False
    ) -> T:
        """Run `work` in a read transaction of its own, and return its result.

        With `views` it reads memory views, which end with the transaction, instead of copies.

        Raises:
            StoreClosed: the environment was closed.
            EventReadException: LMDB could not read.
        """
        try:
            return self.gate.run(self._inside, work, views)
        except (lmdb.MapResizedError, lmdb.ReadersFullError):
            return self._begun(self._inside, work, views)
        except lmdb.Error as error:
            raise read_error(error) from error

    def _inside(self, work: Callable[[lmdb.Transaction[bytes], Databases], T], views: bool) -> T:
        txn: lmdb.Transaction[Any] = self.lmdb.begin(buffers=True) if views else self.lmdb.begin()
        try:  # half the time of a `with` block, which does the same
            return work(txn, self.databases)
        finally:
            txn.abort()

    def hold(self, deadline: Deadline = NOW) -> HeldTransaction:
        """Return a read transaction that stays open; raises the same as `read`.

        While it is open, a file that is open for reading only cannot be opened for writing. So that
        is tried before, until the deadline.
        """
        if self.reads_only and not (self._any_held or self.is_inside):
            # If it fails, the next write tries again; if the store was closed, this read says so.
            with contextlib.suppress(EventWriteException):
                self.become_writer(deadline)
        held = HeldTransaction(self.gate, self.folder.path)
        held.note = self.notes.note(self._begun(self._begin_held, held), self.readers)
        return held

    def _begin_held(self, held: HeldTransaction) -> int:
        number = held.begin(self.lmdb, self.databases)
        self._held.add(held)
        return number

    def write(self, change: Change, deadline: Deadline = FOREVER) -> None:
        """Carry out a change; see `Writer.write`."""
        if self.reads_only and not self.become_writer(deadline):
            raise EventWriteException(
                f"a snapshot of this process reads the store {shown(self.folder.path)}, which was "
                "opened for reading only, because another process was writing; nothing was "
                "written; close the snapshot, and write again"
            )
        self.writer.write(change, deadline)

    def write_freeing(self, change: Change, deadline: Deadline = FOREVER) -> None:
        """Carry out a change that frees space, in a store that may be full."""
        try:
            self.write(change, deadline)
        except StoreFull:
            self.write(EmptyCommit(), deadline)
            self.write(change, deadline)

    def settle(self, deadline: Deadline) -> bool:
        """Complete the write of a process that died; False if this process cannot write now.

        Raises:
            ReadBusy: others wrote until the deadline.
            StoreClosed, EventReadException: as `Writer.settle` does.
        """
        try:
            if self.reads_only and (self.is_inside or not self.become_writer(deadline)):
                return False
        except WriteBusy as error:
            raise self.barrier.read_busy(deadline) from error
        self.writer.settle(deadline)
        return True

    # -- opened for reading only, until the first write -------------------------------------------

    def become_writer(self, deadline: Deadline = FOREVER) -> bool:
        """Open the file for writing; False if a snapshot of this process reads it.

        Raises:
            WriteBusy: others wrote to the store, or opened it, until the deadline.
            EventWriteException: it cannot be opened; the store is closed.
            StoreClosed: the store was closed.
        """
        if self.is_inside:
            raise reentry(EventWriteException, "a write")
        while self.reads_only and not self._any_held_now():
            self.writer.while_idle(partial(self._become_writer, deadline), deadline)
            if self.reads_only:
                if not deadline.left:
                    raise self.barrier.write_busy(deadline, "nothing was written")
                time.sleep(FIRST_WAIT)
        return not self.reads_only

    def _become_writer(self, deadline: Deadline) -> None:
        """Try it once: not if a process opens the store, or a snapshot was taken in between.

        A process that opens the store may wait for the barrier's lock with the opening lock held.
        So this waits for the former only. The latter is taken while the gate is barred: no thread
        can fork then, and leave the lock to a child.
        """
        if self.gate.closed:
            raise StoreClosed("the store is closed; open it again")
        try:
            self.barrier.lock(deadline)
            self.gate.keep_out(self._reopen_to_write)
        finally:
            self.barrier.unlock()

    def _reopen_to_write(self) -> None:
        if not self.reads_only or self._any_held_now():
            return
        try:
            with contextlib.suppress(OpenBusy), opening_lock(self.folder, NOW):
                self._reopen()
        except StoreOpenError as error:
            closed = ", and the store was closed" if self.gate.closed else ""
            raise EventWriteException(f"nothing was written{closed}: {error}") from error

    def _reopen(self) -> None:
        try:
            self.lmdb.close()
            self._open_to_write()
        except BaseException:
            self.gate.close()
            raise

    def _open_to_write(self) -> None:
        self.lmdb = open_lmdb(self.folder, self.options, locked=True)
        self.databases = open_databases(self.lmdb, self.folder.path, readonly=False)
        self.writer.use(self.lmdb, self.databases)
        self.reads_only = False

    def readers(self) -> Counter[Reader]:
        """Return the readers in LMDB's reader table now; raises the same as `read`."""
        self.ask(lmdb.Environment.reader_check)
        return readers_in(self.ask(lmdb.Environment.readers))

    def _begun(self, begin: Callable[[*A], T], *arguments: *A) -> T:
        """Run `begin`, which begins a read transaction; adopt a map or free slots if needed."""
        try:
            return in_any_map(lambda: self._with_slot(begin, *arguments), self.adopt_map)
        except lmdb.Error as error:
            raise read_error(error) from error

    def _with_slot(self, begin: Callable[[*A], T], *arguments: *A) -> T:
        for _ in range(ATTEMPTS):
            try:
                return self.gate.run(begin, *arguments)
            except lmdb.ReadersFullError:
                # Frees the slots of dead processes; other threads may be quicker to take one.
                self.ask(lambda open_: open_.reader_check())
        return self.gate.run(begin, *arguments)

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
        self.lmdb.set_mapsize(0)

    def ask(self, question: Callable[[lmdb.Environment], T]) -> T:
        """Ask LMDB something outside of a transaction; raises the same as `read`."""
        try:
            return self.gate.run(lambda: question(self.lmdb))  # read inside: it may be replaced
        except lmdb.Error as error:
            raise read_error(error) from error

    def flush(self) -> None:
        """Flush all writes to disk; raises EventWriteException."""
        if self.reads_only:
            return  # this process has written nothing
        try:
            self.gate.run(lambda: self.lmdb.sync(True))
        except lmdb.Error as error:
            raise write_error(error) from error

    def replace_file(self, new: str) -> None:
        """Replace the data file with the file `new` and open it; all threads are kept out.

        The process is alone in the folder, and the barrier's lock is held. Searches continue in the
        new file. If it cannot be opened, or this is interrupted, the environment is closed.

        Raises:
            OSError: the file was not replaced, and the old one is open again.
            EventWriteException, StoreOpenError: it failed, and the environment is closed.
        """
        adopt_rights(new, self.folder.data)
        refusal = self.gate.keep_out(lambda: self._exchange_or_close(new))
        if refusal is not None:
            raise refusal

    def _exchange_or_close(self, new: str) -> OSError | None:
        self.check_none_held()
        try:
            return self._exchange(new)
        except BaseException:
            self.gate.close()
            raise

    def _exchange(self, new: str) -> OSError | None:
        """Close, rename and open; return the error if the system refused the renaming."""
        refusal = None
        self.lmdb.close()
        try:
            exchange(new, self.folder.data)
        except NotFlushedError as error:
            # Events saved from now on would be lost with the new file.
            raise EventWriteException(
                f"the store {shown(self.folder.path)} has its new file, but its folder could not "
                f"be flushed ({error}), and a power cut may bring the old file back; the store was "
                "closed: check the disk, and open it again"
            ) from error
        except OSError as error:
            refusal = error
        self._open_to_write()
        return refusal

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
        if self._any_held_now():
            raise EventWriteException(
                "a snapshot of this process is open and reads the present file; close it, and "
                "compact again"
            )

    def _any_held_now(self) -> bool:
        if self._any_held:
            gc.collect()  # it may be garbage in a reference cycle
        return self._any_held

    @property
    def _any_held(self) -> bool:
        return any(held.txn is not None for held in list(self._held))

    # -- the end ----------------------------------------------------------------------------------

    def close(self) -> None:
        """Wait for every operation to end, and close. Called under `forking.process_lock`.

        After an interrupt it can be called again.
        """
        if self.writer.writing_here:
            raise reentry(EventStoreException, "closing a store")
        self.writer.while_idle(lambda: self.gate.keep_out(self._shut))
        self.notes.close()
        self.barrier.close()  # a reader at the barrier may wait to settle a write
        self.presence.close()

    def _shut(self) -> None:
        self.gate.close()
        self._drop_held()
        self.lmdb.close()

    def abandon(self) -> None:
        """Release, in a forked child, everything that belongs to the parent.

        Closing an environment ends its read transactions in the reader table, which the parent
        shares. So the child drops them first: py-lmdb does not end a parent's transaction.
        """
        self._drop_held()
        self.notes.close()
        self.barrier.abandon()
        self.presence.abandon()
        with contextlib.suppress(lmdb.Error):  # the file is the parent's; the child releases it
            self.lmdb.close()

    def _drop_held(self) -> None:
        for held in list(self._held):
            held.drop()
