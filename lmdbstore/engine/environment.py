"""The environment: one open LMDB folder of this process, shared by all stores on it.

Rules, each after a trap of LMDB:
- All named databases are opened at the start, inside one transaction.
- The map is 1 TiB from the start and never grown here; where the address space is too small it is
  halved until it fits. A larger map of another process is taken over with everyone kept out.
- No transaction is open across the caller's code, snapshots apart.
- From before the first file is opened until the last one is closed, the process is present in the
  folder: so nobody replaces a file that somebody has open.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import os
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar, TypeVarTuple
from weakref import WeakSet

import lmdb

from lmdbstore.disk.databases import Databases, check_is_store, open_databases
from lmdbstore.disk.lmdb_errors import TOO_MANY_READERS, code, map_advice, read_error, write_error
from lmdbstore.errors import (
    EventReadException,
    EventStoreException,
    EventWriteException,
    StoreClosed,
    StoreOpenError,
    shown,
)
from lmdbstore.processes.barrier import Barrier, create_barrier_file
from lmdbstore.processes.opening_lock import turn
from lmdbstore.processes.presence import Presence
from lmdbstore.processes.snapshot_notes import Notes, create_snapshots_file, readers_in
from lmdbstore.threads.gate import Gate
from lmdbstore.write.writer import Writer

from .create import DATA_FILE, check_is_lmdb, flush_folder, provide_lock_file, rights

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from lmdbstore.processes.snapshot_notes import Note, Reader

__all__ = ["DEFAULT_MAP_SIZE", "Environment", "Options", "Snapshot"]

T = TypeVar("T")
A = TypeVarTuple("A")

DEFAULT_MAP_SIZE = 1 << 40  # bytes; costs address space only: no memory, and no space on disk
LEAST_MAP_SIZE = 1 << 26  # bytes; where halving stops
MAX_DATABASES = 16  # named databases; more than there are, for those of later versions
SNAPSHOT_OPEN = (
    "a snapshot of this process is open, which reads the file as it is: close it, and compact then"
)
ATTEMPTS = 10  # at beginning a transaction, each after repairing what kept it from beginning


class Options(NamedTuple):
    """What an environment is opened with; stores that share one must agree on all of it."""

    readonly: bool
    durability: str
    map_size: int | None
    max_readers: int


class Snapshot(Protocol):
    """A holder of a read transaction that stays open across the caller's code."""

    txn: lmdb.Transaction[bytes] | None  # set to None with everyone kept out of LMDB
    note: Note | None  # of it; set to None before


