"""How a store comes to be: made whole in a folder beside its place, and given its name at the end.

The only states found in which a crash breaks an LMDB file for good lie before its first commit. So
a new store is made, committed and flushed under another name; renaming a folder is atomic. Of two
processes that make the same store at once, the second finds the first's and opens it.
"""

from __future__ import annotations

import contextlib
import os
import sys

import lmdb

from . import format as fmt
from .barrier import create_barrier_file
from .errors import StoreOpenError, shown

__all__ = ["DATA_FILE", "FILE_MODE", "check_is_lmdb", "create_store"]

DATA_FILE = "data.mdb"
FOLDER_MODE, FILE_MODE = 0o700, 0o600  # for their owner alone: events may hold secrets
# LMDB's first meta page: a page header of 16 bytes, then MDB_MAGIC in the machine's byte order
# (`mdb.c`, struct MDB_meta).
MAGIC_AT, MAGIC = 16, (0xBEEFC0DE).to_bytes(4, sys.byteorder)
FIRST_MAP = 1 << 20  # bytes; room for the empty databases


def create_store(path: str, *, create: bool) -> None:
    """Make an empty store at `path`, where none is.

    Raises:
        StoreOpenError: something else is in the way, or the folder cannot be made.
    """
    _check_free(path, create=create)
    parent, name = os.path.split(path)
    made = os.path.join(parent, f".{name}.new-{os.urandom(8).hex()}")
    try:
        os.mkdir(made, FOLDER_MODE)
        try:
            _fill(made)
            _rename(made, path)
            _flush_folder(parent)
        finally:
            _remove(made)
    except (OSError, lmdb.Error) as error:
        raise StoreOpenError(f"the store {shown(path)} could not be made: {error}") from error


def _remove(made: str) -> None:
    """Remove what was not renamed: a folder of plain files, if it is there at all."""
    with contextlib.suppress(OSError):
        for name in os.listdir(made):
            os.unlink(os.path.join(made, name))
        os.rmdir(made)


def _rename(made: str, path: str) -> None:
    try:
        os.rename(made, path)
    except OSError:
        # Another process has put its own store there meanwhile: then that is the store.
        if not os.path.exists(os.path.join(path, DATA_FILE)):
            raise


def check_is_lmdb(path: str) -> None:
    """Raise StoreOpenError if the data file in a folder does not begin as LMDB's do.

    LMDB finds that out for itself, but only when it has made a lock file beside it.
    """
    name = os.path.join(path, DATA_FILE)
    try:
        with open(name, "rb") as file:
            start = file.read(MAGIC_AT + len(MAGIC))
    except OSError as error:
        raise StoreOpenError(f"the store {shown(path)} could not be opened: {error}") from error
    if start[MAGIC_AT:] != MAGIC:
        raise StoreOpenError(f"{shown(name)} is not an LMDB file, or a damaged one")


def _check_free(path: str, *, create: bool) -> None:
    if os.path.lexists(path):
        if not os.path.isdir(path):
            raise StoreOpenError(f"{shown(path)} is not a folder; a store is a folder of its own")
        if os.listdir(path):
            raise StoreOpenError(
                f"the folder {shown(path)} holds other things and no store; choose an empty or a "
                "new one"
            )
    if not create:
        raise StoreOpenError(f"there is no store at {shown(path)}; open it with create=True")
    if not os.path.isdir(os.path.dirname(path)):
        raise StoreOpenError(
            f"the folder {shown(os.path.dirname(path))} is not there; make it first"
        )


def _fill(folder: str) -> None:
    environment = lmdb.open(
        folder, map_size=FIRST_MAP, mode=FILE_MODE, max_dbs=8, create=False, sync=True
    )
    try:
        txn = environment.begin(write=True)
        for name in (fmt.TIMELINE, fmt.IDS, fmt.COMMITS):
            environment.open_db(name, txn=txn)
        environment.open_db(fmt.FLAGS, txn=txn, dupsort=True, dupfixed=True)
        meta = environment.open_db(fmt.META, txn=txn)
        for key, number in ((fmt.FORMAT, fmt.VERSION), (fmt.NEXT, 1)):
            if not txn.put(key, fmt.encode_number(number), db=meta):
                raise StoreOpenError(f"the store could not be made: {key!r} was not written")
        txn.commit()
        environment.sync(True)
    finally:
        environment.close()
    create_barrier_file(folder, FILE_MODE)
    _flush_folder(folder)


def _flush_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
