"""Opening: from a path to the environment, in one sequence.

Each step prevents one failure, and later steps rely on it:
1. No other thread of the process opens or closes a store; stores that were dropped without closing
   are closed. Files that are links are refused.
2. The store is created if it is missing and may be created.
3. If this process has the folder open already, that environment is shared; one that only reads
   becomes a writer if this store writes.
4. The process is present in the folder, so that no other process replaces the data file.
5. The file is inspected, and LMDB opens it, while no other process does the same.
6. The file is checked to be a store; its side files are made if missing, and opened.
7. Its databases are opened, while no other process writes.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from lmdbstore.disk.databases import check_is_store, open_databases
from lmdbstore.disk.folder import FILE_MODE, StoreFolder
from lmdbstore.errors import InvalidOption, StoreOpenError, shown
from lmdbstore.processes.barrier import Barrier, create_barrier_file
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

    from .options import Options

__all__ = ["open_environment"]


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
    folder.check_plain()
    identity = folder.identity
    if identity is None:
        new = NewStore(mode, options.slots, options.map_size or 0)
        create_store(folder, new, create=create, readonly=options.readonly)
        identity = folder.identity
    if identity is None:
        raise StoreOpenError(f"the store {folder.path!r} was removed while it was being opened")
    environment = registry.find(identity)
    if environment is None:
        environment = _open(folder, options)
        environment.add_user(user)
        # By the identity of the opened file: before that, a process might have replaced it.
        registry.add(environment, identity)
    else:
        _check_agreement(folder.path, environment.options, options)
        if environment.options.readonly and not options.readonly:
            _provide_side_files(folder)
            environment.reopen_for_writing(options)
        environment.add_user(user)
    return environment


def _open(folder: StoreFolder, options: Options) -> Environment:
    with contextlib.ExitStack() as undo:
        presence = Presence(folder)
        undo.callback(presence.close)
        with opening_lock(folder):
            opened = open_lmdb(folder, options, many=registry.are_many())
        undo.callback(opened.close)
        check_is_store(opened, folder.path)
        if not options.readonly:
            _provide_side_files(folder)  # a bare copy of the data file has none
        notes = Notes(folder)
        undo.callback(notes.close)
        barrier = Barrier(folder, readonly=options.readonly)
        undo.callback(barrier.close)
        databases = _open_databases(folder, opened, barrier, readonly=options.readonly)
        undo.pop_all()
    return Environment(folder, options, Opened(presence, opened, databases, barrier, notes))


def _provide_side_files(folder: StoreFolder) -> None:
    rights = folder.rights
    create_barrier_file(folder, rights)
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
    if conflict := present.conflict(wanted):
        name, has, wants = conflict
        raise InvalidOption(
            f"{name}: {shown(wants)} contradicts {shown(has)}, with which this process has the "
            f"store {path!r} open; pass the same value, or close the other store first"
        )
