"""Opens the store that a command is for, in a folder or on a server.

Rules: only what is for writing new events creates one.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from lmdbstore.address import Server, open_server
from lmdbstore.disk.folder import BARRIER_FILE, DATA_FILE
from lmdbstore.errors import StoreOpenError, shown
from lmdbstore.sql.options import OnStandbyError
from lmdbstore.store import LMDBEventStore

from .terminal import complain

if TYPE_CHECKING:
    from lmdbstore.contract.api import EventStore
    from lmdbstore.sql.store import SQLEventStore
    from lmdbstore.store import Compression, Consistency

__all__ = [
    "Location",
    "check_store",
    "folder_of",
    "open_folder",
    "open_or_create",
    "open_rows",
    "open_to_read",
    "stores_in",
]

Location: TypeAlias = Path | Server
"""Where a store is: a folder, or a server."""


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


def folder_of(db: Location | None) -> Path | None:
    """Return the folder of a store; None if it is in none."""
    return db if isinstance(db, Path) else None


def check_store(db: Location) -> None:
    """Check that there is a store in the folder `db`; for a server, opening it tells.

    Raises:
        StoreOpenError: there is none.
        OSError: the folder cannot be read.
    """
    if isinstance(db, Path) and not (db / DATA_FILE).exists():
        raise StoreOpenError(
            f"there is no store in {shown(str(db))}; 'lmdbstore import --db DIR FILE' creates one"
        )


def open_to_read(
    db: Location, timeout: float | None = None, *, consistency: Consistency = "strict"
) -> EventStore:
    """Open the store at `db` for reading only; `timeout` bounds its waits, in seconds.

    With the consistency "snapshot" no read waits for a writer. A standby of PostgreSQL can give
    nothing else; then a line on standard error says so.

    Raises:
        StoreOpenError: there is no store, or it cannot be opened.
        OSError: the folder cannot be read.
    """
    if isinstance(db, Server):
        return _opened_to_read(db, timeout, consistency)
    return open_folder(db, timeout, readonly=True, consistency=consistency)


def open_or_create(
    db: Location, timeout: float | None = None, compression: Compression | None = None
) -> EventStore:
    """Open the store at `db` for writing, and make it if there is none.

    Raises:
        UsageError: there is a `compression`, and the store is on a server.
        StoreOpenError: it cannot be opened, or made.
    """
    if isinstance(db, Server):
        if compression is not None:
            raise click.UsageError(
                "--compression is for a store in a folder; leave it out for PostgreSQL, which "
                "compresses by itself"
            )
        return _opened(db, timeout=timeout)
    return LMDBEventStore(db, timeout=timeout, compression=compression)


def open_folder(
    db: Path,
    timeout: float | None = None,
    *,
    readonly: bool,
    compression: Compression | None = None,
    consistency: Consistency = "strict",
) -> LMDBEventStore:
    """Open the store in the folder `db`. Raises what `open_to_read` raises."""
    check_store(db)
    return LMDBEventStore(
        db,
        create=False,
        readonly=readonly,
        consistency=consistency,
        timeout=timeout,
        compression=compression,
    )


def open_rows(db: Server, timeout: float | None = None, *, readonly: bool) -> SQLEventStore:
    """Open the store on a server. Raises what `open_to_read` raises."""
    if readonly:
        return _opened_to_read(db, timeout, "strict")
    return _opened(db, create=False, readonly=False, timeout=timeout)


def _opened_to_read(db: Server, timeout: float | None, consistency: Consistency) -> SQLEventStore:
    options = {"create": False, "readonly": True, "timeout": timeout}
    try:
        store = _opened(db, consistency=consistency, **options)
    except OnStandbyError:
        store = _opened(db, consistency="snapshot", **options)
        if not store.standby:  # of several hosts it was another one this time
            store.close()
            store = _opened(db, consistency=consistency, **options)
    if store.standby:
        complain("the server is a standby: what it shows may lag behind the primary")
    return store


def _opened(server: Server, **options: Any) -> SQLEventStore:
    # The pool logs what went wrong with a connection. Calls raise it too, and an interrupt is none.
    logging.getLogger("psycopg.pool").addHandler(logging.NullHandler())
    return open_server(server, **options)