class Environment:
    """One open LMDB folder."""

    def __init__(self, path: str, options: Options) -> None:
        """Open the store in `path`, which must be there. Called under the registry's lock."""
        self.path = path
        self.options = options
        self.pid = os.getpid()
        self.users = 0
        self.gate = Gate()
        self.snapshots: WeakSet[Snapshot] = WeakSet()
        with contextlib.ExitStack() as undo:
            self.presence = Presence(path)
            undo.callback(self.presence.close)
            with turn(path):
                self.lmdb = _open_lmdb(path, options)
            undo.callback(self.lmdb.close)
            check_is_store(self.lmdb, path)
            if not options.readonly:
                create_barrier_file(path, rights(path))  # a copy of the data file alone has none
                create_snapshots_file(path, rights(path))
            self.notes = Notes(path)
            undo.callback(self.notes.close)
            self.barrier = Barrier(path, readonly=options.readonly)
            undo.callback(self.barrier.close)
            self.databases = self._open_databases()
            undo.pop_all()
        self.writer = Writer(self.lmdb, self.databases, self.gate, self.barrier, self.adopt_map)

    def _open_databases(self) -> Databases:
        if self.options.readonly:
            return open_databases(self.lmdb, self.path, readonly=True)
        try:
            self.barrier.lock()
            return open_databases(self.lmdb, self.path, readonly=False)
        except OSError as error:
            raise StoreOpenError(f"the store {self.path!r} could not be locked: {error}") from error
        finally:
            self.barrier.unlock()

    def read(
        self, work: Callable[[lmdb.Transaction[bytes], Databases], T], *, views: bool = False
    ) -> T:
        """Run `work` in a read transaction of its own, and return what it returns.

        With `views` it reads memory views, which end with the transaction, in place of copies.

        Raises:
            StoreClosed: the environment was closed.
            EventReadException: LMDB could not read.
        """
        try:
            return self.gate.run(self._inside, work, views)
        except lmdb.Error as error:
            self._repair(error)
        return self._begun(self._inside, work, views)

    def _inside(self, work: Callable[[lmdb.Transaction[bytes], Databases], T], views: bool) -> T:
        txn: lmdb.Transaction[Any] = self.lmdb.begin(buffers=True) if views else self.lmdb.begin()
        try:  # half the time of a `with` block, which does the same
            return work(txn, self.databases)
        finally:
            txn.abort()

    def begin_snapshot(self, snapshot: Snapshot) -> None:
        """Give `snapshot` a read transaction that stays open; raises what `read` raises."""
        snapshot.note = self.notes.note(self._begun(self._hold, snapshot), self.readers)

    def _hold(self, snapshot: Snapshot) -> int:
        snapshot.txn = self.lmdb.begin()
        self.snapshots.add(snapshot)
        return snapshot.txn.id()

    def readers(self) -> Counter[Reader]:
        """Return who is in LMDB's reader table now; raises what `read` raises."""
        self.ask(lmdb.Environment.reader_check)
        return readers_in(self.ask(lmdb.Environment.readers))

    def _begun(self, begin: Callable[[*A], T], *arguments: *A) -> T:
        """Run what begins a read transaction, mending what keeps it from beginning."""
        for left in reversed(range(ATTEMPTS)):
            try:
                return self.gate.run(begin, *arguments)
            except lmdb.Error as error:
                self._repair(error, last=not left)
        raise EventReadException("the store's map was grown again and again while it was read")

    def _repair(self, error: lmdb.Error, *, last: bool = False) -> None:
        """Mend what kept a read transaction from beginning, or raise what the read raises."""
        if isinstance(error, lmdb.MapResizedError):
            self.adopt_map()
            return
        if last or not isinstance(error, lmdb.ReadersFullError):
            raise read_error(error) from error
        self.ask(
            lambda open_: open_.reader_check()
        )  # frees slots of the dead, if no other thread has

    def adopt_map(self) -> None:
        """Take over the larger map that another process has given the store.

        LMDB ends all read transactions of the process for that, those of snapshots too.
        """
        try:
            self.gate.keep_out(self._adopt)
        except lmdb.Error as error:
            raise read_error(error) from error

    def _adopt(self) -> None:
        if self.gate.closed:
            raise StoreClosed("the store is closed; open it again")
        self._drop_snapshots()
        self.lmdb.set_mapsize(0)

    def ask(self, question: Callable[[lmdb.Environment], T]) -> T:
        """Return what LMDB tells without a transaction; raises what `read` raises."""
        try:
            return self.gate.run(lambda: question(self.lmdb))  # it may be another one inside
        except lmdb.Error as error:
            raise read_error(error) from error

    def flush(self) -> None:
        """Flush to disk what was written; raises EventWriteException."""
        try:
            self.gate.run(lambda: self.lmdb.sync(True))
        except lmdb.Error as error:
            raise write_error(error) from error

    def copy(self, descriptor: int) -> None:
        """Write one state of the data file to a descriptor; raises what `read` raises."""
        try:
            self.gate.run(lambda: self.lmdb.copyfd(descriptor))
        except lmdb.Error as error:
            raise read_error(error) from error

    def replace_file(self, new: str) -> None:
        """Put the file `new` in place of the data file, and open it; everyone is kept out.

        The process is alone in the folder, and the barrier's lock is held. Searches go on in the
        new file. If it cannot be opened, or this is interrupted, the environment is closed.

        Raises:
            OSError: it was not put there, and the old file is open again.
            EventWriteException, StoreOpenError: it could not be done.
        """
        old = os.path.join(self.path, DATA_FILE)
        status = os.stat(old)
        os.chmod(new, rights(self.path))
        if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
            os.chown(new, status.st_uid, status.st_gid)
        refusal = self.gate.keep_out(lambda: self._exchange_or_close(new, old))
        if refusal is not None:
            raise refusal

    def _exchange_or_close(self, new: str, old: str) -> OSError | None:
        self.check_no_snapshot()
        try:
            return self._exchange(new, old)
        except BaseException:
            self.gate.close()
            raise

    def _exchange(self, new: str, old: str) -> OSError | None:
        """Rename, between closing and opening; return why the system refused to."""
        refusal = None
        self.lmdb.close()
        try:
            os.replace(new, old)
        except OSError as error:
            refusal = error
        else:
            self._flush_exchange()
        self.lmdb = _open_lmdb(self.path, self.options, locked=True)
        self.databases = open_databases(self.lmdb, self.path, readonly=False)
        self.writer.use(self.lmdb, self.databases)
        return refusal

    def _flush_exchange(self) -> None:
        try:
            flush_folder(self.path)
        except OSError as error:
            # What was saved from now on would go with the new file.
            raise EventWriteException(
                f"the store {shown(self.path)} has its new file, but its folder could not be "
                f"flushed ({error}), and a power cut may bring the old file back; the store was "
                "closed: see to the disk, and open it again"
            ) from error

    def check_outside(self, kind: type[EventStoreException] = EventWriteException) -> None:
        """Raise an exception of this kind in a thread that is in the middle of a call.

        It is a signal handler, and what it is about to do would wait for what it has interrupted.
        """
        if self.writer.writing_here or self.gate.inside_here:
            raise kind(
                "this cannot be done from within another call of the same thread (from a signal "
                "handler, say), which it would wait for; do it when that call has returned"
            )

    def check_no_snapshot(self) -> None:
        """Raise EventWriteException if a snapshot of this process holds a transaction."""
        if self._snapshots_open:
            gc.collect()  # it may have been forgotten, in a circle of references
            if self._snapshots_open:
                raise EventWriteException(SNAPSHOT_OPEN)

    @property
    def _snapshots_open(self) -> bool:
        return any(snapshot.txn is not None for snapshot in list(self.snapshots))

    def close(self) -> None:
        """Wait for every operation to end, and close. Called under the registry's lock.

        Interrupted, it can be called again.
        """
        if self.writer.writing_here:
            raise EventStoreException(
                "a store cannot be closed from within a write of the same thread (from a signal "
                "handler, say); close it when that has returned"
            )
        self.writer.hold_up(lambda: self.gate.keep_out(self._shut))
        self.notes.close()
        self.barrier.close()  # a reader at the barrier may wait to settle a write
        self.presence.close()

    def _shut(self) -> None:
        self.gate.close()
        self._drop_snapshots()
        self.lmdb.close()

    def abandon(self) -> None:
        """Let go, in a forked child, of what belongs to the parent.

        Closing an environment ends its read transactions in the reader table, which the parent
        shares: so the child first forgets them, which py-lmdb knows not to end in a child.
        """
        self._drop_snapshots()
        self.notes.close()
        self.barrier.abandon()
        self.presence.abandon()
        with contextlib.suppress(
            lmdb.Error
        ):  # it is the parent's business; ours is to be rid of it
            self.lmdb.close()

    def _drop_snapshots(self) -> None:
        for snapshot in list(self.snapshots):
            snapshot.note = snapshot.txn = None


