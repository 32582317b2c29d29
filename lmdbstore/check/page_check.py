"""The page level: checking that a data file consists of valid LMDB pages, without opening it.

LMDB trusts its file: a damaged page can make it read beyond the map, and end the process. So a file
that may be damaged, or comes from elsewhere, is checked here first (`opening.page_errors`).
"""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lmdbstore.disk.files import OPEN, Directory
from lmdbstore.disk.folder import DATA_FILE, StoreFolder
from lmdbstore.engine.registry import writing_here
from lmdbstore.errors import EventReadException, StoreClosed, StoreOpenError, shown
from lmdbstore.opening.page_errors import page_errors
from lmdbstore.processes.barrier import write_lock
from lmdbstore.processes.descriptors import LOST
from lmdbstore.threads.deadline import FOREVER
from lmdbstore.threads.reentry import reentry

from .findings import Finding, FindingKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmdbstore.engine.environment import Environment
    from lmdbstore.threads.deadline import Deadline

__all__ = ["folder_kept_open", "page_findings"]


@contextmanager
def folder_kept_open(environment: Environment) -> Iterator[StoreFolder]:
    """Give a way to the folder of an open store that lasts if the store is closed meanwhile.

    Once the store's own descriptor is closed, its number may lead to another folder. A copy of the
    descriptor would share the lock of the presence, and keep it in a child that is forked now.

    Raises:
        StoreClosed: the store is closed, or the program has closed its descriptors.
        EventReadException: the folder cannot be opened.
    """
    environment.barrier.check_ours()
    try:
        descriptor = environment.gate.run(_opened_again, environment)
    except OSError as error:
        raise EventReadException(
            f"the folder of the store {shown(environment.path)} cannot be read: {error}"
            f"{_remedy(error)}"
        ) from error
    try:
        folder = Directory(descriptor, environment.path)
        if folder.identity != environment.known.files.folder:
            raise StoreClosed(LOST)
        yield StoreFolder(environment.path, folder.way)
    finally:
        os.close(descriptor)


def _opened_again(environment: Environment) -> int:
    """Open the folder once more; inside of the gate, so that the store is not closed meanwhile."""
    try:
        return os.open(".", OPEN, dir_fd=environment.presence.directory.descriptor)
    except OSError as error:
        if error.errno in (errno.EBADF, errno.ENOTDIR):
            raise StoreClosed(LOST) from error
        raise


def _remedy(error: OSError) -> str:
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return "; close files that the program does not need, or allow more (ulimit -n)"
    return ""


def page_findings(folder: StoreFolder, deadline: Deadline = FOREVER) -> list[Finding]:
    """Return the errors in the pages of the store in a folder; writers wait until the end.

    Raises:
        StoreOpenError: there is no readable file.
        EventReadException: this thread is inside a write to it.
        ReadBusy: another process wrote until the deadline.
    """
    if writing_here(folder):
        raise reentry(EventReadException, "a check of the pages")
    try:
        with write_lock(folder, wait=True, deadline=deadline):
            errors = page_errors(folder.data)
    except OSError as error:
        raise StoreOpenError(
            f"the store {shown(folder.path)} could not be read: {error}"
        ) from error
    return [Finding(FindingKind.PAGE, DATA_FILE, error) for error in errors]
