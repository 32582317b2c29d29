"""Opening the data file with LMDB: the map, the lock file, and the errors.

Rules: the map is `map_size`, or else in proportion to the address space (`disk.map_size`).
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import lmdb

from lmdbstore.disk.databases import MAX_DATABASES
from lmdbstore.disk.lmdb_errors import TOO_MANY_READERS, code, map_advice
from lmdbstore.disk.map_size import map_sizes, short_of_space
from lmdbstore.errors import StoreOpenError

from .inspect_file import inspect_data_file
from .lock_file import provide_lock_file

if TYPE_CHECKING:
    from lmdbstore.disk.folder import StoreFolder

    from .options import Options

__all__ = ["open_lmdb"]


def open_lmdb(
    folder: StoreFolder, options: Options, *, locked: bool = False, many: bool = True
) -> lmdb.Environment:
    """Open the data file of a store; `locked`: the caller holds the lock of the barrier.

    `many`: this process may have many stores open.

    Raises:
        StoreOpenError: it is not LMDB's, is damaged, or cannot be opened.
    """
    used = inspect_data_file(folder, readonly=options.readonly, locked=locked)
    provide_lock_file(folder, options.slots)
    sizes = iter((options.map_size,)) if options.map_size else map_sizes(used, many=many)
    size = next(sizes)
    while True:
        try:
            environment = lmdb.open(
                os.fsencode(folder.path),  # as str it would have to be UTF-8
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
                raise _open_error(folder.path, options, error) from error
            size = following
        else:
            return environment


def _open_error(path: str, options: Options, error: lmdb.Error) -> StoreOpenError:
    message = f"the store {path!r} could not be opened: {error}"
    if code(error) in (errno.EACCES, errno.EROFS, errno.EPERM) and options.readonly:
        message += (
            "; a reader too must be allowed to write the store's lock.mdb, because LMDB notes its "
            "readers there (nothing else is written)"
        )
    elif code(error) in (errno.EACCES, errno.EROFS, errno.EPERM):
        message += "; to read it only, pass readonly=True"
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
