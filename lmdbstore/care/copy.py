"""Copying a store while others read and write: one state of it, complete or not at all.

Rules: a copy is made in a temporary folder next to its place, flushed, and verified before it gets
its name. Existing files are never overwritten. If anything fails, or on Ctrl-C, everything made is
removed.

It is made entry by entry, in the order of the keys, so that pages are full, and without anything
of deleted events (see `undeleted`). LMDB's own compaction (0.9.36) is not used: it crashes on
databases of pairs of one size (MDB_DUPFIXED), such as `postings`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from lmdbstore.check.page_check import page_findings
from lmdbstore.check.restore import Identify
from lmdbstore.check.verify import verify_session
from lmdbstore.check.walk import PAIRS, after
from lmdbstore.contract.commits.position import Lineage, new_identity
from lmdbstore.disk import format as fmt
from lmdbstore.disk.databases import lineage_of, next_local_id
from lmdbstore.disk.files import (
    Directory,
    check_space,
    flush_folder,
    in_temporary_folder,
    open_directory,
)
from lmdbstore.disk.folder import BARRIER_FILE, DATA_FILE, FILE_MODE, StoreFolder
from lmdbstore.disk.lmdb_errors import advice
from lmdbstore.engine.session import Session
from lmdbstore.errors import (
    EventStoreException,
    EventWriteException,
    StoreDamaged,
    StoreMoved,
    StoreOpenError,
    shown,
)
from lmdbstore.opening.options import Options
from lmdbstore.opening.place import check_folder
from lmdbstore.write.change import Change

from .statistics import statistics
from .undeleted import undeleted

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmdb import Transaction

    from lmdbstore.check.findings import Finding
    from lmdbstore.check.walk import Progress
    from lmdbstore.disk.databases import Databases
    from lmdbstore.engine.environment import Environment
    from lmdbstore.write.transaction import WriteTransaction

__all__ = ["COPY", "back_up", "copy_verified", "needed"]

Entry = tuple[bytes, bytes]

COPY = "copy"  # the name of the copy in its temporary folder
COPY_BYTES = 1 << 20  # of the entries that one transaction copies
MARGIN = 1 << 20  # bytes that a copy takes in addition to the pages of the databases


class _Append(Change):
    """Append entries to a database."""

    alone = True

    def __init__(self, name: bytes, entries: list[tuple[bytes, bytes]]) -> None:
        """Put them into the database of this name."""
        self._name = name
        self._entries = entries
        self._ordered = name != fmt.COMMITS  # they lose local ids of deleted events

    def apply(self, txn: WriteTransaction) -> EventStoreException | None:
        """See `Change.apply`."""
        database = getattr(txn.databases, self._name.decode())
        if self._name == fmt.META:
            for key, value in self._entries:
                if key == fmt.NEXT:
                    txn.next_local_id = fmt.decode_number(value)
                txn.set(database, key, value)
        elif txn.put_many(database, self._entries, append=self._ordered) != len(self._entries):
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
    session.place.check()
    try:
        _check_free(target, session.path)
        with open_directory(os.path.dirname(target)) as parent:
            check_space(parent, needed(session))

            def work(made: Directory) -> int:
                size = copy_verified(session, made, progress, same=False, mode=rights)
                session.place.check("no backup was made")
                _put_in_place(made, parent, target)
                return size

            rights = environment.gate.run(_mode_of_files, environment) if mode is None else mode
            return in_temporary_folder(parent, work)
    except OSError as error:
        raise EventWriteException(
            f"the backup {shown(target)} could not be made: {error}"
            f"{advice(error, os.path.dirname(target))}"
        ) from error


def _mode_of_files(environment: Environment) -> int:
    """Return the rights of a store's files, for its copy; inside of the gate: it stays open."""
    return environment.folder.rights.mode & 0o666 | FILE_MODE


