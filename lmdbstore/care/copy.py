"""Copying a store while others read and write: one state of it, whole or not at all.

Rules: a copy is made in a folder beside its place, flushed, and verified before it is given its
name; nothing that is there is ever written over. All that was made goes if anything fails, or on
Ctrl-C.

A compact copy is made entry by entry, in the order of the keys, so that pages are full: LMDB's own
compaction (0.9.36) crashes on databases of pairs of one size (MDB_DUPFIXED), as the posting sets
are. A plain one is what LMDB itself writes (see `lmdbstore.care.streaming`).
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, NamedTuple

from lmdbstore.check.walk import behind
from lmdbstore.disk import format as fmt
from lmdbstore.disk.lmdb_errors import advice
from lmdbstore.disk.space import check_space
from lmdbstore.engine.create import DATA_FILE, FILE_MODE, MAKING, flush_folder, remove_flat
from lmdbstore.errors import EventStoreException, EventWriteException, StoreOpenError, shown
from lmdbstore.processes.barrier import BARRIER_FILE, create_barrier_file
from lmdbstore.write.changes import Change

from .streaming import copy_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lmdb import Transaction

    from lmdbstore.check.findings import Finding
    from lmdbstore.check.walk import Progress
    from lmdbstore.disk.databases import Databases
    from lmdbstore.engine.environment import Environment
    from lmdbstore.store import LMDBEventStore
    from lmdbstore.write.transaction import WriteTransaction

    from .statistics import StoreStatistics
    from .upkeep import Upkeep

__all__ = ["Copying", "back_up", "copy_verified", "making", "needed"]

PIECE = 1 << 20  # bytes that are copied at once
TOLD_EVERY = 0.05  # seconds between two calls of `progress`
MARGIN = 1 << 20  # bytes; what a copy takes besides the pages of the databases


class Copying(NamedTuple):
    """What is copied, and by what means."""

    store: Upkeep
    environment: Environment
    build: Callable[[str], LMDBEventStore]  # makes an empty store in a folder that is not there
    verify: Callable[[str], list[Finding]]  # returns what is wrong with the store in a folder
    total: int  # bytes that it will take, about
    progress: Progress | None


class _Entries(Change):
    """Put entries behind those that are there."""

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
                f"the keys of {self._name.decode()} are out of their order, so they cannot be "
                "copied; verify the store"
            )
        return None


def back_up(copying: Copying, target: str, *, compact: bool) -> int:
    """Make the folder `target` a copy of the store; return the bytes of its file.

    Raises:
        EventWriteException: it could not be made; nothing is left of it.
    """
    parent = os.path.dirname(target)
    try:
        _check_free(target, copying.environment.path)
        check_space(parent, copying.total)
        with making(parent) as made:
            size = copy_verified(copying, made, compact=compact)
            os.rename(made, target)  # over an empty folder at most
            try:
                flush_folder(parent)
            except OSError:
                os.rename(target, made)  # it would not be there after a power cut
                raise
    except OSError as error:
        raise EventWriteException(
            f"the backup {shown(target)} could not be made: {error}{advice(error)}"
        ) from error
    return size


def needed(figures: StoreStatistics, *, compact: bool) -> int:
    """Return about how many bytes a copy will take."""
    used = figures.map_used
    return min(used, sum(figures.databases.values())) + MARGIN if compact else used


@contextlib.contextmanager
def making(parent: str) -> Iterator[str]:
    """Give the name of a new folder in `parent`; what is there after the `with` block goes."""
    made = os.path.join(parent, f"{MAKING}{os.urandom(8).hex()}")
    try:
        yield made
    finally:
        try:
            remove_flat(made)
        except BaseException:  # Ctrl-C in the middle of it
            remove_flat(made)
            raise


def copy_verified(copying: Copying, made: str, *, compact: bool) -> int:
    """Copy the store into the folder `made`, flush it, and verify it; return its bytes.

    Raises:
        OSError, EventStoreException: it could not be done.
        EventWriteException: what was copied does not verify.
    """
    try:
        if compact:
            _copy_entries(copying, made)
        else:
            os.mkdir(made, 0o700)
            _stream(copying, os.path.join(made, DATA_FILE))
            create_barrier_file(made, FILE_MODE)
        findings = copying.verify(made)
    except StoreOpenError as error:  # as where the disk is full
        raise EventWriteException(f"the copy could not be made: {error}") from error
    if findings:
        raise EventWriteException(
            f"the store was copied, and the copy is not sound, so it was removed: {findings[0]}; "
            "verify the store itself"
        )
    for other in set(os.listdir(made)) - {DATA_FILE, BARRIER_FILE}:  # of the look at it
        os.unlink(os.path.join(made, other))
    flush_folder(made)
    return os.stat(os.path.join(made, DATA_FILE)).st_size


# -- entry by entry -------------------------------------------------------------------------------


def _copy_entries(copying: Copying, made: str) -> None:
    with copying.build(made) as copy, copying.store.snapshot() as view:
        totals = view.run(
            lambda txn, databases: {
                name.encode(): txn.stat(database)["entries"]
                for name, database in databases._asdict().items()
            }
        )
        done = 0
        for name in totals:
            place: tuple[bytes, bytes] = (b"", b"")
            while entries := view.run(_piece(name, place)):
                copy._write(_Entries(name, entries))  # noqa: SLF001  a store of our own making
                place = entries[-1]
                done += len(entries)
                if copying.progress is not None:
                    copying.progress(done, sum(totals.values()))
        copy.flush()


def _piece(
    name: bytes, place: tuple[bytes, bytes]
) -> Callable[[Transaction[bytes], Databases], list[tuple[bytes, bytes]]]:
    """Return what reads the entries behind a place, up to PIECE bytes of them."""

    def work(txn: Transaction[bytes], databases: Databases) -> list[tuple[bytes, bytes]]:
        entries, size = [], 0
        with txn.cursor(db=getattr(databases, name.decode())) as cursor:
            for entry in behind(cursor, place, pairs=name == fmt.FLAGS):
                entries.append(entry)
                size += len(entry[0]) + len(entry[1])
                if size >= PIECE:
                    break
        return entries

    return work


def _stream(copying: Copying, name: str) -> None:
    def watch(done: int) -> None:
        if copying.progress is not None:
            copying.progress(done, max(copying.total, done))

    copy_file(copying.environment, name, FILE_MODE, watch)


def _check_free(target: str, store: str) -> None:
    if os.path.lexists(target) and (
        os.path.islink(target) or not os.path.isdir(target) or os.listdir(target)
    ):
        raise EventWriteException(
            f"path: {shown(target)} is there already, and a backup is never written over anything; "
            "choose a new one"
        )
    parent = os.path.dirname(target)
    if not os.path.isdir(parent):
        raise EventWriteException(f"path: the folder {shown(parent)} is not there; make it first")
    if os.path.realpath(parent).startswith(store + os.sep) or os.path.realpath(parent) == store:
        raise EventWriteException(
            f"path: {shown(target)} lies in the store's own folder; choose another place"
        )
