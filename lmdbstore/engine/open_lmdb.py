"""Opening the data file with LMDB: the map, the lock file, and the errors.

Rules: the map is `map_size`, or else 1 TiB; it is never grown here. If the address space is too
small, the latter is halved until it fits.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import lmdb

from lmdbstore.disk.databases import MAX_DATABASES
from lmdbstore.disk.lmdb_errors import TOO_MANY_READERS, code, map_advice
from lmdbstore.errors import StoreOpenError

from .inspect_file import inspect_data_file
from .lock_file import provide_lock_file

if TYPE_CHECKING:
    from lmdbstore.disk.folder import StoreFolder

    from .options import Options

__all__ = ["DEFAULT_MAP_SIZE", "open_lmdb"]

DEFAULT_MAP_SIZE = 1 << 40  # bytes; costs address space only: no memory, and no space on disk
LEAST_MAP_SIZE = 1 << 26  # bytes; halving stops here


def open_lmdb(folder: StoreFolder, options: Options, *, locked: bool = False) -> lmdb.Environment:
    """Open the data file of a store; `locked`: the caller holds the lock of the barrier.

    Raises:
        StoreOpenError: it is not LMDB's, is damaged, or cannot be opened.
    """
    inspect_data_file(folder, readonly=options.readonly, locked=locked)
    provide_lock_file(folder, options.max_readers)
    size = options.map_size or DEFAULT_MAP_SIZE
    while True:
        try:
            environment = lmdb.open(
                os.fsencode(folder.way),  # as str it would have to be UTF-8
                map_size=size,
                readonly=options.readonly,
                create=False,
                sync=options.durability == "full",
                max_readers=options.max_readers,
                max_dbs=MAX_DATABASES,
            )
            environment.reader_check()
            return environment
        except lmdb.Error as error:
            if not map_advice(error) or options.map_size or size <= LEAST_MAP_SIZE:
                raise _open_error(folder, options, error) from error
            size //= 2


def _open_error(folder: StoreFolder, options: Options, error: lmdb.Error) -> StoreOpenError:
    what = str(error).replace(folder.way, folder.path)
    message = f"the store {folder.path!r} could not be opened: {what}"
    if code(error) in (errno.EACCES, errno.EROFS, errno.EPERM) and options.readonly:
        message += (
            "; a reader too must be allowed to write the store's lock.mdb, because LMDB notes its "
            "readers there (nothing else is written)"
        )
    elif code(error) in (errno.EACCES, errno.EROFS, errno.EPERM):
        message += "; to read it only, pass readonly=True"
    elif "already open" in str(error):
        message += "; this process has opened the same files with lmdb itself"
    elif isinstance(error, lmdb.ReadersFullError):  # LMDB cannot free dead slots before it opens
        message = f"{message}; {TOO_MANY_READERS}; a read in any of them frees slots of dead ones"
    else:
        message += map_advice(error)
    return StoreOpenError(message)
