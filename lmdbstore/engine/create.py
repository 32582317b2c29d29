"""Making a store: whole in a folder beside its place, and given its name at the end.

The only states found in which a crash breaks an LMDB file for good lie before its first commit. So
a new store is made, committed and flushed under another name; renaming a folder is atomic. Of two
processes that make the same store at once, the second finds the first's and opens it. A folder that
is there and empty stays as it is, with its owner and rights; it is given the finished files.
"""

from __future__ import annotations

import contextlib
import os
from typing import NamedTuple

import lmdb

from lmdbstore.disk.databases import create_databases
from lmdbstore.disk.files import flush_folder, temporary_folder
from lmdbstore.disk.folder import (
    BARRIER_FILE,
    DATA_FILE,
    FILE_MODE,
    SNAPSHOTS_FILE,
    StoreFolder,
)
from lmdbstore.disk.lmdb_errors import advice, map_advice
from lmdbstore.errors import StoreOpenError, shown
from lmdbstore.processes.barrier import create_barrier_file
from lmdbstore.processes.snapshot_notes import create_snapshots_file

from .lock_file import allocate_lock_file

__all__ = ["NewStore", "create_store"]

FIRST_READERS = 126  # that LMDB makes room for in the first opening
FIRST_MAP = 1 << 20  # bytes; room for the empty databases
MOST_DATABASES = 8


class NewStore(NamedTuple):
    """What a store that is made is made with."""

    mode: int  # the rights of its files
    max_readers: int
    map_size: int  # bytes; too many for the address space show here, before anything is there


def create_store(folder: StoreFolder, new: NewStore, *, create: bool, readonly: bool) -> None:
    """Make an empty store in a folder that holds none, if that is allowed.

    Its files get the rights of `new.mode`, and its folder, if it is made, the right to look into it
    for all who may read them, whatever the umask.

    Raises:
        StoreOpenError: something else is in the way, or the folder cannot be made.
    """
    if folder.has_store:
        return  # another process has just made it
    path = folder.path
    _check_free(folder, create=create and not readonly, readonly=readonly)
    parent = path if os.path.isdir(path) else os.path.dirname(path)
    try:
        with temporary_folder(parent) as made:
            os.mkdir(made, 0o700)
            _fill(StoreFolder(made), new)
            _set_rights(made, new.mode)
            if parent == path:
                _move_in(made, path)
            else:
                _rename(made, folder)
            flush_folder(parent)
    except (OSError, lmdb.Error) as error:
        what = advice(error) or (map_advice(error) if isinstance(error, lmdb.Error) else "")
        raise StoreOpenError(f"the store {shown(path)} could not be made: {error}{what}") from error


def _check_free(folder: StoreFolder, *, create: bool, readonly: bool) -> None:
    path = folder.path
    if os.path.lexists(path):
        if not os.path.isdir(path):
            raise StoreOpenError(f"{shown(path)} is not a folder; a store is a folder of its own")
        others = folder.foreign_names()
        if others and DATA_FILE not in others:  # which another process may just have put there
            raise StoreOpenError(
                f"the folder {shown(path)} holds other things and no store; choose an empty or a "
                "new one"
            )
    if not create:
        how = "without readonly=True" if readonly else "with create=True"
        raise StoreOpenError(f"there is no store at {shown(path)}; open it {how} to make one")
    if not os.path.isdir(os.path.dirname(path)):
        raise StoreOpenError(
            f"the folder {shown(os.path.dirname(path))} is not there; make it first"
        )


def _fill(made: StoreFolder, new: NewStore) -> None:
    allocate_lock_file(made.lock, max(new.max_readers, FIRST_READERS), FILE_MODE)
    environment = lmdb.open(
        os.fsencode(made.path),  # as str it would have to be UTF-8
        map_size=max(new.map_size, FIRST_MAP),
        mode=FILE_MODE,
        max_dbs=MOST_DATABASES,
        create=False,
        sync=True,
    )
    try:
        create_databases(environment)
    finally:
        environment.close()
    create_barrier_file(made, FILE_MODE)
    create_snapshots_file(made, FILE_MODE)
    flush_folder(made.path)


def _set_rights(made: str, mode: int) -> None:
    for name in os.listdir(made):
        os.chmod(os.path.join(made, name), mode)
    os.chmod(made, mode | (mode & 0o444) >> 2)


def _move_in(made: str, path: str) -> None:
    """Give a folder that is there its files; it is a store from the moment the data file is in.

    A link, which is never made over another: so of two processes one is first.
    """
    for name in (BARRIER_FILE, SNAPSHOTS_FILE, DATA_FILE):
        with contextlib.suppress(FileExistsError):
            os.link(os.path.join(made, name), os.path.join(path, name))


def _rename(made: str, folder: StoreFolder) -> None:
    try:
        os.rename(made, folder.path)
    except OSError:
        # Another process has put its own store there in the meantime: then that is the store.
        if not folder.has_store:
            raise
