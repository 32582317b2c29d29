"""Upkeep: what keeps a store in shape over the years, beside reading and writing.

Rules: each of these goes over the whole store, in pieces or beside the others' work, and can be
interrupted at any time without harm. The work itself is done elsewhere: here is what users call.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from lmdbstore.check.comparison import Verification
from lmdbstore.check.page_check import page_findings
from lmdbstore.engine.options import checked_progress, folder_of, one_of
from lmdbstore.errors import EventReadException, StoreFull
from lmdbstore.read.lmdb_view import LMDBView
from lmdbstore.write.changes import Change, Sign, Turn

from .compact import Compacted, compact_in_place
from .copy import Copying, back_up, needed
from .purge import Purge, Purged, checked_retention
from .statistics import statistics

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable

    from lmdbstore.check.findings import Finding
    from lmdbstore.check.walk import Progress
    from lmdbstore.engine.environment import Environment
    from lmdbstore.engine.snapshot import Snapshot
    from lmdbstore.store import LMDBEventStore

__all__ = ["Upkeep"]


class Upkeep(LMDBView):
    """The calls of `LMDBEventStore` for who looks after a store."""

    _path: str

    @abstractmethod
    def _write(self, change: Change) -> None:
        """Carry out a change; raises what `save` raises."""

    @abstractmethod
    def _check_writable(self) -> None:
        """Raise StoreClosed or ReadOnlyStore."""

    @abstractmethod
    def _current(self) -> Environment:
        """Return the environment of this process; raises StoreClosed."""

    @abstractmethod
    def _after_writes(self) -> Environment:
        """Return the environment, after the write under way where reads are strict."""

    @abstractmethod
    def _open_at(self, folder: str) -> LMDBEventStore:
        """Open another store, to read it."""

    @abstractmethod
    def _build_at(self, folder: str) -> LMDBEventStore:
        """Make another store, which is flushed when it is finished."""

    @abstractmethod
    def snapshot(self) -> Snapshot:
        """Return a view of the store as it is now."""

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
        change = Sign(rebuild=one_of("rebuild", rebuild, (True, False)))
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
        self._check_open()
        progress = checked_progress(progress)
        if one_of("pages", pages, (True, False)):
            self._current().check_outside(EventReadException)
            if found := page_findings(self._path):
                return found
        with self.snapshot() as view:
            return Verification(view.run, progress).run()

    def backup(
        self,
        path: str | os.PathLike[str],
        *,
        compact: bool = True,
        progress: Progress | None = None,
    ) -> int:
        """Make a copy of the store in the new folder `path`; return the bytes of its file.

        Others read and write meanwhile. The copy is one state of the store, with all that was
        acknowledged before the call. It is flushed to disk and verified, pages and records, before
        it is given its name; whatever happens, there is a whole backup at `path` or none. It is a
        store like any other. While it is made, the space of what is deleted is not used again;
        without `compact`, closing the store and forking the process wait for it. A process that is
        killed meanwhile leaves a folder `.lmdbstore-…` beside `path`, which may be removed.

        Args:
            path: A folder that is not there yet, or is empty.
            compact: Leave out free pages and fill the others, so that the copy is as small as can
                be; without, the file is copied as it is, which is quicker.
            progress: Is called with how much is written, and of about how much: entries of the
                databases or, without `compact`, bytes.

        Raises:
            InvalidOption: an argument has no such value.
            EventWriteException: it could not be made, as where something is at `path` already, or
                the disk is full, or a signal handler has interrupted another call of the same
                thread; the message says why.
            StoreClosed: the store was closed.
            EventReadException: the store could not be read.
        """
        compact = one_of("compact", compact, (True, False))
        progress = checked_progress(progress)
        target = folder_of(path, links=False)
        environment = self._current()
        environment.check_outside()
        self._after_writes()
        total = needed(statistics(environment), compact=compact)
        return back_up(self._copying(environment, total, progress), target, compact=compact)

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
        progress = checked_progress(progress)
        self._check_writable()
        environment = self._current()
        environment.check_outside()
        self._after_writes()
        total = needed(statistics(environment), compact=True)
        return compact_in_place(self._copying(environment, total, progress))

    def _copying(self, environment: Environment, total: int, progress: Progress | None) -> Copying:
        return Copying(self, environment, self._build_at, self._look_at, total, progress)

    def _look_at(self, folder: str) -> list[Finding]:
        """Return what is wrong with the store in a folder."""
        if found := page_findings(folder):
            return found
        with self._open_at(folder) as store:
            return store.verify()

    def flush(self) -> None:
        """Flush to disk what was written with `durability="none"`.

        Raises:
            StoreClosed: the store was closed.
            EventWriteException: the disk failed.
        """
        self._after_writes().flush()

    def _write_in_full(self, change: Change) -> None:
        """Write what makes room, in a store that may be full."""
        try:
            self._write(change)
        except StoreFull:
            self._write(Turn())
            self._write(change)
