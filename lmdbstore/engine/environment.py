"""The environment: one open LMDB folder of this process, shared by all stores on it.

Rules, each because of a trap of LMDB:
- No transaction is open across the caller's code, except held ones (`engine.held_transaction`).
- From before the first file is opened until the last one is closed, the process is present in the
  folder: so no process replaces a file that another has open.
- The file may be open for reading only until the first write; see `engine.open_file`.
"""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, TypeVarTuple
from weakref import ref

import lmdb

from lmdbstore.disk.lmdb_errors import in_any_map, lacks_space, read_error, write_error
from lmdbstore.errors import (
    EventReadException,
    EventStoreException,
    EventWriteException,
    StoreFull,
    WriteBusy,
    shown,
)
from lmdbstore.processes.snapshot_notes import readers_in
from lmdbstore.threads.deadline import FOREVER, NOW, Deadline
from lmdbstore.threads.gate import StillInside
from lmdbstore.threads.reentry import reentry
from lmdbstore.write.change import EmptyCommit

from .held_transaction import HeldTransaction
from .open_file import OpenFile, User

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from lmdbstore.disk.databases import Databases
    from lmdbstore.opening.place import Place
    from lmdbstore.processes.snapshot_notes import Reader
    from lmdbstore.write.change import Change

__all__ = ["Environment"]

T = TypeVar("T")
A = TypeVarTuple("A")

ATTEMPTS = 10  # to find a free slot in the reader table


_lost: list[lmdb.Environment] = []  # kept for good


class Environment(OpenFile):
    """One open LMDB folder."""

    def add_user(self, user: User) -> None:
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
            self._end(txn)

    def hold(self, place: Place, deadline: Deadline = NOW) -> HeldTransaction:
        """Return a read transaction that stays open; raises the same as `read`.

        While it is open, a file that is open for reading only cannot be opened for writing. So that
        is tried before, until the deadline.
        """
        if self.reads_only and not (self.options.readonly or self._any_held or self.is_inside):
            # If it fails, the next write tries again; if the store was closed, this read says so.
            with contextlib.suppress(EventWriteException):
                self.become_writer(deadline)
        held = HeldTransaction(self.gate, place, self.path)
        number = self._begun(self._begin_held, held)
        if not self.barrier.is_lost:  # else another file may have the number of that of the notes
            held.note = self.notes.note(number, self.readers)
        return held

    def _begin_held(self, held: HeldTransaction) -> int:
        number = held.begin(self.lmdb, self.databases)
        self._held.add(ref(held, self._held.discard))
        self.notes.open()  # inside of the gate
        return number

    def write(self, change: Change, place: Place, deadline: Deadline = FOREVER) -> None:
        """Carry out a change; see `Writer.write`. A full map grows, if only space kept it small."""
        if self.reads_only and not self.become_writer(deadline):
            raise EventWriteException(
                f"a snapshot of this process is open, and reads the store "
                f"{shown(self.path)}, which is open for reading only until the first write; "
                "nothing was written; close the snapshot, and write again"
            )
        while True:
            grown = self._grown
            try:
                self.writer.write(change, place, deadline)
                return
            except StoreFull as error:
                if remedy := self.make_room(grown):
                    raise StoreFull(f"{error}{remedy}") from error.__cause__

    def write_freeing(self, change: Change, place: Place, deadline: Deadline = FOREVER) -> None:
        """Carry out a change that frees space, in a store or on a disk that may be full."""
        try:
            self.write(change, place, deadline)
        except EventWriteException as error:
            if not lacks_space(error, self.path):
                raise
            self.write(EmptyCommit(), place, deadline)
            self.write(change, place, deadline)

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
            self.gate.run(self._flush)
        except lmdb.Error as error:
            raise write_error(error, self.lmdb) from error

    def _flush(self) -> None:
        if not self.lmdb.flags()["readonly"]:  # else this process has written nothing
            self.lmdb.sync(True)

    # -- the end ----------------------------------------------------------------------------------

    def close(self, deadline: Deadline = FOREVER) -> bool:
        """Wait for every operation to end, and close. Called under `forking.process_lock`.

        After an interrupt it can be called again, and so if it returns False: then other threads
        were at work until the deadline, and nothing was closed.
        """
        if self.writer.writing_here:
            raise reentry(EventStoreException, "closing a store")
        lost = self._forget_lost()
        shut = partial(self.gate.keep_out, partial(self._shut, lost=lost), deadline)
        try:
            self.writer.while_idle(shut, deadline)
        except (WriteBusy, StillInside):
            return False
        self.notes.close()
        self.barrier.close()  # a reader at the barrier may wait to settle a write
        self.marks.close()
        self.presence.close()
        return True

    def _shut(self, *, lost: bool) -> None:
        self.gate.close()
        if self._held:
            self._drop_held()
        self._close_lmdb(lost=lost)

    def _close_lmdb(self, *, lost: bool) -> None:
        if lost and (self.lmdb in _lost or self.barrier.may_harm):
            _lost.append(self.lmdb)  # it would close descriptors that may belong to someone else
        else:
            self.lmdb.close()

    def _forget_lost(self) -> bool:
        """Forget the descriptors if someone else has closed them; return whether that is so."""
        if self.barrier.is_lost:
            self.is_lost = True
            self.notes.forget()
            self.marks.forget()
            self.presence.forget()
        return self.is_lost

    @property
    def is_read_here(self) -> bool:
        """Whether this thread is in a read, so that the caller is a signal handler's.

        In the middle of a write this is False: LMDB can end that in a forked child.
        """
        return self.gate.entered_here and not self.writer.writing_here

    def abandon(self, *, usable: bool = True) -> None:
        """Release, in a forked child, everything that belongs to the parent.

        If a thread of the parent was inside LMDB, or this one is in a read, its environment is not
        `usable`, and stays open: closing it would wait for that thread, or end that read.

        Closing an environment ends its read transactions in the reader table, which the parent
        shares. So the child drops them first: py-lmdb does not end a parent's transaction.
        """
        self._end = self._refuse_read
        self.writer.leave_to_parent()
        lost = self._forget_lost()
        self._drop_held()
        self.notes.close()
        self.barrier.abandon(lost=lost)
        self.marks.abandon()
        self.presence.abandon()
        if not usable:
            _lost.append(self.lmdb)
            return
        with contextlib.suppress(lmdb.Error):  # the file is the parent's; the child releases it
            self._close_lmdb(lost=lost)

    def _refuse_read(self, _: lmdb.Transaction[Any]) -> NoReturn:
        """End a read in which a forked child found itself; its transaction is the parent's."""
        raise EventReadException(
            f"a signal handler forked in the middle of a read of the store {shown(self.path)}; the "
            "parent has the answer, and this process cannot use the store: let a child that a "
            "handler forks end in the handler, or fork outside of calls"
        )
