"""Opening: from a path to the environment, in one sequence.

Each step prevents one failure, and later steps rely on it:
1. No other thread of the process opens or closes a store; stores that were dropped without closing
   are closed. Files that are links are refused.
2. The store is created if it is missing and may be created.
3. If this process has the folder open already, that environment is shared; one that only reads
   becomes a writer if this store writes.
4. The process is present in the folder, so that no other process replaces the data file.
5. The file is inspected, and LMDB opens it, while no other process does the same.
6. Its side files are opened; if some are missing, the file is checked to be a store before they are
   made. Marks, and a lock on the barrier, exclude processes that use other files.
7. Its databases are opened for writing, while no other process writes: all that a store has.

No other thread can open a store, and the process cannot fork, until that is done: so it waits for
others only for a moment, gives way, and begins again. For the write of another process it does not
wait at all: if one goes on, the file is opened for reading only, and the
environment becomes a writer later (`OpenFile.become_writer`): for strict consistency before the
opening returns, and otherwise at the first write.
"""

from __future__ import annotations

import contextlib
import os
import time
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from lmdbstore.disk.databases import check_is_store, open_databases
from lmdbstore.disk.folder import (
    BARRIER_FILE,
    DATA_FILE,
    FILE_MODE,
    LOCK_FILE,
    SNAPSHOTS_FILE,
    StoreFolder,
    identity_of,
)
from lmdbstore.disk.rights import mend, rights_of, same_rights
from lmdbstore.errors import (
    EventWriteException,
    InvalidOption,
    OpenBusy,
    StoreClosed,
    StoreOpenError,
    WriteBusy,
    shown,
)
from lmdbstore.opening.create import NewStore, create_store
from lmdbstore.opening.open_lmdb import open_lmdb
from lmdbstore.opening.place import Files, Quick, quick_of
from lmdbstore.processes.barrier import Barrier
from lmdbstore.processes.barrier_file import create_barrier_file
from lmdbstore.processes.marks import Marks
from lmdbstore.processes.opening_lock import opening_busy, while_opening
from lmdbstore.processes.presence import Presence, in_use
from lmdbstore.processes.snapshot_notes import Notes, create_snapshots_file
from lmdbstore.processes.waits import FIRST_WAIT
from lmdbstore.threads import forking
from lmdbstore.threads.deadline import FOREVER, NOW, Deadline
from lmdbstore.threads.run_locked import run_within

from . import registry
from .environment import Environment
from .open_file import Opened, User

if TYPE_CHECKING:
    from collections.abc import Callable

    import lmdb

    from lmdbstore.disk.databases import Databases
    from lmdbstore.disk.folder import Identity, Present
    from lmdbstore.opening.options import Options

__all__ = ["Wait", "open_environment"]

MOMENT = 0.05  # seconds; almost every write ends sooner, and then the file is opened once

OTHER_DATA = (
    "is open in another process, whose data.mdb was removed or replaced since; close it there, and "
    "open it again: it then uses the file that is in the folder now"
)
SIDE_FILES = BARRIER_FILE, LOCK_FILE  # no process can use the store without them
NEEDED_FILES = {DATA_FILE, *SIDE_FILES}


class Wait(NamedTuple):
    """How long an opening waits for others, and for whom."""

    for_writers: bool = True  # otherwise only for a process that opens the same store
    deadline: Deadline = FOREVER


class _Found(NamedTuple):
    """What is in a folder before it is opened."""

    files: Present
    folder: os.stat_result | None  # before its files were examined; None if there is none
    began: int  # nanoseconds of the clock, before that

    @classmethod
    def of(cls, folder: StoreFolder) -> _Found:
        """Examine the folder and its files; raises StoreOpenError for a link or a device."""
        began = time.time_ns()
        try:
            status = os.stat(folder.path)
        except (OSError, ValueError):  # it is missing, or the error is raised when it is opened
            status = None
        return cls(folder.check_plain(), status, began)

    def has(self, files: Files) -> bool:
        """Whether these files were in the folder."""
        found = self.files
        if self.folder is None or not found.keys() >= NEEDED_FILES:
            return False
        return (
            files.folder == identity_of(self.folder)
            and files.data == identity_of(found[DATA_FILE])
            and files.barrier == identity_of(found[BARRIER_FILE])
            and files.lock == identity_of(found[LOCK_FILE])
        )

    @property
    def quick(self) -> Quick | None:
        """What a quick check compares, if it can tell later changes of the folder."""
        return None if self.folder is None else quick_of(self.folder, self.began)


def open_environment(  # noqa: PLR0913
    path: str, options: Options, user: User, wait: Wait, *, create: bool, mode: int = FILE_MODE
) -> Environment:
    """Return the environment on `path`, opened or shared, with one more user.

    `registry.release` takes the user away. `mode` is the rights of the files of a new store.

    Raises:
        StoreOpenError: the store does not exist and may not be created, or cannot be opened.
        InvalidOption: it is open in this process with another option.
        OpenBusy: others opened it, or wrote and `wait` is for writers, until the deadline.
    """
    folder, deadline = StoreFolder(path), wait.deadline
    refusal = partial(opening_busy, folder, deadline, in_process=True)
    environment = None
    while environment is None:
        moment = Wait(wait.for_writers, deadline.moment(MOMENT))
        parts = folder, options, user, moment, create, mode
        try:
            environment = run_within(
                forking.process_lock(), deadline, refusal, _open_or_share, *parts
            )
        except OpenBusy:
            if not deadline.left:
                raise
            time.sleep(FIRST_WAIT)
    if wait.for_writers and environment.reads_only and not options.readonly:
        _wait_for_writers(environment, user, wait.deadline)
    return environment


