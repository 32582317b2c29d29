"""The environment: one open LMDB folder of this process, shared by all stores on it.

Rules, each because of a trap of LMDB:
- No transaction is open across the caller's code, except held ones (`engine.held_transaction`).
- A larger map of another process is adopted while all other threads are kept out. So is a map
  made larger that the address space has kept small, but never while a snapshot is open.
- From before the first file is opened until the last one is closed, the process is present in the
  folder: so no process replaces a file that another has open.
"""

from __future__ import annotations

import contextlib
import gc
import os
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, TypeVarTuple
from weakref import WeakSet, ref

import lmdb

from lmdbstore.disk.databases import Databases, open_databases
from lmdbstore.disk.files import NotFlushedError, adopt_rights, exchange
from lmdbstore.disk.lmdb_errors import in_any_map, lacks_space, read_error, write_error
from lmdbstore.disk.map_size import LARGER, adopt_map, make_room
from lmdbstore.errors import (
    EventStoreException,
    EventWriteException,
    StoreClosed,
    StoreFull,
    StoreOpenError,
    shown,
)
from lmdbstore.processes.barrier import Barrier
from lmdbstore.processes.opening_lock import opening_lock
from lmdbstore.processes.snapshot_notes import readers_in
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
    from lmdbstore.processes.presence import Presence
    from lmdbstore.processes.snapshot_notes import Notes, Reader
    from lmdbstore.write.change import Change

    from .options import Options

__all__ = ["Environment", "Opened"]

T = TypeVar("T")
A = TypeVarTuple("A")

ATTEMPTS = 10  # to find a free slot in the reader table


_lost: list[lmdb.Environment] = []  # kept for good


class Opened(NamedTuple):
    """The open parts of a folder."""

    presence: Presence
    lmdb: lmdb.Environment
    databases: Databases
    barrier: Barrier
    notes: Notes


