"""The figures of a store, for its administrators."""

from __future__ import annotations

import os
import time
from functools import partial
from heapq import merge
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from lmdbstore.disk import format as fmt
from lmdbstore.disk.databases import bytes_in_use, next_local_id, number_of_events
from lmdbstore.errors import EventReadException
from lmdbstore.processes.lock_list import processes_by_id
from lmdbstore.processes.snapshot_notes import SnapshotInfo, readers_in, snapshots
from lmdbstore.records.run import Run, positions

if TYPE_CHECKING:
    from collections import Counter

    import lmdb
    from lmdb import Transaction

    from lmdbstore.disk.databases import Databases
    from lmdbstore.disk.folder import StoreFolder
    from lmdbstore.engine.environment import Environment
    from lmdbstore.processes.snapshot_notes import Reader

__all__ = ["StoreStatistics", "statistics"]

OTHER_PAGES = 3  # two of LMDB's own, and the one that names the databases


class StoreStatistics(NamedTuple):
    """The figures of `LMDBEventStore.stats`.

    `databases` has the bytes in the pages of each named database; `file_bytes` is the size of the
    data file, with its free pages. The file may grow to `map_bytes`; `map_used` is how far it has
    grown, so `compact` can make it smaller than that and a deletion cannot.

    The rates are over the time since this process opened the file, and over all processes that
    write to it. A fork, a compaction, and the first write after an opening for reading open it
    again. Of two results, the differences of `ever_saved` and `commits` are those of any span.
    """

    events: int
    oldest: float | None  # timestamp in seconds; None in an empty store
    newest: float | None
    flags: int  # number of different ones
    live: int  # events that have a record of their own
    runs: int  # packed events: so many values hold all others
    databases: dict[str, int]  # bytes in the pages of each database
    checkpoints: int = 0
    cursors: int = 0
    file_bytes: int = 0  # size of the data file, free pages included
    map_bytes: int = 0  # the size that it may grow to
    map_used: int = 0  # bytes of the map that have ever been used: the file cannot be smaller
    readers: int = 0  # slots of the reader table in use now, over all processes
    max_readers: int = 0
    snapshots: tuple[SnapshotInfo, ...] = ()  # the open ones, over all processes
    beyond_year_5000: int = 0  # events that are so late; their times are mostly milliseconds
    used_bytes: int = 0  # in pages of the databases: events, and indexes
    free_bytes: int = 0  # in pages of the file that hold nothing, with the list of them
    ever_saved: int = 0  # events, deleted ones included, and those ignored as duplicates
    commits: int = 0  # since the file was made; compact, backup and repair make one
    open_seconds: float = 0.0  # since this process opened the file
    saved_rate: float = 0.0  # events a second since then, as `ever_saved` counts them
    commit_rate: float = 0.0  # commits a second since then


class _File(NamedTuple):
    """What LMDB and the system say of the open file."""

    map_size: int  # bytes
    map_used: int  # bytes
    commits: int
    max_readers: int
    page: int  # bytes
    size: int  # bytes
    readers: Counter[Reader]
    processes: dict[int, int] | None


def statistics(environment: Environment) -> StoreStatistics:
    """Read the figures of an open store; raises EventReadException."""
    before = environment.readers()
    figures = environment.read(_figures)
    try:
        found = environment.ask(partial(_of_file, environment.folder))
    except OSError as error:
        raise EventReadException(f"the size of the store's file cannot be read: {error}") from error
    after = found.readers
    opened = environment.databases.opened
    following = fmt.decode_number(opened.following)
    seconds = time.monotonic() - opened.time
    return figures._replace(
        file_bytes=found.size,
        map_bytes=found.map_size,
        map_used=found.map_used,
        free_bytes=max(0, found.map_used - figures.used_bytes - OTHER_PAGES * found.page),
        commits=found.commits,
        open_seconds=seconds,
        saved_rate=max(0, figures.ever_saved + 1 - following) / (seconds or 1.0),
        commit_rate=max(0, found.commits - opened.commits) / (seconds or 1.0),
        readers=after.total(),
        max_readers=found.max_readers,
        snapshots=snapshots(
            environment.gate.run(environment.notes.began),
            before,
            after,
            found.commits,
            found.processes,
        ),
    )


def _of_file(folder: StoreFolder, opened: lmdb.Environment) -> _File:
    """Ask LMDB and the system about the file; inside of the gate, so that it stays open."""
    readers, info, page = readers_in(opened.readers()), opened.info(), opened.stat()["psize"]
    return _File(
        info["map_size"],
        (info["last_pgno"] + 1) * page,
        info["last_txnid"],
        info["max_readers"],
        page,
        os.stat(folder.data).st_size,
        readers,
        processes_by_id(folder) if readers else None,
    )


def _figures(txn: Transaction[bytes], databases: Databases) -> StoreStatistics:
    with txn.cursor(db=databases.live) as cursor:
        oldest = [cursor.key()] if cursor.first() else []
        newest = [cursor.key()] if cursor.last() else []
    with txn.cursor(db=databases.runs) as cursor:
        if cursor.first():
            oldest.append(_keys(txn, databases, *cursor.item())[0])
        if cursor.last():
            newest.append(_keys(txn, databases, *cursor.item())[-1])
    used = bytes_in_use(txn, databases)
    return StoreStatistics(
        number_of_events(txn, databases),
        fmt.decode_key(min(oldest)).timestamp if oldest else None,
        fmt.decode_key(max(newest)).timestamp if newest else None,
        _flags(txn, databases),
        txn.stat(databases.live)["entries"],
        txn.stat(databases.runs)["entries"],
        used,
        txn.stat(databases.checkpoints)["entries"],
        txn.stat(databases.cursors)["entries"],
        used_bytes=sum(used.values()),
        ever_saved=fmt.decode_number(next_local_id(txn, databases)) - 1,
    )


def _keys(txn: Transaction[bytes], databases: Databases, end: bytes, value: bytes) -> list[bytes]:
    """Return the keys of the events of a run that are not deleted: at least one."""
    run = Run(end, value)
    run.check_front()
    deleted = set(positions(txn.get(end, db=databases.dead, default=b"")))
    keys = [key for slot, key in enumerate(run.keys()) if slot not in deleted]
    return keys or [end]


def _flags(txn: Transaction[bytes], databases: Databases) -> int:
    """Return the number of different flags, of live and sealed events."""
    with (
        txn.cursor(db=databases.postings) as postings,
        txn.cursor(db=databases.totals) as totals,
    ):
        live = postings.iternext_nodup(keys=True, values=False)
        sealed = (term for term, total in totals.iternext() if fmt.decode_number(total))
        return sum(1 for term, _ in groupby(merge(live, sealed)) if fmt.is_flag(term))
