"""Copying a store while others read and write: one state of it, complete or not at all.

Rules: a copy is made in a temporary folder next to its place, flushed, and verified before it gets
its name. Existing files are never overwritten. If anything fails, or on Ctrl-C, everything made is
removed.

It is made entry by entry, in the order of the keys, so that pages are full. LMDB's own compaction
(0.9.36) is not used: it crashes on databases of pairs of one size (MDB_DUPFIXED), such as `flags`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lmdbstore.check.page_check import page_findings
from lmdbstore.check.verify import verify_session
from lmdbstore.check.walk import after
from lmdbstore.disk import format as fmt
from lmdbstore.disk.files import check_space, flush_folder, temporary_folder
from lmdbstore.disk.folder import BARRIER_FILE, DATA_FILE, FILE_MODE, StoreFolder
from lmdbstore.disk.lmdb_errors import advice
from lmdbstore.engine.session import Session
from lmdbstore.errors import EventStoreException, EventWriteException, StoreOpenError, shown
from lmdbstore.opening.options import Options
from lmdbstore.write.change import Change

from .statistics import statistics

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmdb import Transaction

    from lmdbstore.check.findings import Finding
    from lmdbstore.check.walk import Progress
    from lmdbstore.disk.databases import Databases
    from lmdbstore.write.transaction import WriteTransaction

__all__ = ["back_up", "copy_verified", "needed"]

COPY_BYTES = 1 << 20  # of the entries that one transaction copies
MARGIN = 1 << 20  # bytes that a copy takes in addition to the pages of the databases


class _Append(Change):
    """Append entries to a database."""

    alone = True

    def __init__(self, name: bytes, entries: list[tuple[bytes, bytes]]) -> None:
        """Put them into the database of this name."""
        self._name = name
        self._entries = entries

    def apply(self, txn: WriteTransaction) -> EventStoreException | None:
        """See `Change.apply`."""
        database = getattr(txn.databases, self._name.decode())
        if self._name == fmt.META:
            for key, value in self._entries:
                if key == fmt.NEXT:
                    txn.next_local_id = fmt.decode_number(value)
                txn.set(database, key, value)
        elif txn.put_many(database, self._entries, append=True) != len(self._entries):
            raise EventWriteException(
                f"the keys of {self._name.decode()} are out of order, so they cannot be copied; "
                "verify the store"
            )
        return None


def back_up(
    session: Session, target: str, progress: Progress | None, mode: int | None = None
) -> int:
    """Copy the store into the new folder `target`; return the bytes of the copy's file.

    `mode` is the rights of the copy's files; None for those of the store.

    Raises:
        EventWriteException: it could not be made; nothing of it remains.
    """
    environment = session.current()
    environment.check_outside("a backup", EventWriteException)
    session.after_writes()
    parent = os.path.dirname(target)
    try:
        _check_free(target, session.path)
        check_space(parent, needed(session))
        with temporary_folder(parent) as made:
            rights = environment.folder.rights & 0o666 | FILE_MODE if mode is None else mode
            size = copy_verified(session, made, progress, rights)
            os.rename(made, target)  # may replace an empty folder, and nothing else
            try:
                flush_folder(parent)
            except OSError:
                os.rename(target, made)  # a power cut could remove it
                raise
    except OSError as error:
        raise EventWriteException(
            f"the backup {shown(target)} could not be made: {error}{advice(error, parent)}"
        ) from error
    return size


def needed(session: Session) -> int:
    """Return approximately how many bytes a copy will take."""
    figures = statistics(session.current())
    return min(figures.map_used, sum(figures.databases.values())) + MARGIN


def copy_verified(
    session: Session, made: str, progress: Progress | None, mode: int = FILE_MODE
) -> int:
    """Copy the store into the folder `made`, flush and verify the copy; return its bytes.

    Raises:
        OSError, EventStoreException: it failed.
        EventWriteException: the copy does not verify.
    """
    try:
        _copy_entries(session, made, progress, mode)
        findings = _verified(StoreFolder(made))
    except StoreOpenError as error:  # for example, the disk is full
        raise EventWriteException(f"the copy could not be made: {error}") from error
    if findings:
        raise EventWriteException(
            f"the store was copied, but the copy is not sound and was removed: {findings[0]}; "
            "verify the store itself"
        )
    for other in set(os.listdir(made)) - {DATA_FILE, BARRIER_FILE}:  # made by the verification
        os.unlink(os.path.join(made, other))
    flush_folder(made)
    return os.stat(StoreFolder(made).data).st_size


def _verified(made: StoreFolder) -> list[Finding]:
    """Return the errors in a copy: its pages first, and then its records."""
    if found := page_findings(made):
        return found
    with Session(made.path, Options(readonly=True)) as copy:
        return verify_session(copy)


def _copy_entries(session: Session, made: str, progress: Progress | None, mode: int) -> None:
    # Flushed once, at the end: no process sees it before.
    new = Session(made, Options(durability="none"), create=True, mode=mode)
    with new as copy, session.hold() as held:
        totals = held.read(
            lambda txn, databases: {
                name.encode(): txn.stat(database)["entries"]
                for name, database in databases._asdict().items()
            }
        )
        done = 0
        for name in totals:
            place: tuple[bytes, bytes] = (b"", b"")
            while entries := held.read(_entries_after(name, place)):
                copy.write(_Append(name, entries))
                place = entries[-1]
                done += len(entries)
                if progress is not None:
                    progress(done, sum(totals.values()))
        copy.current().flush()


def _entries_after(
    name: bytes, place: tuple[bytes, bytes]
) -> Callable[[Transaction[bytes], Databases], list[tuple[bytes, bytes]]]:
    """Return a function that reads the entries after a place, up to COPY_BYTES of them."""

    def work(txn: Transaction[bytes], databases: Databases) -> list[tuple[bytes, bytes]]:
        entries, size = [], 0
        with txn.cursor(db=getattr(databases, name.decode())) as cursor:
            for entry in after(cursor, place, pairs=name == fmt.FLAGS):
                entries.append(entry)
                size += len(entry[0]) + len(entry[1])
                if size >= COPY_BYTES:
                    break
        return entries

    return work


def _check_free(target: str, store: str) -> None:
    if os.path.lexists(target) and (
        os.path.islink(target) or not os.path.isdir(target) or os.listdir(target)
    ):
        raise EventWriteException(
            f"path: {shown(target)} exists already, and a backup never overwrites anything; choose "
            "a new one"
        )
    parent = os.path.dirname(target)
    if not os.path.isdir(parent):
        raise EventWriteException(f"path: the folder {shown(parent)} does not exist; make it first")
    if os.path.realpath(parent).startswith(store + os.sep) or os.path.realpath(parent) == store:
        raise EventWriteException(
            f"path: {shown(target)} is in the store's own folder; choose another place"
        )