def _wait_for_writers(environment: Environment, user: User, deadline: Deadline) -> None:
    try:
        # If a snapshot of another store object reads the file, the first write reports that.
        environment.become_writer(deadline)
    except WriteBusy as error:
        refusal = opening_busy(environment.folder, deadline)  # while the folder is open
        registry.release(environment, user)
        raise refusal from error
    except StoreClosed as error:  # it could not be opened again; its users see why
        registry.release(environment, user)
        raise StoreOpenError(str(error)) from error
    except EventWriteException as error:
        registry.release(environment, user)
        raise StoreOpenError(
            f"the store {shown(environment.path)} could not be opened for writing: {error}"
        ) from error


def _open_or_share(  # noqa: PLR0913, PLR0917
    folder: StoreFolder, options: Options, user: User, wait: Wait, create: bool, mode: int
) -> Environment:
    registry.release_unused()
    found = _Found.of(folder)
    data = found.files.get(DATA_FILE)
    identity = folder.identity if data is None else identity_of(data)
    if identity is None or registry.find(identity, wait.deadline) is None:
        registry.check_free(folder)
    if identity is None:
        new = NewStore(mode, options.slots, options.map_size or 0)
        create_store(folder, new, create=create, readonly=options.readonly)
        identity = folder.identity
    if identity is None:
        raise StoreOpenError(f"the store {folder.path!r} was removed while it was being opened")
    environment = registry.find(identity)
    if environment is None:
        environment = _open(folder, options, wait, found)
        environment.add_user(user)
        registry.add(environment)
    else:
        _check_agreement(folder.path, environment.options, options)
        if environment.options.readonly and not options.readonly:
            _provide_side_files(environment.folder, readonly=False)
            environment.allow_writing(options)
        environment.add_user(user)
    return environment


def _open(folder: StoreFolder, options: Options, wait: Wait, found: _Found) -> Environment:
    """Open the store in a folder; `found` is what was in it before."""
    closers: list[Callable[[], None]] = []
    try:
        return _opened(folder, options, wait, found, closers)
    except BaseException:
        with contextlib.ExitStack() as undo:
            for close in closers:
                undo.callback(close)
        raise


def _opened(
    folder: StoreFolder,
    options: Options,
    wait: Wait,
    found: _Found,
    closers: list[Callable[[], None]],
) -> Environment:
    """Open the parts one after the other, and note how each is closed."""
    present = found.files
    presence = Presence(folder)
    closers.append(presence.close)
    _mend_rights(folder, present)
    directory = presence.directory
    marks = Marks(directory)
    closers.append(marks.close)

    def open_file(data: Identity) -> tuple[lmdb.Environment, Identity]:
        opened = open_lmdb(
            folder,
            options,
            marks,
            lock=present.get(LOCK_FILE),
            deadline=wait.deadline,
            many=registry.are_many(),
        )
        closers.append(opened.close)
        if marks.barrier is None or not _has_side_files(present):  # as in a copy of the data file
            check_is_store(opened, folder.path)
            _provide_side_files(presence.folder, readonly=options.readonly)
            marks.use_barrier()
        return opened, data

    opened, data = while_opening(folder, marks.descriptor, wait.deadline, open_file)
    barrier = Barrier(folder, directory.descriptor, readonly=options.readonly)
    closers.append(barrier.close)
    if not barrier.use_data(data):
        raise in_use(folder, OTHER_DATA, elsewhere=True)
    notes = Notes(directory, marks.folder_identity)
    closers.append(notes.close)
    writable = None if options.readonly else _writable(folder, opened, barrier, wait)
    reads_only = writable is None
    if reads_only and not options.readonly:
        opened.close()
        reading = options._replace(readonly=True)
        opened = while_opening(
            folder,
            marks.descriptor,
            wait.deadline,
            lambda _: open_lmdb(folder, reading, marks, deadline=wait.deadline),
        )
        closers.append(opened.close)
    databases, identity = writable or open_databases(opened, folder.path, readonly=True)
    # What is marked; the session checks that this is open, and that the path leads to it.
    files = Files(marks.folder_identity, data, marks.barrier, marks.lock)
    quick = found.quick if found.has(files) else None
    parts = Opened(
        presence, marks, opened, databases, barrier, notes, reads_only, files, identity, quick
    )
    return Environment(folder.path, options, parts)


def _has_side_files(present: Present) -> bool:
    """Whether no side file needs to be made; the file of a barrier may have been left empty."""
    return (
        SNAPSHOTS_FILE in present and BARRIER_FILE in present and present[BARRIER_FILE].st_size > 0
    )


def _mend_rights(folder: StoreFolder, present: Present) -> None:
    """Let everyone that may use the data file use the side files that are needed, if possible."""
    data = present.get(DATA_FILE)
    for name in SIDE_FILES:
        side = present.get(name)
        if data and side and not same_rights(side, data):
            mend(f"{folder.way}/{name}", rights_of(data))


def _provide_side_files(folder: StoreFolder, *, readonly: bool) -> None:
    """Make the side files that are missing: a bare copy of the data file has none."""
    try:
        rights = folder.rights
    except OSError as error:  # it was moved while it was being opened
        raise StoreOpenError(f"the store {folder.path!r} could not be opened: {error}") from error
    create_barrier_file(folder, rights, readonly=readonly)
    if not readonly:
        create_snapshots_file(folder, rights)


def _writable(
    folder: StoreFolder, opened: lmdb.Environment, barrier: Barrier, wait: Wait
) -> tuple[Databases, bytes | None] | None:
    """Open the databases for writing; None if another process writes for longer than a moment."""
    try:
        if barrier.lock_within(NOW) or (
            wait.for_writers and barrier.lock_within(Deadline(min(MOMENT, wait.deadline.left)))
        ):
            return open_databases(opened, folder.path, readonly=False)
        return None
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