class Environment:
    """One open LMDB folder."""

    def __init__(self, folder: StoreFolder, options: Options, opened: Opened) -> None:
        """Own the opened parts; `engine.open` opens them."""
        self.folder = folder
        self.options = options
        self.pid = os.getpid()
        self.users: set[ref[object]] = set()  # changed in built-in calls, so that it needs no lock
        self.gate = Gate()
        self.presence, self.lmdb, self.databases, self.barrier, self.notes = opened
        self._held: WeakSet[HeldTransaction] = WeakSet()
        self._grown = 0  # how often the map was made larger
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

    def hold(self) -> HeldTransaction:
        """Return a read transaction that stays open; raises the same as `read`."""
        held = HeldTransaction(self.gate, self.folder.path)
        number = self._begun(self._begin_held, held)
        if not self.barrier.is_lost:  # else another file may have the number of that of the notes
            held.note = self.notes.note(number, self.readers)
        return held

    def _begin_held(self, held: HeldTransaction) -> int:
        number = held.begin(self.lmdb, self.databases)
        self._held.add(held)
        return number

    def write(self, change: Change) -> None:
        """Carry out a change; see `Writer.write`. A full map grows, if only space kept it small."""
        while True:
            grown = self._grown
            try:
                self.writer.write(change)
                return
            except StoreFull as error:
                if remedy := self._make_room(grown):
                    raise StoreFull(f"{error}{remedy}") from error.__cause__

    def _make_room(self, grown: int) -> str:
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

    def write_freeing(self, change: Change) -> None:
        """Carry out a change that frees space, in a store or on a disk that may be full."""
        try:
            self.write(change)
        except EventWriteException as error:
            if not lacks_space(error, self.folder.path):
                raise
            self.write(EmptyCommit())
            self.write(change)

    def readers(self) -> Counter[Reader]:
        """Return the readers in LMDB's reader table now; raises the same as `read`."""
        self.barrier.check_ours()  # LMDB would take all readers for dead ones
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
                self.barrier.check_ours()
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
        adopt_map(self.lmdb)

    def ask(self, question: Callable[[lmdb.Environment], T]) -> T:
        """Ask LMDB something outside of a transaction; raises the same as `read`."""
        try:
            return self.gate.run(lambda: question(self.lmdb))  # read inside: it may be replaced
        except lmdb.Error as error:
            raise read_error(error) from error

    def flush(self) -> None:
        """Flush all writes to disk; raises EventWriteException or StoreClosed."""
        self.barrier.check_ours()
        try:
            self.gate.run(lambda: self.lmdb.sync(True))
        except lmdb.Error as error:
            raise write_error(error, self.lmdb) from error

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
        self._open(self.options)
        return refusal

    def _open(self, options: Options) -> None:
        """Open the data file again; the lock of the barrier is held."""
        self.lmdb = open_lmdb(self.folder, options, locked=True)
        self.databases = open_databases(self.lmdb, self.folder.path, readonly=options.readonly)
        self.writer.use(self.lmdb, self.databases)

    def reopen_for_writing(self, wanted: Options) -> None:
        """Become able to write, for a store with these options; `process_lock` is held.

        All threads are kept out while the file is opened again. If that fails, this reads as
        before; if not even that is possible, or it is interrupted, the environment is closed.

        Raises:
            StoreOpenError: a snapshot of this process is open, or the file cannot be opened.
        """
        options = self.options.with_writing(wanted)
        writing = Barrier(self.folder, readonly=False)
        try:
            with opening_lock(self.folder):  # before that of the barrier, as an opening does
                writing.lock()
                refusal = self.gate.keep_out(lambda: self._reopen_or_close(options))
            writing.unlock()  # a strict reader of this process may wait for it
            if refusal is not None:
                raise refusal
            self.barrier.take_over(writing)
            self.options = options  # last: until then the next store repeats all of this
        except OSError as error:
            raise StoreOpenError(
                f"the store {shown(self.folder.path)} could not be opened to write: {error}"
            ) from error
        finally:
            writing.abandon()

    def _reopen_or_close(self, options: Options) -> StoreOpenError | None:
        try:
            self.check_none_held()
        except EventWriteException as error:
            return StoreOpenError(
                f"readonly: this process has opened {shown(self.folder.path)} to read only, and "
                f"{error}"
            )
        try:
            return self._reopen(options)
        except BaseException:
            self.gate.close()
            raise

    def _reopen(self, options: Options) -> StoreOpenError | None:
        self.lmdb.close()
        try:
            self._open(options)
        except StoreOpenError as error:
            self.lmdb.close()
            self._open(self.options)
            return error
        return None

    def check_outside(self, call: str, kind: type[EventStoreException]) -> None:
        """Raise an exception of this kind if this thread is inside another call."""
        if self.writer.writing_here or self.gate.inside_here:
            raise reentry(kind, call)

    def check_none_held(self) -> None:
        """Raise EventWriteException if a snapshot of this process holds a transaction."""
        if self._any_held:
            gc.collect()  # it may be garbage in a reference cycle
            if self._any_held:
                raise EventWriteException(
                    "a snapshot of this process is open and reads the present file; close it, and "
                    "try again"
                )

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
        lost = self._forget_lost()
        self.writer.while_idle(lambda: self.gate.keep_out(lambda: self._shut(lost=lost)))
        self.notes.close()
        self.barrier.close()  # a reader at the barrier may wait to settle a write
        self.presence.close()

    def _shut(self, *, lost: bool) -> None:
        self.gate.close()
        self._drop_held()
        self._close_lmdb(lost=lost)

    def _close_lmdb(self, *, lost: bool) -> None:
        if lost and self.barrier.may_harm:
            _lost.append(self.lmdb)  # it would close descriptors that may belong to someone else
        else:
            self.lmdb.close()

    def _forget_lost(self) -> bool:
        """Forget the descriptors if someone else has closed them; return whether that is so."""
        lost = self.barrier.is_lost
        if lost:
            self.notes.forget()
            self.presence.forget()
        return lost

    def abandon(self) -> None:
        """Release, in a forked child, everything that belongs to the parent.

        Closing an environment ends its read transactions in the reader table, which the parent
        shares. So the child drops them first: py-lmdb does not end a parent's transaction.
        """
        lost = self._forget_lost()
        self._drop_held()
        self.notes.close()
        self.barrier.abandon(lost=lost)
        self.presence.abandon()
        with contextlib.suppress(lmdb.Error):  # the file is the parent's; the child releases it
            self._close_lmdb(lost=lost)

    def _drop_held(self) -> None:
        for held in list(self._held):
            held.drop()
