"""`LMDBEventStore`: the public store on disk.

Rules: these are the calls of users, and each docstring states what the call guarantees. Every call
checks its arguments and passes them to the session; `check` and `care` work on the whole store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from .care.calls import MaintenanceCalls
from .care.statistics import StoreStatistics, statistics
from .contract.api import EventStore
from .contract.checking import (
    checked_checkpoints,
    checked_id,
    checked_ids,
    checked_on_duplicate,
)
from .contract.watching.api import YEAR_5000
from .disk.folder import FILE_MODE
from .engine.session import Session
from .engine.snapshot import Snapshot
from .errors import DuplicateEvent
from .feed.calls import FeedCalls
from .opening.options import (
    checked_limit,
    checked_mode,
    checked_options,
    folder_of,
    name_of,
    one_of,
)
from .read.lmdb_view import LMDBView
from .write.delete import Delete, DeleteMany
from .write.save import SAVES, Replace, Save

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable
    from uuid import UUID

    from .contract.event import Event
    from .contract.types import Checkpoint, OnDuplicate, SaveResult, Timeout

__all__ = ["LMDBEventStore"]

Durability = Literal["full", "none"]
Consistency = Literal["strict", "snapshot"]
Compression = Literal["zstd"]


class LMDBEventStore(LMDBView, MaintenanceCalls, FeedCalls, EventStore):
    """An event store in a folder, on LMDB.

    Any number of threads may use one store object, and any number of processes on the same machine
    may use one folder. One write happens at a time, and readers never delay it. The folder must be
    on a local file system. Stores on the same folder share one open environment in a process.

    Durable: with `durability="full"` a write is flushed to disk when its call returns, and survives
    a crash of the machine. With `"none"` the operating system flushes: a write survives a crash of
    the process, but a crash of the machine may lose the last writes, or damage the file.

    Visible: a write is visible to every thread and process when its call returns, or earlier. With
    `consistency="strict"` a read that begins while a write is under way waits for its end, if that
    may change the answer: not a `get` of an event that stays, nor a search or a `count` of times,
    flags or a source of which nothing is being saved; a delete, or a replacement, may change any
    search. With `"snapshot"` it never waits and sees the last committed state, which includes every
    write that has returned. If a writing process dies, the first strict reader that may write, and
    that would wait for it, settles the unfinished write. A reader with `readonly=True` continues at
    once with the state before that write, which was never acknowledged; the write may appear when
    another process settles it. A read inside a write of the same thread (by a signal handler) sees
    the state before the write.

    Waits: a call may have to wait for other threads and processes, for a stopped one without end.
    `timeout`, in seconds, bounds this: that of the call, or else that of the store; None is no
    limit, and 0 does not wait. The call then raises `StoreBusy`, which names the process. It does
    not bound the call's own work, such as the flush. `close` has it too, and the end of a `with`
    block that of the store. Closing a snapshot or a search does not wait. With `"snapshot"` only
    writes wait for a writer. If another process is writing when such a store is opened, its file is
    opened for reading only until the first write; that is refused while a snapshot of this process
    is open.

    Found: every write, and reads at least once a second, check that the path still leads to the
    store. If it was renamed, replaced or removed, they raise `StoreMoved`. If it is put back, the
    store works again.

    A store pickles as its path and options, and opens when it is unpickled. After `fork` the child
    opens the folder for itself at its first call; the child cannot use the parent's snapshots. A
    fork waits until no thread of the process is inside LMDB, or opens or compacts a store. It
    cannot be refused: so it waits for the smallest `timeout` of the open stores, at least a second,
    and then goes on. If a thread was in a store at that moment, the child cannot use that store,
    and its calls raise `StoreOpenError`; the parent is not concerned.
    """

    def __init__(  # noqa: PLR0913
        self,
        path: str | os.PathLike[str],
        *,
        create: bool = True,
        readonly: bool = False,
        durability: Durability = "full",
        consistency: Consistency = "strict",
        map_size: int | None = None,
        max_readers: int | None = None,
        compression: Compression | None = None,
        mode: int = FILE_MODE,
        timeout: float | None = None,
    ) -> None:
        """Open the store in the folder `path`.

        Args:
            path: The folder. Creating a store makes it, for its owner alone (mode 0700), and its
                missing parents with the usual rights (umask).
            create: Create a store if there is none.
            readonly: Open without the right to write; the store must exist. Stores of one process
                that only read, and others, may be open at once; the first that writes opens the
                file again, and is refused while a snapshot of the process is open. On a
                read-only medium or mount this keeps out processes that may write, because LMDB
                cannot list its readers there.
            durability: `"full"` or `"none"`; see the class.
            consistency: `"strict"` or `"snapshot"`; see the class.
            map_size: Bytes that the store may grow to. None for 1 TiB, or for a share of a small
                address space, which grows while no snapshot of this process is open. The map takes
                no memory and no disk space. The last 256 KiB are reserved for deletes, so that a
                full store can be emptied.
            max_readers: Read transactions that may be open at once, over all processes; the first
                process that opens the store decides. None for 4096.
            compression: `"zstd"` compresses the runs of events that this process writes. A store
                may hold both kinds; `seal` compresses the others. Every process that reads them
                needs the extra `zstd` below Python 3.14, or gets `CompressionMissing`.
            mode: The rights of the files of a new store, whatever the umask; by default 0o600, for
                its owner alone. Every user with the right to read may also enter a new folder. To
                read a store takes the right to write too (`0o660`), because LMDB notes readers in a
                file. In a folder that exists they get its owner and group, if this process may give
                files to them.
            timeout: Seconds that this and every call may wait for others; see the class.

        Raises:
            OpenBusy: others opened the store, or wrote to it, until the time limit.
            InvalidOption: an option has an invalid value, or this process has the store open with
                another durability, or another map_size, max_readers or compression than the given
                one, or cannot compress.
            StoreInUse: the store is being compacted or repaired; or a process has it open that this
                one would damage: its `lock.mdb` or `barrier` was removed since, or one of the two
                writes and the other one reads on a read-only mount; or it has the same process id,
                in another pid namespace. The message names the processes and the remedy.
            StoreOpenError: the folder does not exist, is not a store, has another format version,
                or the operating system refuses.
        """
        self._path = folder_of(path)
        self._when_closed = f"the store {self._path!r} is closed; open it again"
        self._session = Session(
            self._path,
            checked_options(
                readonly=readonly,
                durability=durability,
                map_size=map_size,
                max_readers=max_readers,
                compression=compression,
            ),
            create=one_of("create", create, (True, False)),
            strict=one_of("consistency", consistency, ("strict", "snapshot")) == "strict",
            mode=checked_mode(mode),
            timeout=checked_limit(timeout),
            named=name_of(path, self._path),
        )
        self._limit = self._session.timeout
        super().__init__(self._session.read, self._session.begin)

    # -- writing ----------------------------------------------------------------------------------

    def save(
        self, event: Event, *, on_duplicate: OnDuplicate = "raise", timeout: Timeout = ...
    ) -> None:
        """Save one event: all of it or nothing.

        When this returns the event is visible and, with `durability="full"`, flushed to disk.
        Threads that save at the same moment share one flush.

        `event` may be any object with the attributes `id`, `source`, `timestamp`, `tags` and
        `content`, such as a `theia.model.Event`.

        `on_duplicate` says what to do if its id is in the store already: `"raise"` DuplicateEvent;
        `"ignore"` the event; or `"replace"` the stored one, which is deleted in the same
        transaction: no reader sees both or none. Which was done is in the result of `save_many`.

        Raises:
            InvalidEvent: the event cannot be stored; nothing was written.
            DuplicateEvent: its id is in the store already; the stored event is untouched.
            InvalidQuery: another argument is invalid; nothing was written.
            StoreDamaged: the event with its id is not what was written; nothing was written.
            WriteBusy: others wrote until the time limit. Nothing was written, unless another thread
                had begun to write the event with its own: then the message says so.
            StoreFull: the map is full and cannot grow; nothing was written.
            StoreMoved: the path leads elsewhere; `committed` says whether it was written there.
            StoreClosed, ReadOnlyStore: the store was closed, or opened with `readonly=True`.
            EventWriteException: the write failed; unless the message says otherwise, nothing was
                written.
        """
        deadline = None if timeout is ... else self._session.deadline(timeout)
        mode = checked_on_duplicate(on_duplicate)
        change = Replace(event) if mode == "replace" else Save(event)
        try:
            self._session.write(change, deadline)
        except DuplicateEvent:
            if mode == "raise":
                raise

    def save_many(
        self,
        events: Iterable[Event],
        *,
        on_duplicate: OnDuplicate = "raise",
        checkpoint: Checkpoint | None = None,
        timeout: Timeout = ...,
    ) -> SaveResult:
        """Save all of the events, or none if one of them is invalid; return how many.

        It is one transaction, visible and flushed like that of `save`. `events` may be a generator.
        It is read to its end before anything is written, so it may itself read or write the store.
        The events are encoded as they are read, and their encoded form stays in memory until they
        are written: for a million small events it takes about as much as a list of them. That time
        does not count for `timeout`.

        `on_duplicate` says what to do about an event whose id is in the store already, or was given
        before: `"raise"` DuplicateEvent; `"ignore"` it, so that the first event with the id stays
        as it is; or `"replace"` the other one, so that the last is kept. A replaced event is
        deleted, also if both are equal, and the new one saved at its own place in the order of
        saving; no reader sees both or none, except a search that began before. The result tells how
        many were saved with new ids, how many were ignored, and how many replaced another; these
        add up to the number given.

        `checkpoint` is a name and a text, which takes the place of the former text of that name. It
        is saved in the same transaction, with an empty batch too: visible and flushed as the events
        are, and not if they are not saved. `checkpoint(name)` reads it. A dict gives several.

        Raises:
            Exception: any exception of the generator; nothing was written.
            InvalidQuery: the checkpoint is no pair of strings that can be stored, or another
                argument is invalid; nothing was read or written.
            InvalidEvent, DuplicateEvent: for one of the events; if several are wrong, for any.
            StoreDamaged: an event with one of the ids is not what was written; nothing was written.
            WriteBusy, StoreFull, StoreClosed, ReadOnlyStore, EventWriteException: as `save` does.
        """
        self._session.check_writable()
        self._session.deadline(timeout)  # refuses a wrong one before it reads the events
        kind, noted = SAVES[checked_on_duplicate(on_duplicate)], checked_checkpoints(checkpoint)
        change = kind(events, self._session.seed, noted)
        self._session.write(change, self._session.deadline(timeout))
        return change.result

    def delete(self, event_id: str | UUID, *, timeout: Timeout = ...) -> None:
        """Delete one event: the event and every trace of it, or nothing.

        When this returns no one sees the event, except in an older snapshot, and with
        `durability="full"` the deletion is flushed to disk. It also works in a full store, unless a
        snapshot keeps space from being used again.

        Raises:
            EventNotFound: there is no such event.
            InvalidQuery: the id is neither a string nor a UUID.
            StoreDamaged: the event is not what was written; nothing was deleted.
            WriteBusy, StoreFull, StoreClosed, ReadOnlyStore, EventWriteException: as `save` does.
        """
        change = Delete(checked_id(event_id))
        self._session.write_freeing(change, self._session.deadline(timeout))

    def delete_many(self, ids: Iterable[str | UUID], *, timeout: Timeout = ...) -> int:
        """Delete all events with these ids, or none if it fails; return how many were deleted.

        It is one transaction, visible and flushed like that of `delete`. An id that no event has is
        passed over: so a call may be repeated, and the number says whether all were there. `ids`
        may be a generator; it is read to its end before anything is deleted, so it may itself read
        or write the store. To delete by age, number, size, source or pattern, use `purge`.

        Raises:
            Exception: any exception of the generator; nothing was deleted.
            InvalidQuery: an id is neither a string nor a UUID, or an argument is invalid.
            StoreDamaged: one of the events is not what was written; nothing was deleted.
            StoreFull: there is no room to delete so many at once; nothing was deleted.
            WriteBusy, StoreClosed, ReadOnlyStore, EventWriteException: as `save` does.
        """
        self._session.check_writable()
        self._session.deadline(timeout)  # refuses a wrong one before it reads the ids
        wanted = checked_ids(ids)
        if not wanted:
            return 0
        change = DeleteMany(wanted)
        self._session.write_freeing(change, self._session.deadline(timeout))
        return change.deleted

    # -- reading ----------------------------------------------------------------------------------

    def snapshot(self, *, timeout: Timeout = ...) -> Snapshot:
        """Return a view of the store as it is now; use it in a `with` block, or close it.

        Several threads may use it. It holds a read transaction: while it is open, the space of
        deleted events cannot be used again, and the file grows instead. It ends with the store,
        and when another process gives the store a larger map.
        """
        deadline = self._session.deadline(timeout)
        return self._track(Snapshot(self._session, deadline=deadline))

    def stats(self, *, timeout: Timeout = ...) -> StoreStatistics:
        """Return how much the store holds, and how much space it takes; no record is read.

        Any finite number is a time. `beyond_year_5000` counts the events that are so late: their
        times are mostly milliseconds, where seconds were meant.
        """
        figures = statistics(self._session.after_writes(self._session.deadline(timeout)))
        if figures.newest is None or figures.newest < YEAR_5000:
            return figures
        late = self.count(ts_start=YEAR_5000, timeout=timeout)
        return figures._replace(beyond_year_5000=int(late))

    # -- closing and pickling ---------------------------------------------------------------------

    def close(self, *, timeout: Timeout = ...) -> None:
        """Close the store, after the operations under way in other threads have ended.

        Every later call raises `StoreClosed`, and so does a search that has not reported its end.
        Closing again does nothing. Nothing remains to be flushed. The last store of the process on
        this folder closes the environment, and only that one waits for other threads.

        If an operation is still under way at the time limit, `StoreBusy` is raised. It goes on and
        its outcome counts; a write that waits for another process may still be written. The store
        does not become usable again: later calls raise `StoreClosed` all the same. But its files
        stay open until `close` is called again, or until the object is garbage and the process
        opens a store. The end of a `with` block closes with the limit of the store, and raises the
        same.

        Raises:
            StoreBusy: another thread of this process was at work until the time limit.
            InvalidQuery: the timeout is invalid; the store is still open.
            EventStoreException: a signal handler interrupts a write of the same thread.
        """
        deadline = self._session.deadline(timeout)
        self._session.end()  # first: what is under way then ends at its next page
        self._end()
        self._session.close(deadline)

    def __repr__(self) -> str:
        """Show the path, and whether the store is closed."""
        state = ", closed" if self._closed else ""
        return f"<LMDBEventStore {getattr(self, '_path', None)!r}{state}>"

    def __getstate__(self) -> dict[str, object]:
        """Pickle as the path and the options; a subclass may add to the state."""
        return {"arguments": self._session.arguments()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Open the store that was pickled."""
        LMDBEventStore.__init__(self, **state["arguments"])
        self.__dict__.update({name: value for name, value in state.items() if name != "arguments"})
