"""The figures of a store, for its administrators."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from lmdbstore.disk import format as fmt
from lmdbstore.disk.databases import bytes_in_use
from lmdbstore.errors import EventReadException, StoreClosed
from lmdbstore.processes.lock_list import processes_by_id
from lmdbstore.processes.snapshot_notes import SnapshotInfo, readers_in, snapshots

if TYPE_CHECKING:
    from lmdb import Transaction

    from lmdbstore.disk.databases import Databases
    from lmdbstore.engine.environment import Environment

__all__ = ["StoreStatistics", "statistics"]


class StoreStatistics(NamedTuple):
    """The figures of `LMDBEventStore.stats`.

    `databases` has the bytes in the pages of each named database; `file_bytes` is the size of the
    data file, with its free pages. The file may grow to `map_bytes`; `map_used` is how far it has
    grown, so `compact` can make it smaller than that and a deletion cannot.
    """

    events: int
    oldest: float | None  # timestamp in seconds; None in an empty store
    newest: float | None
    flags: int  # number of different ones
    databases: dict[str, int]  # bytes in the pages of each database
    file_bytes: int = 0  # size of the data file, free pages included
    map_bytes: int = 0  # the size that it may grow to
    map_used: int = 0  # bytes of the map that have ever been used: the file cannot be smaller
    readers: int = 0  # slots of the reader table in use now, over all processes
    max_readers: int = 0
    snapshots: tuple[SnapshotInfo, ...] = ()  # the open ones, over all processes


def statistics(environment: Environment) -> StoreStatistics:
    """Read the figures of an open store; raises EventReadException."""
    before = environment.readers()
    figures = environment.read(_figures)
    info, page, table = environment.ask(
        lambda lmdb: (lmdb.info(), lmdb.stat()["psize"], lmdb.readers())
    )
    after = readers_in(table)
    try:
        size = os.stat(environment.folder.data).st_size
    except OSError as error:
        if environment.gate.closed:  # in the meantime, and so was the descriptor of the folder
            raise StoreClosed("the store is closed; open it again") from error
        raise EventReadException(f"the size of the store's file cannot be read: {error}") from error
    return figures._replace(
        file_bytes=size,
        map_bytes=info["map_size"],
        map_used=(info["last_pgno"] + 1) * page,
        readers=after.total(),
        max_readers=info["max_readers"],
        snapshots=snapshots(
            environment.notes.began(),
            before,
            after,
            info["last_txnid"],
            processes_by_id(environment.folder) if after else None,
        ),
    )


def _figures(txn: Transaction[bytes], databases: Databases) -> StoreStatistics:
    events = txn.stat(databases.timeline)["entries"]
    with txn.cursor(db=databases.timeline) as cursor:
        oldest = fmt.decode_key(cursor.key()).timestamp if cursor.first() else None
        newest = fmt.decode_key(cursor.key()).timestamp if cursor.last() else None
    with txn.cursor(db=databases.flags) as cursor:
        flags = sum(1 for _ in cursor.iternext_nodup(keys=True, values=False))
    return StoreStatistics(events, oldest, newest, flags, bytes_in_use(txn, databases))
