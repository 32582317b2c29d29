"""`LMDBEventStore`: the public store on disk.

Rules: it holds its options and no LMDB state of its own but the environment of this process, which
it opens anew after a fork. Every public call checks that the store is open, waits at the barrier
where reads are strict, and hands on.
"""

from __future__ import annotations

import os
import weakref
from contextlib import suppress
from os import getpid
from typing import TYPE_CHECKING, TypeVar

from .api import EventStore
from .changes import Delete, Save, SaveMany, Sign, Turn
from .creation import FILE_MODE
from .environment import Environment, Options, dropped, open_environment, release
from .errors import InvalidOption, ReadOnlyStore, StoreFull, shown
from .event import checked_id
from .pages import page_findings
from .purging import Purge, Purged, checked_retention
from .snapshot import Snapshot
from .statistics import StoreStatistics, statistics
from .verifying import Verification
from .view import LMDBView

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from uuid import UUID

    from lmdb import Transaction

    from .changes import Change
    from .databases import Databases
    from .event import Event
    from .findings import Finding
    from .verifying import Progress

__all__ = ["LMDBEventStore", "folder_of"]

T = TypeVar("T")

MAP_SIZES = 1 << 20, 1 << 56  # bytes: room for a few hundred events; more than any machine maps
READERS = 1, 1 << 20  # slots of 64 bytes in the lock file