def _put_in_place(made: Directory, parent: Directory, target: str) -> None:
    """Give a copy its name; if that is not certain to last, it loses the name again.

    Raises:
        OSError: it has no name.
        StoreMoved: the path leads elsewhere by now, and the copy has no name.
    """
    name, inside = os.path.basename(target), {"src_dir_fd": made.descriptor}
    # It may replace an empty folder, and nothing else.
    os.rename(COPY, name, **inside, dst_dir_fd=parent.descriptor)
    try:
        flush_folder(parent)
        check_folder(parent.path, parent.identity, "no backup was made")
    except BaseException:  # a power cut could remove it, or it is not at its path
        os.rename(name, COPY, src_dir_fd=parent.descriptor, dst_dir_fd=made.descriptor)
        raise


def needed(session: Session) -> int:
    """Return approximately how many bytes a copy will take."""
    figures = statistics(session.current())
    return min(figures.map_used, sum(figures.databases.values())) + MARGIN


def copy_verified(
    session: Session,
    made: Directory,
    progress: Progress | None,
    *,
    same: bool = True,
    mode: int = FILE_MODE,
) -> int:
    """Copy the store into the folder COPY in `made`, flush and verify it; return its bytes.

    `same`: it has the identity of the store; otherwise it is another store.

    Raises:
        OSError, EventStoreException: it failed.
        EventWriteException: the copy does not verify.
    """
    folder = StoreFolder(f"{made.way}/{COPY}")
    try:
        _copy_entries(session, folder.path, progress, same=same, mode=mode)
        findings = _verified(folder)
    except StoreOpenError as error:  # for example, the disk is full
        raise EventWriteException(f"the copy could not be made: {error}") from error
    except StoreDamaged as error:
        raise EventWriteException(
            f"the copy could not be made, because the store is damaged: {error}"
        ) from error
    except StoreMoved as error:
        session.place.check()
        raise EventWriteException(
            "the copy could not be made: the temporary folder in which it was being made was "
            "removed or changed"
        ) from error
    if findings:
        raise EventWriteException(
            f"the store was copied, but the copy is not sound and was removed: {findings[0]}; "
            "verify the store itself"
        )
    with open_directory(COPY, made) as copy:
        for other in set(os.listdir(copy.descriptor)) - {DATA_FILE, BARRIER_FILE}:
            os.unlink(other, dir_fd=copy.descriptor)  # made by the verification
        flush_folder(copy)
        return os.stat(DATA_FILE, dir_fd=copy.descriptor).st_size


def _verified(made: StoreFolder) -> list[Finding]:
    """Return the errors in a copy: its pages first, and then its records."""
    if found := page_findings(made):
        return found
    with Session(made.path, Options(readonly=True)) as copy:
        return verify_session(copy)


def _copy_entries(
    session: Session, made: str, progress: Progress | None, *, same: bool, mode: int
) -> None:
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
            place: Entry = (b"", b"")
            while (piece := held.read(_piece_after(name, place))) is not None:
                copy.write(_Append(name, piece.entries))
                place = piece.place
                done += piece.read
                if progress is not None:
                    progress(done, sum(totals.values()))
        if not same:
            copy.write(Identify(held.read(_lineage_of_copy)))
        copy.current().flush()


def _lineage_of_copy(txn: Transaction[bytes], databases: Databases) -> Lineage:
    """Return the lineage of another store, made of this one."""
    following = fmt.decode_number(next_local_id(txn, databases))
    try:
        return lineage_of(txn, databases).copied(new_identity(), following - 1)
    except StoreDamaged:  # the identity is lost, and with it that of no event
        return Lineage(new_identity())


class _Piece(NamedTuple):
    """Entries for the copy."""

    entries: list[Entry]
    place: Entry  # the last entry that was read
    read: int  # entries


def _piece_after(
    name: bytes, place: Entry
) -> Callable[[Transaction[bytes], Databases], _Piece | None]:
    """Return a function that reads the entries after a place, up to COPY_BYTES of them."""

    def work(txn: Transaction[bytes], databases: Databases) -> _Piece | None:
        entries, size = list[Entry](), 0
        with txn.cursor(db=getattr(databases, name.decode())) as cursor:
            for entry in after(cursor, place, pairs=name.decode() in PAIRS):
                entries.append(entry)
                size += len(entry[0]) + len(entry[1])
                if size >= COPY_BYTES:
                    break
        if not entries:
            return None
        return _Piece(undeleted(txn, databases, name, entries), entries[-1], len(entries))

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
