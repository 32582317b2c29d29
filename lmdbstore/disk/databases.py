"""The handles of the named databases, and the check that a file is a store of ours.

Rules: all of them are opened at the start. With the right to write that takes a write transaction
(py-lmdb forgets handles that a read transaction opened there), begun by ourselves and under the
barrier's lock: one that py-lmdb begins would wait with the interpreter's lock held.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

import lmdb

from lmdbstore.errors import StoreDamaged, StoreOpenError

from . import format as fmt

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from lmdb import _Database as Database

__all__ = [
    "NAMES",
    "Databases",
    "bytes_in_use",
    "check_is_store",
    "doubt_of",
    "is_store",
    "open_databases",
]

T = TypeVar("T")


class Databases(NamedTuple):
    """The handles of the named databases; see `lmdbstore.disk.format`."""

    timeline: Database
    ids: Database
    flags: Database
    commits: Database
    signatures: Database
    meta: Database


NAMES = frozenset(name.encode() for name in Databases._fields)


def is_store(names: Collection[bytes]) -> bool:
    """Whether a file with databases of these names is a store, though some may be missing."""
    return len(NAMES.intersection(names)) * 2 >= len(NAMES)


def bytes_in_use(txn: lmdb.Transaction[bytes], databases: Databases) -> dict[str, int]:
    """Return the bytes in the pages of each database; free pages belong to none."""
    stats = {name: txn.stat(handle) for name, handle in databases._asdict().items()}
    return {
        name: (stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]) * stat["psize"]
        for name, stat in stats.items()
    }


def open_databases(environment: lmdb.Environment, path: str, *, readonly: bool) -> Databases:
    """Open the named databases of the store in `path`; with the right to write, no one else writes.

    Raises:
        StoreOpenError: it is not a store, one of another format version, or in a former state.
    """

    def work() -> Databases:
        if readonly:
            handles = _handles(environment, None)
        else:
            txn = environment.begin(write=True)
            handles = _handles(environment, txn)
            txn.commit()
        with environment.begin() as txn:
            _check_version(txn.get(fmt.FORMAT, db=handles.meta), path)
            _check_state(txn, path)
        return handles

    return _in_any_map(environment, path, work)


def check_is_store(environment: lmdb.Environment, path: str) -> None:
    """Raise StoreOpenError if the file does not hold the databases of a store."""

    def work() -> set[bytes]:
        with environment.begin() as txn, txn.cursor() as cursor:
            return set(cursor.iternext(keys=True, values=False))

    names = _in_any_map(environment, path, work)
    if not is_store(names):
        raise StoreOpenError(
            f"{path!r} holds an LMDB file that is not a store of lmdbstore; choose another folder"
        )
    for name in sorted(NAMES - names):
        raise StoreOpenError(
            f"the store {path!r} is damaged: its database {name.decode()} is missing; repair it"
        )


def _in_any_map(environment: lmdb.Environment, path: str, work: Callable[[], T]) -> T:
    """Run `work`; take over larger maps that others give the store, before anyone uses this one."""
    try:
        while True:
            try:
                return work()
            except lmdb.MapResizedError:
                environment.set_mapsize(0)
    except (lmdb.Error, StoreDamaged) as error:
        raise StoreOpenError(f"the store {path!r} could not be opened: {error}") from error


def _handles(environment: lmdb.Environment, txn: lmdb.Transaction[bytes] | None) -> Databases:
    return Databases(
        timeline=environment.open_db(fmt.TIMELINE, txn=txn, create=False),
        ids=environment.open_db(fmt.IDS, txn=txn, create=False),
        flags=environment.open_db(fmt.FLAGS, txn=txn, create=False, dupsort=True, dupfixed=True),
        commits=environment.open_db(fmt.COMMITS, txn=txn, create=False),
        signatures=environment.open_db(fmt.SIGNATURES, txn=txn, create=False),
        meta=environment.open_db(fmt.META, txn=txn, create=False),
    )


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


def _check_state(txn: lmdb.Transaction[bytes], path: str) -> None:
    if doubt := doubt_of(txn):
        raise StoreOpenError(f"the store {path!r} is damaged: {doubt}; repair it")


def doubt_of(txn: lmdb.Transaction[bytes]) -> str | None:
    """Return in words why a state may be a former one; None if it is the last one.

    What it notes may be later than what LMDB says: a transaction gets its number first and its
    state then, which others may have written meanwhile.
    """
    noted = fmt.decode_checked(txn.get(fmt.TRANSACTION) or b"")
    if noted is not None and noted >= txn.id():
        return None
    return (
        f"LMDB reads it as of transaction {txn.id()}, and it notes that it is of {noted}, so this "
        "may be a former state"
    )
