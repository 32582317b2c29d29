"""`LMDBEventStore`: the public store on disk.

Rules: it holds its options and no LMDB state of its own but the environment of this process, which
it opens anew after a fork. Every public call checks that the store is open, waits at the barrier
where reads are strict, and hands on.
"""

from __future__ import annotations

import os
import weakref
from os import getpid
from typing import TYPE_CHECKING, TypeVar

from .care.statistics import StoreStatistics, statistics
from .care.upkeep import Upkeep
from .contract.api import EventStore
from .contract.event import checked_id
from .engine.create import FILE_MODE
from .engine.environment import Environment, Options
from .engine.options import between, checked_mode, folder_of, one_of
from .engine.registry import dropped, open_environment, release
from .engine.snapshot import Snapshot
from .errors import ReadOnlyStore
from .write.changes import Delete, Save, SaveMany

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from uuid import UUID

    from lmdb import Transaction

    from .contract.event import Event
    from .disk.databases import Databases
    from .write.changes import Change

__all__ = ["LMDBEventStore"]

T = TypeVar("T")

MAP_SIZES = 1 << 20, 1 << 56  # bytes: room for a few hundred events; more than any machine maps
READERS = 1, 1 << 20  # slots of 64 bytes in the lock file


class LMDBEventStore(Upkeep, EventStore):
    """An event store in a folder, on LMDB.

    Any number of threads may use one store object, and any number of processes on the same machine
    one folder; one write happens at a time, and readers never hold it up. The folder must be on a
    local file system. Opening the same folder again in a process shares what is open.

    Durable: with `durability="full"` a write is flushed to disk when its call returns, and survives
    a crash of the machine. With `"none"` it is left to the operating system: it survives a crash
    of the process, but a crash of the machine may lose the last writes, or damage the file.

    Visible: when the call that wrote it returns, at the latest, to every thread and process. With
    `consistency="strict"` a read that begins while a write is under way anywhere waits for its
    end. With `"snapshot"` it never waits, and sees the last state that was committed; a write that
    has returned is seen all the same. If a writing process dies, the first strict reader that may
    write settles what it left; a reader with `readonly=True` goes on at once with the state before
    that write, which was never acknowledged, and may see it appear when somebody settles it. A
    read from within a write of the same thread (by a signal handler) sees the state before it.

    A store pickles as its path and options, and opens when it is unpickled. After `fork` the child
    opens the folder for itself at its first call; a snapshot does not pass on to the child.
    """

    def __init__(  # noqa: PLR0913
        self,
        path: str | os.PathLike[str],
        *,
        create: bool = True,
        readonly: bool = False,
        durability: str = "full",
        consistency: str = "strict",
        signatures: bool = True,
        map_size: int | None = None,
        max_readers: int = 4096,
        mode: int = FILE_MODE,
    ) -> None:
        """Open the store in the folder `path`.

        Args:
            path: The folder; a new store makes it, for its owner alone (mode 0700), in a folder
                that is there.
            create: Make a store if there is none.
            readonly: Open without the right to write; the store must be there.
            durability: `"full"` or `"none"`; see the class.
            consistency: `"strict"` or `"snapshot"`; see the class.
            signatures: Whether searches for patterns leave out what the signatures of runs exclude,
                and `save_many` makes them; see `sign`.
            map_size: Bytes that the store may grow to; None for 1 TiB, or less where the address
                space is short. It takes no memory and no space on disk. The last 256 KiB are left
                for deleting, so that a full store can be emptied.
            max_readers: Read transactions that may be open at once, over all processes; the first
                process that opens the store decides.
            mode: The rights of the files of a store that is made, whatever the umask: for its
                owner alone unless asked otherwise. A folder that is made gets the rights to look
                into it beside those to read. Who shall read a store must be allowed to write too
                (`0o660`), as LMDB notes readers in a file.

        Raises:
            InvalidOption: an option has no such value, or contradicts the one with which this
                process has the store open already (`consistency` and `signatures` may differ).
            StoreOpenError: the store is not there, is not one, is of another format version, or
                the operating system refuses.
        """
        self._path = folder_of(path)
        self._create = one_of("create", create, (True, False))
        self._strict = one_of("consistency", consistency, ("strict", "snapshot")) == "strict"
        self._signatures = one_of("signatures", signatures, (True, False))
        self._options = Options(
            readonly=one_of("readonly", readonly, (True, False)),
            durability=one_of("durability", durability, ("full", "none")),
            map_size=None if map_size is None else between("map_size", map_size, *MAP_SIZES),
            max_readers=between("max_readers", max_readers, *READERS),
        )
        self._mode = checked_mode(mode)
        self._open()

    def _open(self) -> None:
        super().__init__()
        self._use(open_environment(self._path, self._options, create=self._create, mode=self._mode))

    def _use(self, environment: Environment) -> None:
        self._environment = environment
        self._forget = weakref.finalize(self, dropped.append, environment)
        self._forget.atexit = False

    # -- writing ----------------------------------------------------------------------------------

    def save(self, event: Event) -> None:
        """Save one event, atomically; flushed to disk when this returns. See `EventStore.save`.

        Threads that save at the same moment share one flush.
        """
        self._write(Save(event))

    def save_many(self, events: Iterable[Event]) -> int:
        """Save all of the events or none, in one transaction. See `EventStore.save_many`.

        The events are encoded as they are read, and their encoded form is in memory until they
        are written: for a million small events about as much as a list of them takes.
        """
        self._check_writable()
        change = SaveMany(events, signed=self._signatures)
        self._write(change)
        return change.number

    def delete(self, event_id: str | UUID) -> None:
        """Delete one event and every index entry of it, atomically. See `EventStore.delete`.

        A store that is full can do it too, unless a snapshot keeps space from being used again.
        """
        self._write_in_full(Delete(checked_id(event_id)))

    def _write(self, change: Change) -> None:
        self._check_writable()
        self._current().writer.write(change)

    def _check_writable(self) -> None:
        self._check_open()
        if self._options.readonly:
            raise ReadOnlyStore(
                f"the store {self._path!r} was opened with readonly=True; open it without"
            )

    def _open_at(self, folder: str) -> LMDBEventStore:
        return LMDBEventStore(folder, create=False, readonly=True, consistency="snapshot")

    def _build_at(self, folder: str) -> LMDBEventStore:
        return LMDBEventStore(folder, durability="none", signatures=False)

    # -- reading ----------------------------------------------------------------------------------

    def _read(
        self, work: Callable[[Transaction[bytes], Databases], T], *, views: bool = False
    ) -> T:
        return self._current().read(work, views=views)

    def _begin(self, work: Callable[[Transaction[bytes], Databases], T]) -> T:
        environment = self._environment
        # What nearly always holds, and is asked once a read: nothing has to be waited for.
        if self._closed or environment.pid != getpid() or (self._strict and environment.barrier.up):
            environment = self._after_writes()
        return environment.read(work)

    def _after_writes(self) -> Environment:
        environment = self._current()
        if self._strict and environment.barrier.up and not environment.writer.writing_here:
            environment.barrier.wait(environment.writer.settle)
        return environment

    def snapshot(self) -> Snapshot:
        """Return a view of the store as it is now; use it in a `with` block, or close it.

        It may be used by several threads. It holds a read transaction: while it is open, the space
        of what is deleted cannot be used again, and the file grows instead. It ends with the store,
        and when another process gives the store a larger map.
        """
        return self._track(Snapshot(self._after_writes(), self, signatures=self._signatures))

    def stats(self) -> StoreStatistics:
        """Return what the store holds, and what it takes up; it reads no event but two."""
        return statistics(self._after_writes())

    # -- being open -------------------------------------------------------------------------------

    def _current(self) -> Environment:
        """Return the environment of this process, opened anew after a fork."""
        self._check_open()
        environment = self._environment
        return environment if environment.pid == os.getpid() else self._reopened()

    def _reopened(self) -> Environment:
        with self._opening.lock:
            self._check_open()
            if self._environment.pid != os.getpid():
                environment = open_environment(self._path, self._options, create=False)
                self._forget.detach()
                self._use(environment)
            return self._environment

    def close(self) -> None:
        """Close the store, when the operations under way in other threads have ended.

        See `EventStore.close`. Nothing is left to be flushed. The last store of the process on
        this folder closes the environment.
        """
        self._end()
        with self._opening.lock:
            if self._forget.alive and self._environment.pid == os.getpid():
                release(self._environment)
            self._forget.detach()

    def __repr__(self) -> str:
        """What it is, and where."""
        state = ", closed" if self._closed else ""
        return f"<LMDBEventStore {self._path!r}{state}>"

    def __getstate__(self) -> dict[str, object]:
        """Pickle as the path and the options."""
        kept = ("_path", "_create", "_strict", "_signatures", "_options", "_mode")
        return {name: getattr(self, name) for name in kept}

    def __setstate__(self, state: dict[str, object]) -> None:
        """Open the store that was pickled."""
        self.__dict__.update(state)
        self._open()
