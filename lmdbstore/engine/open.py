"""Opening: from a path to the environment, in one sequence.

Each step prevents one failure, and later steps rely on it:
1. No other thread of the process opens or closes a store; stores that were dropped without closing
   are closed. Files that are links are refused.
2. The store is created if it is missing and may be created.
3. If this process has the folder open already, that environment is shared.
4. The process is present in the folder, so that no other process replaces the data file.
5. The file is inspected, and LMDB opens it, while no other process does the same.
6. The file is checked to be a store; its side files are made if missing, and opened. Marks exclude
   processes that use other side files.
7. Its databases are opened, while no other process writes.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from lmdbstore.disk.databases import check_is_store, open_databases
from lmdbstore.disk.folder import (
    BARRIER_FILE,
    DATA_FILE,
    FILE_MODE,
    LOCK_FILE,
    SNAPSHOTS_FILE,
    StoreFolder,
)
from lmdbstore.disk.rights import mend, rights_of, same_rights
from lmdbstore.errors import InvalidOption, StoreOpenError, shown
from lmdbstore.processes.barrier import Barrier, create_barrier_file
from lmdbstore.processes.marks import Marks
from lmdbstore.processes.opening_lock import opening_lock
from lmdbstore.processes.presence import Presence
from lmdbstore.processes.snapshot_notes import Notes, create_snapshots_file
from lmdbstore.threads import forking
from lmdbstore.threads.run_locked import run_locked

from . import registry
from .create import NewStore, create_store
from .environment import Environment, Opened
from .open_lmdb import open_lmdb

if TYPE_CHECKING:
    import lmdb

    from lmdbstore.disk.databases import Databases
    from lmdbstore.disk.folder import Files

    from .options import Options

__all__ = ["open_environment"]

NEEDED_FILES = BARRIER_FILE, LOCK_FILE  # no process can use the store without them


def open_environment(
    path: str, options: Options, user: object, *, create: bool, mode: int = FILE_MODE
) -> Environment:
    """Return the environment on `path`, opened or shared, with one more user.

    `registry.release` takes the user away. `mode` is the rights of the files of a new store.

    Raises:
        StoreOpenError: the store does not exist and may not be created, or cannot be opened.
        InvalidOption: it is open in this process with another option.
    """
    folder = StoreFolder(path)
    return run_locked(forking.process_lock(), _open_or_share, folder, options, user, create, mode)


def _open_or_share(
    folder: StoreFolder, options: Options, user: object, create: bool, mode: int
) -> Environment:
    registry.release_unused()
    files = folder.check_plain()
    data = files.get(DATA_FILE)
    identity = (data.st_dev, data.st_ino) if data else folder.identity
    if identity is None:
        new = NewStore(mode, options.max_readers, options.map_size or 0)
        create_store(folder, new, create=create, readonly=options.readonly)
        identity = folder.identity
    if identity is None:
        raise StoreOpenError(f"the store {folder.path!r} was removed while it was being opened")
    environment = registry.find(identity)
    if environment is None:
        environment = _open(folder, options, files)
        environment.add_user(user)
        # By the identity of the opened file: before that, a process might have replaced it.
        registry.add(environment, identity)
    else:
        _check_agreement(folder.path, environment.options, options)
        environment.add_user(user)
    return environment


def _open(folder: StoreFolder, options: Options, files: Files) -> Environment:
    with contextlib.ExitStack() as undo:
        presence = Presence(folder)
        undo.callback(presence.close)
        _mend_rights(folder, files)
        marks = Marks(folder)
        undo.callback(marks.close)
        with opening_lock(folder, marks.descriptor):
            opened = open_lmdb(folder, options, marks)
            undo.callback(opened.close)
            if not marks.complete or SNAPSHOTS_FILE not in files:  # as in a copy of the data file
                check_is_store(opened, folder.path)
                _provide_side_files(folder, readonly=options.readonly)
                marks.use_barrier()
        check_is_store(opened, folder.path)
        barrier = Barrier(folder, readonly=options.readonly)
        undo.callback(barrier.close)
        notes = Notes(folder)
        undo.callback(notes.close)
        databases = _open_databases(folder, opened, barrier, readonly=options.readonly)
        undo.pop_all()
    return Environment(folder, options, Opened(presence, marks, opened, databases, barrier, notes))


def _mend_rights(folder: StoreFolder, files: Files) -> None:
    """Let everyone that may use the data file use the side files that are needed, if possible."""
    data = files.get(DATA_FILE)
    for name in NEEDED_FILES:
        side = files.get(name)
        if data and side and not same_rights(side, data):
            mend(f"{folder.path}/{name}", rights_of(data))


def _provide_side_files(folder: StoreFolder, *, readonly: bool) -> None:
    """Make the side files that are missing: a bare copy of the data file has none."""
    rights = folder.rights
    create_barrier_file(folder, rights, readonly=readonly)
    if not readonly:
        create_snapshots_file(folder, rights)


def _open_databases(
    folder: StoreFolder, opened: lmdb.Environment, barrier: Barrier, *, readonly: bool
) -> Databases:
    if readonly:
        return open_databases(opened, folder.path, readonly=True)
    try:
        barrier.lock()
        return open_databases(opened, folder.path, readonly=False)
    except OSError as error:
        raise StoreOpenError(f"the store {folder.path!r} could not be locked: {error}") from error
    finally:
        barrier.unlock()


def _check_agreement(path: str, present: Options, wanted: Options) -> None:
    for name, has, wants in zip(present._fields, present, wanted, strict=True):
        if has != wants:
            raise InvalidOption(
                f"{name}: {shown(wants)} contradicts {shown(has)}, with which this process has "
                f"the store {path!r} open; pass the same value, or close the other store first"
            )
