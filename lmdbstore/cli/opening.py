"""Opening a store to look at it: never made, never written to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmdbstore import LMDBEventStore, StoreOpenError
from lmdbstore.creation import DATA_FILE
from lmdbstore.errors import shown

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["open_to_read"]


def open_to_read(db: Path) -> LMDBEventStore:
    """Open the store in the folder `db` without the right to write.

    Raises:
        StoreOpenError: there is none, or it cannot be opened.
        OSError: the folder cannot be looked into.
    """
    if not (db / DATA_FILE).exists():
        raise StoreOpenError(
            f"there is no store in {shown(str(db))}; 'lmdbstore import --db DIR FILE' makes one"
        )
    return LMDBEventStore(db, create=False, readonly=True)
