"""Damage that is planted by hand: writes that bypass the store, in transactions like its own."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lmdbstore.disk import format as fmt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmdbstore import LMDBEventStore
    from lmdbstore.disk.databases import Databases

__all__ = ["writing"]


@contextmanager
def writing(store: LMDBEventStore) -> Iterator[tuple[Any, Databases]]:
    """Yield a write transaction, which is noted like those of the store, and the databases."""
    databases = store._session._environment.databases
    txn: Any = store._session._environment.lmdb.begin(write=True)
    txn.put(fmt.TRANSACTION, fmt.encode_checked(txn.id()))
    yield txn, databases
    txn.commit()
