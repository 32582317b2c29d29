"""The environment: one open LMDB folder of this process, shared by all stores on it.

Rules, each after a trap of LMDB:
- The same files are opened once in a process: stores on one path share an environment, counted.
- All named databases are opened at the start, inside one transaction.
- The map is 1 TiB from the start and never grown here; where the address space is too small it is
  halved until it fits. A larger map of another process is taken over with everyone kept out.
- No transaction is open across the caller's code, snapshots apart.
- From before the first file is opened until the last one is closed, the process is present in the
  folder: so nobody replaces a file that somebody has open.
- A forked child touches nothing of its parent's: it drops what it inherited and opens the store
  anew when it is first used. While the process forks, no thread of it is inside LMDB.
"""

from __future__ import annotations

import _thread
import contextlib
import errno
import os
import threading
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar, TypeVarTuple
from weakref import WeakSet

import lmdb

from .barrier import Barrier, create_barrier_file
from .creation import (
    DATA_FILE,
    FILE_MODE,
    check_is_lmdb,
    check_plain,
    create_store,
    provide_lock_file,
    rights,
)
from .databases import Databases, check_is_store, open_databases
from .errors import (
    EventReadException,
    EventStoreException,
    InvalidOption,
    StoreClosed,
    StoreOpenError,
    shown,
)
from .faults import code, read_error, write_error
from .gate import Gate
from .opening import turn
from .presence import Presence
from .writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["DEFAULT_MAP_SIZE", "Environment", "Options", "Snapshot", "open_environment", "release"]

T = TypeVar("T")
A = TypeVarTuple("A")

DEFAULT_MAP_SIZE = 1 << 40  # bytes; costs address space only: no memory, and no space on disk
LEAST_MAP_SIZE = 1 << 26  # bytes; where halving stops
MAX_DATABASES = 16  # named databases; more than there are, for those of later versions
ATTEMPTS = 10  # at beginning a transaction, each after repairing what kept it from beginning


class Options(NamedTuple):
    """What an environment is opened with; stores that share one must agree on all of it."""

    readonly: bool
    durability: str
    map_size: int | None
    max_readers: int


class Figures(NamedTuple):
    """What LMDB tells of an environment as a whole."""

    map_bytes: int  # what the file may grow to
    map_used: int  # bytes that have ever been used
    readers: int  # slots of the reader table with a transaction open, over all processes
    max_readers: int


class Snapshot(Protocol):
    """A holder of a read transaction that stays open across the caller's code."""

    txn: lmdb.Transaction[bytes] | None  # set to None with everyone kept out of LMDB


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
        self._begun(self._hold, snapshot)

    def _hold(self, snapshot: Snapshot) -> None:
        snapshot.txn = self.lmdb.begin()
        self.snapshots.add(snapshot)

    def _begun(self, begin: Callable[[*A], T], *arguments: *A) -> T:
        """Run what begins a read transaction, mending what keeps it from beginning."""
        for _ in range(ATTEMPTS):
            try:
                return self.gate.run(begin, *arguments)
            except lmdb.Error as error:
                self._repair(error)
        raise EventReadException("the store's map was grown again and again while it was read")

    def _repair(self, error: lmdb.Error) -> None:
        """Mend what kept a read transaction from beginning, or raise what the read raises."""
        if isinstance(error, lmdb.MapResizedError):
            self.adopt_map()
            return
        full = isinstance(error, lmdb.ReadersFullError)
        if not (full and self.gate.run(self.lmdb.reader_check)):  # slots of the dead are free now
            raise read_error(error) from error

    def adopt_map(self) -> None:
        """Take over the larger map that another process has given the store.

        LMDB ends all read transactions of the process for that, those of snapshots too.
        """
        self.gate.bar()
        try:
            if self.gate.closed:
                raise StoreClosed("the store is closed; open it again")
            self._drop_snapshots()
            self.lmdb.set_mapsize(0)
        except lmdb.Error as error:
            raise read_error(error) from error
        finally:
            self.gate.unbar()

    def figures(self) -> Figures:
        """Return what LMDB tells of the environment as a whole; raises what `read` raises."""
        try:
            info, readers = self.gate.run(lambda: (self.lmdb.info(), self.lmdb.readers()))
            page = self.gate.run(self.lmdb.stat)["psize"]
        except lmdb.Error as error:
            raise read_error(error) from error
        # A line for each slot, under a heading; it ends with "-" where no transaction is open.
        in_use = sum(1 for line in readers.splitlines()[1:] if not line.rstrip().endswith("-"))
        used = (info["last_pgno"] + 1) * page
        return Figures(info["map_size"], used, in_use, info["max_readers"])

    def flush(self) -> None:
        """Flush to disk what was written; raises EventWriteException."""
        try:
            self.gate.run(self.lmdb.sync, True)
        except lmdb.Error as error:
            raise write_error(error) from error

    def close(self) -> None:
        """Wait for every operation to end, and close. Called under the registry's lock.

        Interrupted, it can be called again.
        """
        if self.writer.writing_here:
            raise EventStoreException(
                "a store cannot be closed from within a write of the same thread (from a signal "
                "handler, say); close it when that has returned"
            )
        self.writer.hold_up(self._shut)
        self.barrier.close()  # a reader at the barrier may wait to settle a write
        self.presence.close()

    def _shut(self) -> None:
        self.gate.bar()
        try:
            self.gate.close()
            self._drop_snapshots()
            self.lmdb.close()
        finally:
            self.gate.unbar()

    def abandon(self) -> None:
        """Let go, in a forked child, of what belongs to the parent.

        Closing an environment ends its read transactions in the reader table, which the parent
        shares: so the child first forgets them, which py-lmdb knows not to end in a child.
        """
        self._drop_snapshots()
        self.barrier.abandon()
        self.presence.abandon()
        with contextlib.suppress(
            lmdb.Error
        ):  # it is the parent's business; ours is to be rid of it
            self.lmdb.close()

    def _drop_snapshots(self) -> None:
        for snapshot in list(self.snapshots):
            snapshot.txn = None


