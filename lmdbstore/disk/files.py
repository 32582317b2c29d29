"""Files and folders that change as a whole: temporary names, flushed names, exchange, free space.

Rules: a new file gets its final name by one rename, after it is flushed. This module does not know
the contents of the files.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from lmdbstore.errors import EventWriteException, shown

from .folder import TEMPORARY

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "NotFlushedError",
    "adopt_rights",
    "check_space",
    "exchange",
    "flush_folder",
    "remove_temporary",
    "temporary_folder",
    "temporary_name",
]


class NotFlushedError(OSError):
    """A file has its new name, but a power cut may undo the renaming."""


def temporary_name(parent: str) -> str:
    """Return a free name in the folder `parent`, for a file or folder to be made."""
    return os.path.join(parent, f"{TEMPORARY}{os.urandom(8).hex()}")


@contextlib.contextmanager
def temporary_folder(parent: str) -> Iterator[str]:
    """Give a free name in `parent` for a flat folder; whatever has it afterwards is removed."""
    made = temporary_name(parent)
    try:
        yield made
    finally:
        try:
            _remove_flat(made)
        except BaseException:  # Ctrl-C in the middle of it
            _remove_flat(made)
            raise


def _remove_flat(folder: str) -> None:
    """Remove a folder of plain files, if it exists."""
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            os.unlink(os.path.join(folder, name))
        os.rmdir(folder)


def remove_temporary(folder: str) -> None:
    """Remove the leftovers of killed processes in a folder that is not in use; raises OSError.

    A link is removed and not followed.
    """
    import shutil  # few processes need it

    for name in os.listdir(folder):
        if name.startswith(TEMPORARY):
            place = os.path.join(folder, name)
            if os.path.isdir(place) and not os.path.islink(place):
                shutil.rmtree(place)
            else:
                os.unlink(place)


def flush_folder(folder: str) -> None:
    """Flush the names in a folder to disk; raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def adopt_rights(new: str, old: str) -> None:
    """Give the file `new` the rights and the owner of the file `old`; raises OSError."""
    status = os.stat(old)
    os.chmod(new, status.st_mode & 0o7777)
    if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
        os.chown(new, status.st_uid, status.st_gid)


def exchange(new: str, old: str) -> None:
    """Replace the file `old` by the file `new`, and flush the name to disk.

    Raises:
        NotFlushedError: the new file is in place, but its name may not be on disk.
        OSError: nothing was replaced.
    """
    os.replace(new, old)
    try:
        flush_folder(os.path.dirname(old))
    except OSError as error:
        raise NotFlushedError(*error.args) from error


def check_space(folder: str, needed: int) -> None:
    """Raise EventWriteException if the file system of a folder has fewer free bytes than needed."""
    try:
        status = os.statvfs(folder)
    except OSError as error:
        raise EventWriteException(
            f"the disk of {shown(folder)} cannot be examined: {error}"
        ) from error
    free = status.f_bavail * status.f_frsize
    if free < needed:
        raise EventWriteException(
            f"the disk of {shown(folder)} has {free:,} bytes free and up to {needed:,} are needed; "
            "free some space, or choose another disk"
        )