def _open_lmdb(path: str, options: Options, *, locked: bool = False) -> lmdb.Environment:
    check_is_lmdb(path, readonly=options.readonly, locked=locked)
    provide_lock_file(path, options.max_readers)
    size = options.map_size or DEFAULT_MAP_SIZE
    while True:
        try:
            environment = lmdb.open(
                os.fsencode(path),  # as str it would have to be UTF-8
                map_size=size,
                readonly=options.readonly,
                create=False,
                sync=options.durability == "full",
                max_readers=options.max_readers,
                max_dbs=MAX_DATABASES,
            )
            environment.reader_check()
            return environment
        except lmdb.Error as error:
            if not map_advice(error) or options.map_size or size <= LEAST_MAP_SIZE:
                raise _open_error(path, options, error) from error
            size //= 2


def _open_error(path: str, options: Options, error: lmdb.Error) -> StoreOpenError:
    message = f"the store {path!r} could not be opened: {error}"
    if code(error) in (errno.EACCES, errno.EROFS, errno.EPERM) and options.readonly:
        message += (
            "; a reader too must be allowed to write the store's lock.mdb, in which LMDB notes "
            "who reads (nothing else is written)"
        )
    elif code(error) in (errno.EACCES, errno.EROFS, errno.EPERM):
        message += "; to read it only, pass readonly=True"
    elif "already open" in str(error):
        message += "; this process has opened the same files with lmdb itself"
    elif isinstance(error, lmdb.ReadersFullError):  # LMDB cannot look for the dead before it opens
        message = f"{message}; {TOO_MANY_READERS}; a read of any of them frees those of the dead"
    else:
        message += map_advice(error)
    return StoreOpenError(message)
