"""The named databases: their names, their handles, and the check that a file is a store.

Rules: all of them are opened at the start. With the right to write, that takes a write transaction,
because py-lmdb forgets handles that a read transaction opened. This module begins the transaction,
under the barrier's lock: one that py-lmdb begins would wait with the interpreter's lock held.
"""

from __future__ import annotations

import os
import time
from itertools import repeat
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

import lmdb

from lmdbstore.contract.commits.position import Lineage, new_identity
from lmdbstore.errors import EventReadException, StoreDamaged, StoreOpenError

from . import format as fmt
from .lmdb_errors import in_any_map
from .map_size import adopt_map

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from lmdb import Transaction
    from lmdb import _Database as Database

    from lmdbstore.contract.query import Query
    from lmdbstore.threads.deadline import Deadline

__all__ = [
    "DUPLICATES",
    "MAX_DATABASES",
    "NAMES",
    "Begins",
    "Databases",
    "Opened",
    "Reads",
    "bytes_in_use",
    "check_is_store",
    "create_databases",
    "doubt_of",
    "is_store",
    "lineage_of",
    "next_local_id",
    "number_of_events",
    "open_databases",
]

T = TypeVar("T")


class _Handles(NamedTuple):
    live: Database
    runs: Database
    ids: Database
    postings: Database
    run_postings: Database
    totals: Database
    summaries: Database
    dead: Database
    commits: Database
    checkpoints: Database
    cursors: Database
    meta: Database


class Opened(NamedTuple):
    """What a store had when its file was opened, for rates since then."""

    time: float  # of the monotonic clock, in seconds
    following: bytes  # the next local id, as it was found
    commits: int


class Databases(_Handles):
    """The handles of the named databases, the seed of id keys, and what there was at the opening.

    See `disk.format`.
    """

    seed = 0
    opened: Opened


NAMES = frozenset(name.encode() for name in Databases._fields)
MAX_DATABASES = 16  # more than exist, for later versions
# Databases of pairs of one size: DUPSORT and DUPFIXED.
DUPLICATES = frozenset([fmt.POSTINGS, fmt.RUN_POSTINGS])
IN_ORDER = [name.encode() for name in Databases._fields]
PAIRS = [name in DUPLICATES for name in IN_ORDER]


class Reads(Protocol):
    """Runs work in a read transaction: a new one for each call, or that of a snapshot."""

    def __call__(
        self, work: Callable[[Transaction[bytes], Databases], T], /, *, views: bool = False
    ) -> T:
        """Run `work`, and return what it returns.

        With `views`, it may read memory views instead of copies; `work` returns none of them.
        """


class Begins(Protocol):
    """Runs the first read of a call, like `Reads`."""

    def __call__(
        self,
        work: Callable[[Transaction[Any], Databases], T],
        deadline: Deadline | None = None,
        concern: str | Query | None = None,
        /,
    ) -> T:
        """Run `work`, and return what it returns; wait for a write until the deadline.

        It may read memory views instead of copies, and returns none of them.
        `concern` is what the result depends on: all events; or those that a query finds, and which
        `work` does not count; or one id: then `work` returns None if there is no such event.
        """


def is_store(names: Collection[bytes]) -> bool:
    """Whether a file with databases of these names is a store, even if some are missing."""
    return len(NAMES.intersection(names)) * 2 >= len(NAMES)


def bytes_in_use(txn: Transaction[bytes], databases: Databases) -> dict[str, int]:
    """Return the bytes in the pages of each database; free pages belong to none."""
    stats = {name: txn.stat(handle) for name, handle in databases._asdict().items()}
    return {
        name: (stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]) * stat["psize"]
        for name, stat in stats.items()
    }


def next_local_id(txn: Transaction[Any], databases: Databases) -> bytes:
    """Return the next local id, encoded: the watermark of the events saved so far.

    Raises:
        StoreDamaged: it is missing.
    """
    found = txn.get(fmt.NEXT, db=databases.meta)
    if found is None:
        raise StoreDamaged("the store's next local id is missing")
    return bytes(found)


def lineage_of(txn: Transaction[Any], databases: Databases) -> Lineage:
    """Return the identity of the store, and the stores of which it is a copy.

    Raises:
        StoreDamaged: it is lost.
    """
    found = txn.get(fmt.IDENTITY, db=databases.meta)
    lineage = fmt.decode_lineage(b"" if found is None else bytes(found))
    if lineage is None:
        raise StoreDamaged("the identity of the store is lost, so it has no positions; repair it")
    return lineage


def number_of_events(txn: Transaction[Any], databases: Databases) -> int:
    """Return the number of events, live and sealed; O(1)."""
    sealed = txn.get(fmt.SEALED, db=databases.meta)
    if sealed is None:
        raise StoreDamaged("the store's number of sealed events is missing")
    return txn.stat(databases.live)["entries"] + fmt.decode_number(bytes(sealed))