def _open_lmdb(path: str, options: Options) -> lmdb.Environment:
    check_is_lmdb(path, readonly=options.readonly)
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
            too_large = isinstance(error, lmdb.MemoryError) or code(error) in _NO_ROOM
            if not too_large or options.map_size or size <= LEAST_MAP_SIZE:
                raise _open_error(path, options, error) from error
            size //= 2


# What mapping a file fails with when the address space, or a limit on it, is too small.
_NO_ROOM = (errno.ENOMEM, errno.EINVAL, errno.EFBIG, errno.EOVERFLOW)


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
    elif isinstance(error, lmdb.MemoryError) or code(error) in _NO_ROOM:
        message += "; the address space is too small for the map: pass a smaller map_size"
    return StoreOpenError(message)


# -- the environments of this process ---------------------------------------------------------

_registry: dict[tuple[int, int], Environment] = {}  # by the data file's device and inode
_registry_lock = threading.RLock()


def open_environment(
    path: str, options: Options, *, create: bool, mode: int = FILE_MODE
) -> Environment:
    """Return the environment on `path`, opened or shared; give it back with `release`.

    `mode` are the rights of the files of a store that is made.

    Raises:
        StoreOpenError: the store is not there and may not be made, or cannot be opened.
        InvalidOption: it is open in this process with another option.
    """
    with _registry_lock:
        _release_dropped()
        check_plain(path)
        if _identity(path) is None:
            create_store(
                path,
                create=create,
                readonly=options.readonly,
                max_readers=options.max_readers,
                mode=mode,
            )
        identity = _identity(path)
        if identity is None:
            raise StoreOpenError(f"the store {path!r} was removed while it was being opened")
        environment = _registry.get(identity)
        if environment is not None and environment.gate.closed:
            environment.close()  # this was interrupted
            environment = None
        if environment is None:
            environment = Environment(path, options)
            # By what the file is now: until it was opened, another process might replace it.
            _registry[_identity(path) or identity] = environment
        else:
            _check_agreement(path, environment.options, options)
        environment.users += 1
        return environment


def release(environment: Environment) -> None:
    """Give an environment back; the last user closes it. Interrupted, it was not given back."""
    with _registry_lock:
        if environment.users == 1:
            environment.close()
            for identity, known in list(_registry.items()):
                if known is environment:
                    del _registry[identity]
        environment.users -= 1


# Environments of stores that were dropped and not closed. A finalizer may run anywhere, inside of
# an operation too, so it only notes them here, and the next opening gives them back.
dropped: list[Environment] = []


def _release_dropped() -> None:
    while dropped:
        environment = dropped[0]  # it stays until it is released; others are added behind it
        if environment.pid == os.getpid():
            release(environment)
        dropped.remove(environment)


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(os.path.join(path, DATA_FILE))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise StoreOpenError(f"the store {shown(path)} could not be opened: {error}") from error
    return status.st_dev, status.st_ino


def _check_agreement(path: str, present: Options, wanted: Options) -> None:
    for name, has, wants in zip(Options._fields, present, wanted, strict=True):
        if has != wants:
            raise InvalidOption(
                f"{name}: {shown(wants)} contradicts {shown(has)}, with which this process has "
                f"the store {path!r} open; pass the same, or close the other store first"
            )


# -- fork -------------------------------------------------------------------------------------


_barred: list[Environment] = []  # by the fork that is under way


def _before_fork() -> None:
    """Keep everyone out of LMDB; Ctrl-C must wait, for a fork cannot be called off here."""
    interrupted: BaseException | None = None
    _registry_lock.acquire()
    for environment in list(_registry.values()):
        while environment not in _barred:
            try:
                environment.gate.bar(forking=True)
                _barred.append(environment)
            except BaseException as error:  # noqa: BLE001  raised below
                interrupted = error
    if isinstance(interrupted, KeyboardInterrupt):
        _thread.interrupt_main()
    elif interrupted is not None:
        raise interrupted


def _after_fork_in_parent() -> None:
    try:
        while _barred:
            _barred.pop().gate.unbar()
    finally:
        _registry_lock.release()


def _after_fork_in_child() -> None:
    global _registry_lock  # noqa: PLW0603  the inherited one is held by a thread that is not here
    _registry_lock = threading.RLock()
    inherited = list(_registry.values())
    _registry.clear()
    _barred.clear()
    dropped.clear()
    for environment in inherited:
        environment.abandon()


os.register_at_fork(
    before=_before_fork,
    after_in_parent=_after_fork_in_parent,
    after_in_child=_after_fork_in_child,
)
