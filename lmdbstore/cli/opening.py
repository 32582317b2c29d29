"""Opens a store that exists, to read it or to write to it; never creates one."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from lmdbstore.disk.folder import BARRIER_FILE, DATA_FILE
from lmdbstore.errors import StoreOpenError, shown
from lmdbstore.store import LMDBEventStore

if TYPE_CHECKING:
    from pathlib import Path

    from lmdbstore.store import Compression

__all__ = ["check_store", "open_to_read", "open_to_serve", "open_to_write", "stores_in"]


def stores_in(folder: Path) -> list[Path]:
    """Return the stores in a folder, by name; or the folder itself, if it is one."""
    if _is_store(folder):
        return [folder]
    with suppress(OSError):
        return sorted(filter(_is_store, folder.iterdir()))
    return []


def _is_store(folder: Path) -> bool:
    # Other folders of LMDB have no barrier. Without the right to look it is none.
    return all(os.path.isfile(folder / name) for name in (DATA_FILE, BARRIER_FILE))


def check_store(db: Path) -> None:
    """Check that there is a store in the folder `db`.

    Raises:
        StoreOpenError: there is none.
        OSError: the folder cannot be read.
    """
    if not (db / DATA_FILE).exists():
        raise StoreOpenError(
            f"there is no store in {shown(str(db))}; 'lmdbstore import --db DIR FILE' creates one"
        )


def open_to_read(db: Path, timeout: float | None = None) -> LMDBEventStore:
    """Open the store in the folder `db` for reading only; `timeout` bounds its waits, in seconds.

    Raises:
        StoreOpenError: there is no store, or it cannot be opened.
        OSError: the folder cannot be read.
    """
    return _open(db, timeout, readonly=True)


def open_to_serve(db: Path, timeout: float | None = None) -> LMDBEventStore:
    """Open the store in the folder `db` for reading only, so that no read waits for a writer."""
    check_store(db)
    return LMDBEventStore(db, create=False, readonly=True, consistency="snapshot", timeout=timeout)


def open_to_write(
    db: Path, timeout: float | None = None, compression: Compression | None = None
) -> LMDBEventStore:
    """Open the store in the folder `db` for writing. Raises what `open_to_read` raises."""
    return _open(db, timeout, readonly=False, compression=compression)


def _open(
    db: Path, timeout: float | None, *, readonly: bool, compression: Compression | None = None
) -> LMDBEventStore:
    check_store(db)
    return LMDBEventStore(
        db, create=False, readonly=readonly, timeout=timeout, compression=compression
    )
