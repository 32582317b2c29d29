"""Damage that is planted by hand: writes that go past the store, and are of its transactions."""

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
    """Give a write transaction, which is noted as the store's own are, and the databases."""
    databases = store._session._environment.databases
    txn: Any = store._session._environment.lmdb.begin(write=True)
    txn.put(fmt.TRANSACTION, fmt.encode_checked(txn.id()))
    yield txn, databases
    txn.commit()
