"""The calls of a store that look after it: `LMDBEventStore` has them, and they use its session.

Rules: each checks its arguments and passes them to `check` or `care`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmdbstore.check.verify import verify_session
from lmdbstore.contract.asking.retained import checked_retained
from lmdbstore.opening.options import checked_mode, checked_progress, folder_of, one_of
from lmdbstore.write.seal import seal_all

from .compact import Compacted, compact_in_place
from .copy import back_up
from .purge import Purged, purge
from .retention import retention_of

if TYPE_CHECKING:
    import os

    from lmdbstore.check.findings import Finding
    from lmdbstore.check.walk import Progress
    from lmdbstore.contract.types import Strings, Time
    from lmdbstore.engine.session import Session

__all__ = ["MaintenanceCalls"]


class MaintenanceCalls:
    """Sealing, purging, verifying, backing up, compacting and flushing."""

    _session: Session

    def seal(self) -> int:
        """Seal all events, merge small runs and remove deleted text; return how many were sealed.

        Events are saved with a record and index entries of their own. Complete runs of 512
        neighbours are sealed by the writes that complete them: packed together, which takes about
        half the space and is read faster. This call seals the latest events too, and those that
        were saved later than their neighbours; it merges runs that are small, and writes runs again
        of which events were deleted. Searches and `get` find the same before and after.

        It writes in transactions of some thousand events. Each is atomic, and other writes may come
        between them. If interrupted, what was sealed remains.

        Raises:
            StoreClosed, ReadOnlyStore, EventWriteException: as `save` does.
        """
        return seal_all(self._session.write)

    def purge(  # noqa: PLR0913  the limits of a purge
        self,
        *,
        before: Time | None = None,
        max_events: int | None = None,
        max_bytes: int | None = None,
        flags: Strings | None = None,
        keep_flags: Strings | None = None,
        any_flags: Strings | None = None,
        source: str | None = None,
        match: str | None = None,
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> Purged:
        """Delete the oldest events: those that are too old, too many, or too large together.

        Of the events that carry all of `flags`, one of `any_flags` and none of `keep_flags`, are of
        `source`, and whose content matches `match`, in time order, it deletes those before the time
        `before`. It deletes more while there are more than `max_events`, or while the store takes
        up more than `max_bytes`: then some tens of events go together. Without these three it
        deletes all such events; but then it must be given some flags, a source or a pattern.

        It writes in transactions of at most 8,192 events, and of about 4 MiB of records; of fewer
        events, down to one, where the map, the disk or the file is full. Each is atomic and, with
        `durability="full"`, flushed; other writes may come between them. If it is interrupted,
        killed or fails, deleted events are gone for good, the rest is unchanged, and the next call
        continues. Events saved while it runs are left for the next call, and so are those that a
        named cursor holds (see `cursor`): `Purged.held` says how many it came upon. The file does
        not shrink: its space is used again.

        Args:
            before: Seconds since 1970, or a datetime with a zone, exclusive; infinity is after or
                before all events.
            max_events: How many events may remain of those that the other arguments choose (of all
                events, without them). Events with a flag of `keep_flags` count, and stay, so more
                may remain.
            max_bytes: How many bytes the pages of all databases may take up (the sum of
                `stats().databases`). Events that stay count here too.
            flags: Delete only events that carry all of these.
            keep_flags: Delete no event that carries any of these.
            any_flags: Delete only events that carry at least one of these.
            source: Delete only events of exactly this source.
            match: Delete only events whose content matches this pattern, as in `search`. The
                contents of all other events that may be deleted are read to find them.
            dry_run: Write nothing, and return what would be deleted: exactly, for the store as it
                is now, except that `max_bytes` is estimated by the mean size of an event. It works
                with `readonly=True` too.
            progress: Called after each transaction, outside of it, with the number of events
                deleted so far and about how many will be.

        Raises:
            InvalidQuery: an argument is invalid, or none says which events to delete.
            StoreDamaged: an event to be deleted, or that `match` is compared with, is not what was
                written; the events before it are deleted, except for a last piece of them.
            StoreFull: the store is so full that not even one event can be deleted; the message says
                how many were deleted before (so does the EventWriteException of a full disk).
            EventWriteException: as `save` does; or a cursor began to hold events in the meantime.
            StoreClosed, ReadOnlyStore, EventReadException: as usual.
        """
        limits = checked_retained(
            before,
            max_events,
            flags,
            keep_flags,
            any_flags,
            source=source,
            match=match,
            dry_run=dry_run,
            progress=progress,
            max_bytes=max_bytes,
            limits="before=, max_events= or max_bytes=",
        )
        return purge(self._session, retention_of(limits), progress, dry_run=dry_run)

    def verify(self, *, pages: bool = False, progress: Progress | None = None) -> list[Finding]:
        """Compare every record with every index, and back; return everything that is wrong.

        It also checks checksums, orders, counts, signatures, the format version and the next local
        id. A damaged run is one finding, whatever is damaged in it. It reads one state of the
        store, like a snapshot, and the file may grow in the meantime. It takes about twenty times
        as long as a search of everything, and little memory.

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
        mode: int | None = None,
        progress: Progress | None = None,
    ) -> int:
        """Copy the store into the new folder `path`; return the bytes of the copy's file.

        Others may read and write in the meantime. The copy is one state of the store, with every
        write acknowledged before the call. It is flushed to disk and verified, pages and records,
        before it gets its name: in every case there is a whole backup at `path`, or none.
        It is a store like any other, and has nothing of deleted events. While it is made, the space
        of deleted events is not used again. A killed process leaves a folder `.lmdbstore-…` next to
        `path`, which may be removed.

        Args:
            path: A folder that does not exist yet, or is empty.
            mode: The rights of the copy's files, as for a new store; by default those of the
                store's data file.
            progress: Called with the number of database entries written and their total.

        Raises:
            InvalidOption: an argument has an invalid value.
            EventWriteException: it could not be made, for example because something is at `path`
                already, the disk is full, or a signal handler has interrupted another call of the
                same thread; the message says why.
            StoreClosed: the store was closed.
            EventReadException: the store could not be read.
        """
        mode = None if mode is None else checked_mode(mode)
        target = folder_of(path, links=False)
        return back_up(self._session, target, checked_progress(progress), mode)

    def compact(self, *, progress: Progress | None = None) -> Compacted:
        """Give the space of free pages back to the disk; return the bytes before and after.

        The store is copied without free pages, and without the text of deleted events, into a new
        file, which is flushed and verified and then replaces the old one. The new file needs free
        disk space. No other process may have the store open. In this process writers, `fork`, and
        opening or closing any store wait until the end; readers wait only while the files are
        exchanged. Searches then continue. If it is killed, the old file or the new one is in place,
        and the next compaction removes the rest. If it is interrupted while the files are
        exchanged, the store is closed.

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
        self._session.flush()
