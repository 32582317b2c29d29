"""Creating a store: completely, in a temporary folder next to its place, then renamed.

A crash is known to break an LMDB file for good only before its first commit. So a new store is
made, committed and flushed under another name; renaming a folder is atomic. If two processes create
the same store at once, the second finds the store of the first and opens it. An empty folder that
exists keeps its owner and rights, and gets the finished files.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING, NamedTuple

import lmdb

from lmdbstore.disk.databases import MAX_DATABASES, create_databases
from lmdbstore.disk.files import flush_folder, temporary_folder
from lmdbstore.disk.folder import (
    BARRIER_FILE,
    DATA_FILE,
    FILE_MODE,
    SNAPSHOTS_FILE,
    StoreFolder,
)
from lmdbstore.disk.lmdb_errors import advice, map_advice
from lmdbstore.disk.rights import give, rights_of
from lmdbstore.errors import StoreOpenError, shown
from lmdbstore.processes.barrier import create_barrier_file
from lmdbstore.processes.snapshot_notes import create_snapshots_file

from .lock_file import create_lock_file

if TYPE_CHECKING:
    from lmdbstore.disk.rights import Rights

__all__ = ["NewStore", "create_store"]

FIRST_READERS = 126  # reader slots that LMDB needs at the first opening
FIRST_MAP = 1 << 20  # bytes; room for the empty databases


class NewStore(NamedTuple):
    """The options of a store to be created."""

    mode: int  # the rights of its files
    max_readers: int
    map_size: int  # bytes; if too large for the address space, creating fails and leaves nothing


def create_store(folder: StoreFolder, new: NewStore, *, create: bool, readonly: bool) -> None:
    """Create an empty store in a folder that holds none, if that is allowed.

    Its files get the rights of `new.mode`, whatever the umask, and the owner and the group of a
    folder that exists, if this process may give them. A new folder gets the right to enter it for
    every user that may read them.

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
            rights = rights_of(os.stat(made))  # the group may be that of the parent
            _fill(StoreFolder(made), new, rights._replace(mode=FILE_MODE))
            wanted = rights_of(os.stat(path)) if parent == path else rights
            _set_rights(made, wanted._replace(mode=new.mode))
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
        if others and DATA_FILE not in others:  # another process may have just put it there
            raise StoreOpenError(
                f"the folder {shown(path)} holds other things and no store; choose an empty folder "
                "or a new one"
            )
    if not create:
        how = "without readonly=True" if readonly else "with create=True"
        raise StoreOpenError(f"there is no store at {shown(path)}; open it {how} to make one")
    if not os.path.isdir(os.path.dirname(path)):
        raise StoreOpenError(
            f"the folder {shown(os.path.dirname(path))} does not exist; make it first"
        )


def _fill(made: StoreFolder, new: NewStore, rights: Rights) -> None:
    create_lock_file(made, max(new.max_readers, FIRST_READERS), rights)
    environment = lmdb.open(
        os.fsencode(made.path),  # as str it would have to be UTF-8
        map_size=max(new.map_size, FIRST_MAP),
        mode=FILE_MODE,
        max_dbs=MAX_DATABASES,
        create=False,
        sync=True,
    )
    try:
        create_databases(environment)
    finally:
        environment.close()
    create_barrier_file(made, rights)
    create_snapshots_file(made, rights)
    flush_folder(made.path)


def _set_rights(made: str, wanted: Rights) -> None:
    # Through descriptors: an owner of the folder above could put a link in the place of a name.
    folder = os.open(made, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        for name in os.listdir(folder):
            file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            try:
                give(file, wanted)
            finally:
                os.close(file)
        status, mode = os.fstat(folder), wanted.mode
        os.fchmod(folder, mode | (mode & 0o444) >> 2 | status.st_mode & stat.S_ISGID)
    finally:
        os.close(folder)


def _move_in(made: str, path: str) -> None:
    """Link the files into an existing folder; it is a store as soon as it has the data file.

    A link never replaces a file: so of two processes only one succeeds.
    """
    for name in (BARRIER_FILE, SNAPSHOTS_FILE, DATA_FILE):
        with contextlib.suppress(FileExistsError):
            os.link(os.path.join(made, name), os.path.join(path, name))


def _rename(made: str, folder: StoreFolder) -> None:
    try:
        os.rename(made, folder.path)
    except OSError:
        # Another process may have put its own store there in the meantime: then that is the store.
        if not folder.has_store:
            raise