def create_databases(environment: lmdb.Environment) -> None:
    """Make the databases of an empty store; flushed when this returns.

    Raises:
        StoreOpenError, lmdb.Error: they could not be made.
    """
    txn = environment.begin(write=True)
    meta = _handles(environment, txn, create=True).meta
    for key, value, database in (
        (fmt.FORMAT, fmt.encode_checked(fmt.VERSION), meta),
        (fmt.IDENTITY, fmt.encode_lineage(Lineage(new_identity())), meta),
        (fmt.NEXT, fmt.encode_number(1), meta),
        (fmt.SEALED, fmt.encode_number(0), meta),
        (fmt.SEED, fmt.encode_checked(fmt.decode_number(os.urandom(8))), meta),
        (fmt.TRANSACTION, fmt.encode_checked(txn.id()), None),
    ):
        if not txn.put(key, value, db=database):
            raise StoreOpenError(f"the store could not be made: {key!r} was not written")
    txn.commit()
    environment.sync(True)


def open_databases(
    environment: lmdb.Environment, path: str, *, readonly: bool
) -> tuple[Databases, bytes | None]:
    """Open the named databases of the store in `path`, and return its identity; None if it is lost.

    With the right to write, no one else writes in the meantime.

    Raises:
        StoreOpenError: it is not a store, or has another format version, or is in a former state.
    """

    def work() -> tuple[Databases, bytes | None]:
        try:
            if readonly:
                handles = _handles(environment, None)
            else:
                txn = environment.begin(write=True)
                handles = _handles(environment, txn)
                txn.commit()
        except lmdb.NotFoundError:
            check_is_store(environment, path)  # says what is missing
            raise
        txn = environment.begin()
        try:  # half the time of a `with` block, which does the same
            _check_version(txn.get(fmt.FORMAT, db=handles.meta), path)
            _check_state(txn, path)
            handles.seed = _seed(txn.get(fmt.SEED, db=handles.meta), path)
            following = txn.get(fmt.NEXT, db=handles.meta) or b""
            handles.opened = Opened(time.monotonic(), following, txn.id())
            identity = fmt.decode_identity(txn.get(fmt.IDENTITY, db=handles.meta) or b"")
        finally:
            txn.abort()
        return handles, identity

    return _while_opening(environment, path, work)


def check_is_store(environment: lmdb.Environment, path: str) -> None:
    """Raise StoreOpenError if the file does not hold the databases of a store."""

    def work() -> set[bytes]:
        with environment.begin() as txn, txn.cursor() as cursor:
            return set(cursor.iternext(keys=True, values=False))

    names = _while_opening(environment, path, work)
    if not is_store(names):
        raise StoreOpenError(
            f"{path!r} holds an LMDB file that is not a store of lmdbstore; choose another folder"
        )
    for name in sorted(NAMES - names):
        raise StoreOpenError(
            f"the store {path!r} is damaged: its database {name.decode()} is missing; repair it"
        )


def _while_opening(environment: lmdb.Environment, path: str, work: Callable[[], T]) -> T:
    """Run `work` before anyone else uses the environment, so its map can be resized at once."""
    try:
        return in_any_map(work, lambda: adopt_map(environment))
    except (lmdb.Error, EventReadException) as error:  # also StoreDamaged
        raise StoreOpenError(f"the store {path!r} could not be opened: {error}") from error


def _handles(
    environment: lmdb.Environment, txn: Transaction[bytes] | None, *, create: bool = False
) -> Databases:
    no = repeat(False)
    # key, txn, reverse_key, dupsort, create, integerkey, integerdup, dupfixed
    options = IN_ORDER, repeat(txn), no, PAIRS, repeat(create), no, no, PAIRS
    return Databases(*map(environment.open_db, *options))


def _check_version(found: bytes | None, path: str) -> None:
    version = fmt.decode_checked(found or b"")
    if version is None:
        raise StoreOpenError(
            f"the store {path!r} is damaged: its format version is lost; repair it"
        )
    if version != fmt.VERSION:
        raise StoreOpenError(
            f"the store {path!r} has format version {version}, and this lmdbstore reads version "
            f"{fmt.VERSION}; use the lmdbstore that wrote it"
        )


def _seed(found: bytes | None, path: str) -> int:
    seed = fmt.decode_checked(found or b"")
    if seed is None:
        raise StoreOpenError(f"the store {path!r} is damaged: its seed is lost; repair it")
    return seed


def _check_state(txn: Transaction[bytes], path: str) -> None:
    if doubt := doubt_of(txn):
        raise StoreOpenError(f"the store {path!r} is damaged: {doubt}; repair it")


def doubt_of(txn: Transaction[bytes]) -> str | None:
    """Return why a state may be a former one, in words; None if it is the last one.

    The noted number may be later than LMDB's: a transaction gets its number first and its state
    afterwards, and another process may have written that state in the meantime.
    """
    noted = fmt.decode_checked(txn.get(fmt.TRANSACTION) or b"")
    if noted is not None and noted >= txn.id():
        return None
    return (
        f"LMDB reads the state of transaction {txn.id()}, and it notes that it is of {noted}, so "
        "this may be a former state"
    )
