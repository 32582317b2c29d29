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
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import lmdb

from lmdbstore.disk.databases import MAX_DATABASES, create_databases
from lmdbstore.disk.files import (
    Directory,
    flush_folder,
    in_made_folder,
    in_temporary_folder,
)
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
from lmdbstore.processes.barrier_file import create_barrier_file
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
    every user that may read them. Missing parent folders get the usual rights.

    Raises:
        StoreOpenError: something else is in the way, or the folder cannot be made.
    """
    if folder.has_store:
        return  # another process has just made it
    path = folder.path
    _check_free(folder, create=create and not readonly, readonly=readonly)
    exists = os.path.isdir(path)
    at = path if exists else os.path.dirname(path)
    try:
        make = partial(_make, folder, new, exists=exists)
        in_made_folder(at, lambda parent: in_temporary_folder(parent, partial(make, parent)))
    except (OSError, lmdb.Error) as error:
        what = advice(error, at) or (map_advice(error) if isinstance(error, lmdb.Error) else "")
        if isinstance(error, PermissionError):
            what = "; choose a folder in which this user may write"
        # Without the name of the temporary folder, which is gone.
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise StoreOpenError(
            f"the store {shown(path)} could not be made: {reason}{what}"
        ) from error


def _make(
    folder: StoreFolder, new: NewStore, parent: Directory, made: Directory, *, exists: bool
) -> None:
    """Make the store in the temporary folder `made`, and put it in place; raises OSError.

    `exists`: `parent` is the folder of the store; otherwise it is that in which it is to be.
    """
    path = folder.path
    if exists:  # what is open may be another folder than the one that was checked
        _check_empty(StoreFolder(path, parent.way))
    rights = rights_of(os.fstat(made.descriptor))  # the group may be that of the parent
    _fill(StoreFolder(path, made.way), made, new, rights._replace(mode=FILE_MODE))
    wanted = rights_of(os.fstat(parent.descriptor)) if exists else rights
    _set_rights(made, wanted._replace(mode=new.mode))
    if exists:
        _move_in(made, parent)
    else:
        _rename(made, parent, folder)
    flush_folder(parent)


def _check_free(folder: StoreFolder, *, create: bool, readonly: bool) -> None:
    path = folder.path
    if os.path.lexists(path):
        if not os.path.isdir(path):
            raise StoreOpenError(f"{shown(path)} is not a folder; a store is a folder of its own")
        _check_empty(folder)
    if not create:
        how = "without readonly=True" if readonly else "with create=True"
        raise StoreOpenError(f"there is no store at {shown(path)}; open it {how} to make one")


def _check_empty(folder: StoreFolder) -> None:
    others = folder.foreign_names()
    if others and DATA_FILE not in others:  # another process may have just put it there
        raise StoreOpenError(
            f"the folder {shown(folder.path)} holds other things and no store; choose an empty "
            "folder or a new one"
        )


def _fill(made: StoreFolder, directory: Directory, new: NewStore, rights: Rights) -> None:
    create_lock_file(made, max(new.max_readers, FIRST_READERS), rights)
    environment = lmdb.open(
        os.fsencode(made.way),  # as str it would have to be UTF-8
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
    flush_folder(directory)


def _set_rights(made: Directory, wanted: Rights) -> None:
    # Through descriptors: an owner of the folder above could put a link in the place of a name.
    for name in os.listdir(made.descriptor):
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        file = os.open(name, flags, dir_fd=made.descriptor)
        try:
            give(file, wanted)
        finally:
            os.close(file)
    status, mode = os.fstat(made.descriptor), wanted.mode
    os.fchmod(made.descriptor, mode | (mode & 0o444) >> 2 | status.st_mode & stat.S_ISGID)


def _move_in(made: Directory, folder: Directory) -> None:
    """Link the files into an existing folder; it is a store as soon as it has the data file.

    A link never replaces a file: so of two processes only one succeeds.
    """
    for name in (BARRIER_FILE, SNAPSHOTS_FILE, DATA_FILE):
        with contextlib.suppress(FileExistsError):
            os.link(name, name, src_dir_fd=made.descriptor, dst_dir_fd=folder.descriptor)


def _rename(made: Directory, parent: Directory, folder: StoreFolder) -> None:
    names = os.path.basename(made.path), os.path.basename(folder.path)
    try:
        os.rename(*names, src_dir_fd=parent.descriptor, dst_dir_fd=parent.descriptor)
    except OSError:
        # Another process may have put its own store there in the meantime: then that is the store.
        if not folder.has_store:
            raise
