"""`LMDBEventStore`: the public store on disk.

Rules: these are the calls of users, and each docstring states what the call guarantees. Every call
checks its arguments and passes them to the session; `check` and `care` work on the whole store.
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
    may use one folder. One write happens at a time, and readers never delay it. The folder must be
    on a local file system. Stores on the same folder share one open environment in a process.

    Durable: with `durability="full"` a write is flushed to disk when its call returns, and survives
    a crash of the machine. With `"none"` the operating system flushes: a write survives a crash of
    the process, but a crash of the machine may lose the last writes, or damage the file.

    Visible: a write is visible to every thread and process when its call returns, or earlier. With
    `consistency="strict"` a read that begins while any write is under way waits for its end. With
    `"snapshot"` it never waits and sees the last committed state, which includes every write that
    has returned. If a writing process dies, the first strict reader that may write settles the
    unfinished write. A reader with `readonly=True` continues at once with the state before that
    write, which was never acknowledged; the write may appear when another process settles it. A
    read inside a write of the same thread (by a signal handler) sees the state before the write.

    A store pickles as its path and options, and opens when it is unpickled. After `fork` the child
    opens the folder for itself at its first call; the child cannot use the parent's snapshots.
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
            path: The folder. Creating a store makes it, for its owner alone (mode 0700); its
                parent must exist.
            create: Create a store if there is none.
            readonly: Open without the right to write; the store must exist. On a read-only medium
                or mount this keeps out processes that may write, because LMDB cannot list its
                readers there.
            durability: `"full"` or `"none"`; see the class.
            consistency: `"strict"` or `"snapshot"`; see the class.
            signatures: Whether pattern searches skip runs that their signatures exclude, and
                whether `save_many` makes signatures; see `sign`.
            map_size: Bytes that the store may grow to; None for 1 TiB, or less if the address space
                is too small. The map takes no memory and no disk space. The last 256 KiB are
                reserved for deletes, so that a full store can be emptied.
            max_readers: Read transactions that may be open at once, over all processes; the first
                process that opens the store decides.
            mode: The rights of the files of a new store, whatever the umask; by default 0o600, for
                its owner alone. Every user with the right to read may also enter a new folder. To
                read a store takes the right to write too (`0o660`), because LMDB notes readers in a
                file. In a folder that exists they get its owner and group, if this process may give
                files to them.

        Raises:
            InvalidOption: an option has an invalid value, or differs from the one with which this
                process has the store open already (`consistency` and `signatures` may differ).
            StoreInUse: the store is being compacted or repaired; or a process has it open that this
                one would damage: its `lock.mdb` or `barrier` was removed since, or one of the two
                writes and the other one reads on a read-only mount; or it has the same process id,
                in another pid namespace. The message names the processes and the remedy.
            StoreOpenError: the folder does not exist, is not a store, has another format version,
                or the operating system refuses.
        """
        self._path = folder_of(path)
        self._when_closed = f"the store {self._path!r} is closed; open it again"
        signatures = one_of("signatures", signatures, (True, False))
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
        """Save all of the events, or none if one of them is invalid; return how many.

        It is one transaction, visible and flushed like that of `save`. `events` may be a generator.
        It is read to its end before anything is written, so it may itself read or write the store.
        The events are encoded as they are read, and their encoded form stays in memory until they
        are written: for a million small events it takes about as much as a list of them.

        Raises:
            Exception: any exception of the generator; nothing was written.
            InvalidEvent, DuplicateEvent: for one of the events; if several are wrong, for any.
            StoreFull, StoreClosed, ReadOnlyStore, EventWriteException: as `save` does.
        """
        self._session.check_writable()
        change = SaveMany(events, signed=self._signatures)
        self._session.write(change)
        return change.number

    def delete(self, event_id: str | UUID) -> None:
        """Delete one event: the event and every trace of it, or nothing.

        When this returns no one sees the event, except in an older snapshot, and with
        `durability="full"` the deletion is flushed to disk. It also works in a full store, unless a
        snapshot keeps space from being used again.

        Raises:
            EventNotFound: there is no such event.
            InvalidQuery: the id is neither a string nor a UUID.
            StoreDamaged: the event is not what was written; nothing was deleted.
            StoreFull, StoreClosed, ReadOnlyStore, EventWriteException: as `save` does.
        """
        self._session.write_freeing(Delete(checked_id(event_id)))

    # -- reading ----------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """Return a view of the store as it is now; use it in a `with` block, or close it.

        Several threads may use it. It holds a read transaction: while it is open, the space of
        deleted events cannot be used again, and the file grows instead. It ends with the store,
        and when another process gives the store a larger map.
        """
        return self._track(Snapshot(self._session, signatures=self._signatures))

    def stats(self) -> StoreStatistics:
        """Return how much the store holds, and how much space it takes; no record is read."""
        return statistics(self._session.after_writes())

    # -- maintenance ------------------------------------------------------------------------------

    def sign(self, *, rebuild: bool = False) -> int:
        """Give signatures to the runs of events that have none; return how many events they hold.

        A run is 512 neighbouring events of the timeline. Its signature, mostly of 3 to 16 bytes an
        event, says which sequences of four letters or digits occur in their contents. A search for
        a pattern that needs such sequences (`explain` says whether it does) reads only the runs
        that may have them, so rare text is found without reading the store. `save_many` makes
        signatures as it fills runs. This call makes those of events that were saved one by one, or
        out of time order. Runs without a signature are read.

        Args:
            rebuild: Remove all signatures first.

        It writes in transactions of about ten thousand events. Each is atomic, and other writes may
        come between them. Searches are correct throughout. If interrupted, signatures made remain.

        Raises:
            StoreClosed, ReadOnlyStore, EventWriteException: as `save` does.
        """
        return sign_all(self._session.write, rebuild=one_of("rebuild", rebuild, (True, False)))

    def purge(  # noqa: PLR0913  the limits of a purge
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
        those before the time `before`. It deletes more while there are more than `max_events`, or
        while the store takes up more than `max_bytes`. At least one of these three must be given.

        It writes in transactions of at most 1,000 events, and of about 4 MiB of records. Each is
        atomic and, with `durability="full"`, flushed; other writes may come between them. If it is
        interrupted, killed or fails, deleted events are gone for good, the rest is unchanged, and
        the next call continues. Events saved while it runs are left for the next call. The file
        does not shrink: its space is used again.

        Args:
            before: Seconds since 1970, exclusive; infinity is after or before all events.
            max_events: How many events may remain of those that carry all of `flags` (of all
                events, without `flags`). Events with a flag of `keep_flags` count, and stay, so
                more may remain.
            max_bytes: How many bytes the pages of all databases may take up (the sum of
                `stats().databases`). Events that stay count here too.
            flags: Delete only events that carry all of these.
            keep_flags: Delete no event that carries any of these.
            dry_run: Write nothing, and return what would be deleted: exactly, for the store as it
                is now, except that `max_bytes` is estimated by the mean size of an event. It works
                with `readonly=True` too.
            progress: Called after each transaction, outside of it, with the number of events
                deleted so far and about how many will be.

        Raises:
            InvalidQuery: an argument is invalid, or none says which events to delete.
            StoreDamaged: an event to be deleted is not what was written; the events before it are
                deleted, except for a last piece of them.
            StoreFull: the store is so full that not even one event can be deleted.
            StoreClosed, ReadOnlyStore, EventWriteException, EventReadException: as usual.
        """
        retention = checked_retention(
            before, max_events, max_bytes, flags, keep_flags, dry_run=dry_run, progress=progress
        )
        return purge(self._session, retention, progress, dry_run=dry_run)

    def verify(self, *, pages: bool = False, progress: Progress | None = None) -> list[Finding]:
        """Compare every record with every index, and back; return everything that is wrong.

        It also checks checksums, orders, counts, signatures, the format version and the next local
        id. It reads one state of the store, like a snapshot, and the file may grow in the meantime.
        It takes about ten times as long as a search of everything, and little memory.

        Args:
            pages: Check the pages of the file first, while writers wait. If any is damaged,
                records are not compared: LMDB might end the process.
            progress: Called from time to time with the number of events done and their total.

        Raises:
            InvalidOption: an argument has an invalid value.
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
        """Copy the store into the new folder `path`; return the bytes of the copy's file.

        Others may read and write in the meantime. The copy is one state of the store, with every
        write acknowledged before the call. It is flushed to disk and verified, pages and records,
        before it gets its name: in every case there is a whole backup at `path`, or none.
        It is a store like any other. While it is made, the space of deleted events is not used
        again. A killed process leaves a folder `.lmdbstore-…` next to `path`, which may be removed.

        Args:
            path: A folder that does not exist yet, or is empty.
            progress: Called with the number of database entries written and their total.

        Raises:
            InvalidOption: an argument has an invalid value.
            EventWriteException: it could not be made, for example because something is at `path`
                already, the disk is full, or a signal handler has interrupted another call of the
                same thread; the message says why.
            StoreClosed: the store was closed.
            EventReadException: the store could not be read.
        """
        return back_up(self._session, folder_of(path, links=False), checked_progress(progress))

    def compact(self, *, progress: Progress | None = None) -> Compacted:
        """Give the space of free pages back to the disk; return the bytes before and after.

        The store is copied without free pages into a new file, which is flushed and verified and
        then replaces the old one. The new file needs free disk space. No other process may have the
        store open. In this process writers, `fork`, and opening or closing any store wait until the
        end; readers wait only while the files are exchanged. Searches then continue. If it is
        killed, the old file or the new one is in place, and the next compaction removes the rest.
        If it is interrupted while the files are exchanged, the store is closed.

        Args:
            progress: Called with the number of database entries written and their total.

        Raises:
            InvalidOption: `progress` cannot be called.
            StoreInUse: another process has the store open; the message names it.
            StoreClosed, ReadOnlyStore: as `save` does.
            EventWriteException: a snapshot of this process is open, a signal handler has
                interrupted another call of the same thread, or it failed.
        """
        return compact_in_place(self._session, checked_progress(progress))

    def flush(self) -> None:
        """Flush to disk the writes made with `durability="none"`.

        Raises:
            StoreClosed: the store was closed.
            EventWriteException: the disk failed.
        """
        self._session.after_writes().flush()

    # -- closing and pickling ---------------------------------------------------------------------

    def close(self) -> None:
        """Close the store, after the operations under way in other threads have ended.

        Every later call raises `StoreClosed`, and so does a search that has not reported its end.
        Closing again does nothing. Nothing remains to be flushed. The last store of the process on
        this folder closes the environment.

        Raises:
            EventStoreException: a signal handler interrupts a write of the same thread.
        """
        self._session.end()  # first: what is under way then ends at its next page
        self._end()
        self._session.close()

    def __repr__(self) -> str:
        """Show the path, and whether the store is closed."""
        state = ", closed" if self._closed else ""
        return f"<LMDBEventStore {getattr(self, '_path', None)!r}{state}>"

    def __getstate__(self) -> dict[str, object]:
        """Pickle as the path and the options; a subclass may add to the state."""
        session = self._session
        arguments = {
            **session.options._asdict(),
            "path": self._path,
            "create": session.create,
            "consistency": "strict" if session.strict else "snapshot",
            "signatures": self._signatures,
            "mode": session.mode,
        }
        return {"arguments": arguments}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Open the store that was pickled."""
        LMDBEventStore.__init__(self, **state["arguments"])
        self.__dict__.update({name: value for name, value in state.items() if name != "arguments"})
