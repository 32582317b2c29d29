"""`LMDBEventStore`: the public store on disk.

Rules: this is what users call, with what each call guarantees. Every call checks its arguments and
hands on to the session; the work on the whole store is done in `check` and `care`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from .care.compact import Compacted, compact_in_place
from .care.copy import back_up
from .care.purge import Purged, checked_retention, purge
from .care.statistics import StoreStatistics, statistics
from .check.verify import verify_session
from .contract.api import EventStore
from .contract.checking import checked_id
from .disk.folder import FILE_MODE
from .engine.options import (
    MAX_READERS,
    Options,
    between,
    checked_mode,
    checked_progress,
    folder_of,
    one_of,
)
from .engine.session import Session
from .engine.snapshot import Snapshot
from .read.lmdb_view import LMDBView
from .write.delete import Delete
from .write.save import Save, SaveMany
from .write.sign import sign_all

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable
    from uuid import UUID

    from .check.findings import Finding
    from .check.walk import Progress
    from .contract.event import Event
    from .contract.types import Strings

__all__ = ["LMDBEventStore"]

MAP_SIZES = 1 << 20, 1 << 56  # bytes: room for a few hundred events; more than any machine maps
READERS = 1, 1 << 20  # slots of 64 bytes in the lock file

Durability = Literal["full", "none"]
Consistency = Literal["strict", "snapshot"]


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
        durability: Durability = "full",
        consistency: Consistency = "strict",
        signatures: bool = True,
        map_size: int | None = None,
        max_readers: int = MAX_READERS,
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
        self._session = Session(
            self._path,
            Options(
                readonly=one_of("readonly", readonly, (True, False)),
                durability=one_of("durability", durability, ("full", "none")),
                map_size=None if map_size is None else between("map_size", map_size, *MAP_SIZES),
                max_readers=between("max_readers", max_readers, *READERS),
            ),
            create=one_of("create", create, (True, False)),
            strict=one_of("consistency", consistency, ("strict", "snapshot")) == "strict",
            mode=checked_mode(mode),
        )
        signatures = one_of("signatures", signatures, (True, False))
        super().__init__(self._session.read, self._session.begin, signatures=signatures)

    # -- writing ----------------------------------------------------------------------------------

    def save(self, event: Event) -> None:
        """Save one event: all of it or nothing.

        When this returns the event is visible and, with `durability="full"`, flushed to disk.
        Threads that save at the same moment share one flush.

        `event` may be any object with the attributes `id`, `source`, `timestamp`, `tags` and
        `content`, such as a `theia.model.Event`.

        Raises:
            InvalidEvent: the event cannot be stored; nothing was written.
            DuplicateEvent: its id is in the store already; the stored event is untouched.
            StoreFull: the map is full; nothing was written.
            StoreClosed, ReadOnlyStore: the store was closed, or opened with `readonly=True`.
            EventWriteException: the write failed; unless the message says otherwise, nothing was
                written.
        """
        self._session.write(Save(event))

    def save_many(self, events: Iterable[Event]) -> int:
        """Save all of the events or, when anything is wrong with one of them, none.

        Returns how many. It is one transaction, visible and flushed as that of `save`. `events` may
        be a generator; it is read to its end before anything is written, so it may itself read or
        write the store. The events are encoded as they are read, and their encoded form is in
        memory until they are written: for a million small events about as much as a list of them
        takes.

        Raises:
            Exception: what the generator raises; nothing was written.
            InvalidEvent, DuplicateEvent: of one of the events; if more than one is wrong, of any.
            StoreFull, StoreClosed, ReadOnlyStore, EventWriteException: as of `save`.
        """
        self._session.check_writable()
        change = SaveMany(events, signed=self._signatures)
        self._session.write(change)
        return change.number

    def delete(self, event_id: str | UUID) -> None:
        """Delete one event: the event and every trace of it, or nothing.

        When this returns nobody sees the event, but in an older snapshot, and with
        `durability="full"` the deletion is flushed to disk. It works in a store that is full, too,
        unless a snapshot keeps space from being used again.

        Raises:
            EventNotFound: there is no such event.
            InvalidQuery: the id is not a string.
            StoreDamaged: the event is not what was written; nothing was deleted.
            StoreFull, StoreClosed, ReadOnlyStore, EventWriteException: as of `save`.
        """
        self._session.write_freeing(Delete(checked_id(event_id)))

    # -- reading ----------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """Return a view of the store as it is now; use it in a `with` block, or close it.

        It may be used by several threads. It holds a read transaction: while it is open, the space
        of what is deleted cannot be used again, and the file grows instead. It ends with the store,
        and when another process gives the store a larger map.
        """
        return self._track(Snapshot(self._session, signatures=self._signatures))

    def stats(self) -> StoreStatistics:
        """Return what the store holds, and what it takes up; it reads no event but two."""
        return statistics(self._session.after_writes())

    # -- looking after a store --------------------------------------------------------------------

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
        return sign_all(self._session.write, rebuild=one_of("rebuild", rebuild, (True, False)))

    def purge(  # noqa: PLR0913  what shall go, what shall stay
        self,
        *,
        before: float | None = None,
        max_events: int | None = None,
        max_bytes: int | None = None,
        flags: Strings | None = None,
        keep_flags: Strings | None = None,
        dry_run: bool = False,
        progress: Progress | None = None,
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
        return purge(self._session, retention, progress, dry_run=dry_run)

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
            InvalidOption: an argument has no such value.
            StoreClosed: the store was closed.
            EventReadException: the store could not be read.
        """
        pages = one_of("pages", pages, (True, False))
        return verify_session(self._session, pages=pages, progress=checked_progress(progress))

    def backup(
        self,
        path: str | os.PathLike[str],
        *,
        progress: Progress | None = None,
    ) -> int:
        """Make a copy of the store in the new folder `path`; return the bytes of its file.

        Others read and write meanwhile. The copy is one state of the store, with all that was
        acknowledged before the call. It is flushed to disk and verified, pages and records, before
        it is given its name; whatever happens, there is a whole backup at `path` or none. It is a
        store like any other. While it is made, the space of deleted events is not used again. A
        process that is killed leaves a folder `.lmdbstore-…` beside `path`, which may be removed.

        Args:
            path: A folder that is not there yet, or is empty.
            progress: Is called with how many entries of the databases are written, and of how many.

        Raises:
            InvalidOption: an argument has no such value.
            EventWriteException: it could not be made, as where something is at `path` already, or
                the disk is full, or a signal handler has interrupted another call of the same
                thread; the message says why.
            StoreClosed: the store was closed.
            EventReadException: the store could not be read.
        """
        return back_up(self._session, folder_of(path, links=False), checked_progress(progress))

    def compact(self, *, progress: Progress | None = None) -> Compacted:
        """Give the space of free pages back to the disk; return the bytes before and after.

        The store is copied without them into a new file, which is flushed, verified, and takes the
        place of the old one. That needs free space for it. No other process may have the store
        open. In this process writers wait meanwhile, and so do forking, and opening and closing any
        store; readers only wait while the files are exchanged. Searches go on afterwards. Killed at
        any moment, it leaves the old file or the new one, and the next one sweeps away what was
        being made. Interrupted as the files are exchanged, it leaves the store closed.

        Args:
            progress: Is called with how many entries of the databases are written, and of how many.

        Raises:
            InvalidOption: `progress` cannot be called.
            StoreInUse: another process has the store open; the message names it.
            StoreClosed, ReadOnlyStore: as of `save`.
            EventWriteException: a snapshot of this process is open, a signal handler has
                interrupted another call of the same thread, or it could not be done.
        """
        return compact_in_place(self._session, checked_progress(progress))

    def flush(self) -> None:
        """Flush to disk what was written with `durability="none"`.

        Raises:
            StoreClosed: the store was closed.
            EventWriteException: the disk failed.
        """
        self._session.after_writes().flush()

    # -- being open -------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the store, when the operations under way in other threads have ended.

        Every later call raises `StoreClosed`, and so does a search that has not said that it is at
        its end; closing again does nothing. Nothing is left to be flushed. The last store of the
        process on this folder closes the environment.

        Raises:
            EventStoreException: a signal handler interrupts a write of the same thread.
        """
        self._end()
        self._session.close()

    def __repr__(self) -> str:
        """What it is, and where."""
        state = ", closed" if self._closed else ""
        return f"<LMDBEventStore {self._path!r}{state}>"

    def __getstate__(self) -> dict[str, object]:
        """Pickle as the path and the options."""
        session = self._session
        return {
            **session.options._asdict(),
            "path": self._path,
            "create": session.create,
            "consistency": "strict" if session.strict else "snapshot",
            "signatures": self._signatures,
            "mode": session.mode,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Open the store that was pickled."""
        LMDBEventStore.__init__(self, **state)