class LMDBEventStore(LMDBView, EventStore):
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
        self._create = _one_of("create", create, (True, False))
        self._strict = _one_of("consistency", consistency, ("strict", "snapshot")) == "strict"
        self._signatures = _one_of("signatures", signatures, (True, False))
        self._options = Options(
            readonly=_one_of("readonly", readonly, (True, False)),
            durability=_one_of("durability", durability, ("full", "none")),
            map_size=None if map_size is None else _between("map_size", map_size, *MAP_SIZES),
            max_readers=_between("max_readers", max_readers, *READERS),
        )
        self._mode = _checked_mode(mode)
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

    def sign(self, *, rebuild: bool = False) -> int:
        """Give signatures to the runs of events that have none; return how many events they hold.

        A run is 512 neighbouring events of the timeline, and its signature, mostly of 3 to 16
        bytes an event, tells which pieces of four letters or digits stand in their contents. A
        search for a pattern that needs such pieces (`explain` says whether it does) reads only the
        runs that may have them: what is rare is found without reading the store. `save_many` makes
        signatures as it fills runs; those of events that were saved one by one, or that came
        before older ones, are made here. Runs without a signature are read.

        Args:
            rebuild: Forget all signatures first.

        It writes in transactions of about ten thousand events. Each is atomic, other writes come
        between them, and searches are right at every moment; interrupted, what was signed stays.

        Raises:
            StoreClosed, ReadOnlyStore, EventWriteException: as `save` does.
        """
        change = Sign(rebuild=_one_of("rebuild", rebuild, (True, False)))
        while change.next_key is not None:
            self._write(change)
        return change.signed

    def purge(  # noqa: PLR0913  what shall go, what shall stay
        self,
        *,
        before: float | None = None,
        max_events: int | None = None,
        max_bytes: int | None = None,
        flags: Iterable[str] | None = None,
        keep_flags: Iterable[str] | None = None,
        dry_run: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> Purged:
        """Delete the oldest events: those that are too old, too many, or too large together.

        Of the events that carry all of `flags` and none of `keep_flags`, in time order, it deletes
        those before the time `before`, and more while there are more than `max_events`, or while
        the store takes up more than `max_bytes`. At least one of these three must be given.

        It writes in transactions of at most 1,000 events, and of about 4 MiB of records. Each is
        atomic and, with `durability="full"`, flushed; other writes come between them. If it is
        interrupted, killed or fails, what went is gone for good, the rest is untouched, and
        calling it again goes on. What is saved while it runs is left for the next time. The file
        does not shrink: its space is used again.

        Args:
            before: Seconds since 1970, exclusive; an infinite one is over or below all events.
            max_events: How many events may be left of those that carry all of `flags` (of all
                events, without `flags`). Those with a flag of `keep_flags` count, and stay; so
                there may be more left.
            max_bytes: How many bytes the pages of all databases may take up (the sum of
                `stats().databases`). Events that stay count here too.
            flags: Delete only events that carry all of these.
            keep_flags: Delete no event that carries any of these.
            dry_run: Write nothing, and return what would go: exactly, as the store is now, but for
                `max_bytes`, where it is estimated by the mean size of an event. It may be done
                with `readonly=True`.
            progress: Called after each transaction, outside of it, with the number of events that
                went and about how many will.

        Raises:
            InvalidQuery: an argument is not acceptable, or none says what shall go.
            StoreDamaged: an event that shall go is not what was written; the events before it, but
                for a last piece of them, are gone.
            StoreFull: the store is so full that not even one event can be deleted.
            StoreClosed, ReadOnlyStore, EventWriteException, EventReadException: as usual.
        """
        retention = checked_retention(
            before, max_events, max_bytes, flags, keep_flags, dry_run=dry_run, progress=progress
        )
        if not dry_run:
            self._check_writable()
        self._after_writes()
        purge = Purge(self._read, self._write_in_full, retention, progress)
        return purge.rehearse() if dry_run else purge.run()

    def _write(self, change: Change) -> None:
        self._check_writable()
        self._current().writer.write(change)

    def apply(self, change: Change) -> None:
        """Carry out a change of the package's own."""
        self._write(change)

    def flush(self) -> None:
        """Flush to disk what was written with `durability="none"`.

        Raises:
            StoreClosed: the store was closed.
            EventWriteException: the disk failed.
        """
        self._current().flush()

    def _write_in_full(self, change: Change) -> None:
        """Write what makes room, in a store that may be full."""
        try:
            self._write(change)
        except StoreFull:
            self._write(Turn())
            self._write(change)

    def _check_writable(self) -> None:
        self._check_open()
        if self._options.readonly:
            raise ReadOnlyStore(
                f"the store {self._path!r} was opened with readonly=True; open it without"
            )

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

    def verify(self, *, pages: bool = False, progress: Progress | None = None) -> list[Finding]:
        """Compare every record with every index, and back; return all that is wrong.

        It also looks at checksums, orders, counts, signatures, the format version and the next
        local id. One state of the store is looked at, as of a snapshot; the file may grow
        meanwhile. It takes about ten times as long as a search of everything, and little memory.

        Args:
            pages: Look at the pages of the file first, while writers wait. If any is damaged,
                records are not compared: LMDB might end the process.
            progress: Is called with how many events are done, and of how many, now and then.

        Raises:
            StoreClosed: the store was closed.
            EventReadException: the store could not be read.
        """
        self._check_open()
        if _one_of("pages", pages, (True, False)) and (found := page_findings(self._path)):
            return found
        with self.snapshot() as view:
            return Verification(view.run, progress).run()

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


def folder_of(path: object) -> str:
    """Return the folder that a path names, without links; raises InvalidOption."""
    with suppress(TypeError, ValueError, OSError):  # the last: where the current folder is gone
        folder = os.fsdecode(os.fspath(path))  # type: ignore[call-overload]  # what else it may be is refused
        if folder and "\0" not in folder:
            return os.path.realpath(folder)
    raise InvalidOption(f"path: {shown(path)} is not a path; pass the folder as a str or a Path")


def _one_of(name: str, value: object, allowed: tuple[T, ...]) -> T:
    for known in allowed:
        if type(value) is type(known) and value == known:
            return known
    choices = " or ".join(map(repr, allowed))
    raise InvalidOption(f"{name}: {shown(value)} is not known; pass {choices}")


def _checked_mode(mode: object) -> int:
    if isinstance(mode, int) and not isinstance(mode, bool) and mode & ~0o066 == FILE_MODE:
        return int(mode)
    known = oct(mode) if isinstance(mode, int) else shown(mode)
    raise InvalidOption(
        f"mode: {known} are no rights of a file that its owner may read and write; pass 0o600, "
        "0o660 or the like"
    )


def _between(name: str, value: object, least: int, most: int) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
        return int(value)
    raise InvalidOption(
        f"{name}: {shown(value)} is not acceptable; pass a whole number from {least:,} to {most:,}"
    )
