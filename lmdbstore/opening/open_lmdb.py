"""Opening the data file with LMDB: the map, the lock file, and the errors.

Rules: the map is `map_size`, or else in proportion to the address space (`disk.map_size`). LMDB
opens the files of the folder that is marked, by way of its descriptor: if it opened those of a
folder that was put at the path meanwhile, other processes there would not know of this one.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import lmdb

from lmdbstore.disk.databases import MAX_DATABASES
from lmdbstore.disk.lmdb_errors import TOO_MANY_READERS, code, map_advice
from lmdbstore.disk.map_size import map_sizes, short_of_space
from lmdbstore.disk.rights import trouble
from lmdbstore.errors import StoreInUse, StoreOpenError, shown
from lmdbstore.processes.snapshot_notes import slots_in
from lmdbstore.threads.deadline import FOREVER, Deadline

from .inspect_file import inspect_data_file
from .lock_file import provide_lock_file
from .options import READ_IT

if TYPE_CHECKING:
    from lmdbstore.disk.folder import StoreFolder
    from lmdbstore.processes.marks import Marks

    from .options import Options

__all__ = ["open_lmdb"]


def open_lmdb(  # noqa: PLR0913  the parts of an opening
    folder: StoreFolder,
    options: Options,
    marks: Marks,
    *,
    lock: os.stat_result | None = None,
    locked: bool = False,
    deadline: Deadline = FOREVER,
    many: bool = True,
) -> lmdb.Environment:
    """Open the data file of a store; `locked`: the caller holds the lock of the barrier.

    `many`: this process may have many stores open. `lock` is the status of the lock file, if it is
    known.

    Raises:
        StoreOpenError: it is not LMDB's, is damaged, or cannot be opened.
        StoreInUse: the marks of another process exclude this one.
        OpenBusy: it seems damaged, and another process wrote until the deadline.
    """
    used = inspect_data_file(
        folder, marks.descriptor, readonly=options.readonly, locked=locked, deadline=deadline
    )
    lock = lock or provide_lock_file(marks.folder, options.slots)
    marks.use_files(lock, writes=not options.readonly)
    way = marks.folder.way
    environment = _opened(folder, way, options, used, many=many)
    try:
        if _has_own_readers(environment):
            environment.close()  # frees all slots of this process id
            environment = _opened(folder, way, options, used, many=many)
        if options.readonly and not environment.info()["num_readers"]:
            marks.read_unlisted()
    except BaseException:
        environment.close()
        raise
    return environment


def _has_own_readers(environment: lmdb.Environment) -> bool:
    """Whether the reader table lists this process, which reads nothing yet.

    The entries are of a dead process that had the same process id, in this pid namespace or in
    another. LMDB frees the slots of a process when another one finds that it is dead, by a lock
    for its process id. This process holds that lock from now on, so no other process would free
    them; and none can take such a slot, because it would need the lock.
    """
    return any(slot.process == os.getpid() for slot in slots_in(environment.readers()))


def _opened(
    folder: StoreFolder, way: str, options: Options, used: int, *, many: bool
) -> lmdb.Environment:
    sizes = iter((options.map_size,)) if options.map_size else map_sizes(used, many=many)
    size = next(sizes)
    while True:
        try:
            environment = lmdb.open(
                os.fsencode(way),  # as str it would have to be UTF-8
                map_size=size,
                readonly=options.readonly,
                create=False,
                sync=options.durability == "full",
                max_readers=options.slots,
                max_dbs=MAX_DATABASES,
            )
            environment.reader_check()
        except lmdb.Error as error:
            following = next(sizes, None) if map_advice(error) else None
            if following is None:
                raise _open_error(folder, way, options, error) from error
            size = following
        else:
            return environment


def _open_error(
    folder: StoreFolder, way: str, options: Options, error: lmdb.Error
) -> StoreOpenError:
    what = str(error).replace(way, folder.path)
    message = f"the store {folder.path!r} could not be opened: {what}"
    refused = code(error) in (errno.EACCES, errno.EROFS, errno.EPERM)
    if isinstance(error, lmdb.LockError) and code(error) == errno.EAGAIN:
        return _taken(folder)
    if refused and (why := trouble(folder.lock, folder.data)):
        message += why
    elif refused and options.readonly:
        message += (
            "; a reader too must be allowed to write the store's lock.mdb, because LMDB notes its "
            "readers there (nothing else is written)"
        )
    elif refused:
        message += READ_IT
    elif "already open" in str(error):
        message += (
            "; this process has opened the same files with lmdb itself, or closed the descriptors "
            "of a store and opened other files under their numbers"
        )
    elif isinstance(error, lmdb.ReadersFullError):  # LMDB cannot free dead slots before it opens
        message = f"{message}; {TOO_MANY_READERS}; a read in any of them frees slots of dead ones"
    elif map_advice(error) and not options.map_size:
        message += f"; the file does not fit: {short_of_space(0)}"
    else:
        message += map_advice(error)
    return StoreOpenError(message)


def _taken(folder: StoreFolder) -> StoreInUse:
    """Return the exception for a process id that LMDB's reader table has already."""
    return StoreInUse(
        f"the store {shown(folder.path)} is open in a process of another pid namespace (another "
        f"container) that also has the process id {os.getpid()}, and LMDB tells readers apart by "
        "process id; let both use one pid namespace (docker run --pid=host, or "
        "--pid=container:NAME), or start one of them so that it gets another process id"
    )
