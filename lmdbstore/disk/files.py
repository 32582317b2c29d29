"""Files and folders that change as a whole: temporary names, flushed names, exchange, free space.

Rules: a new file gets its final name by one rename, after it is flushed. This module does not know
the contents of the files.
"""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING

from lmdbstore.errors import EventWriteException, shown

from .folder import TEMPORARY
from .rights import excluded, give, rights_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .rights import Rights

__all__ = [
    "NotFlushedError",
    "adopt_rights",
    "check_space",
    "exchange",
    "flush_folder",
    "make_file",
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


def make_file(path: str, rights: Rights, fill: Callable[[int], object]) -> None:
    """Make a file with these rights, and let `fill` write to its descriptor; raises OSError.

    It is complete as soon as it has its name. A file that exists is left as it is.
    """
    made = temporary_name(os.path.dirname(path))
    try:
        descriptor = os.open(made, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            give(descriptor, rights)
            fill(descriptor)
        finally:
            os.close(descriptor)
        with contextlib.suppress(FileExistsError):
            _put(made, path)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(made)


def _put(made: str, path: str) -> None:
    try:
        os.link(made, path)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP) or os.path.lexists(path):
            raise
        os.rename(made, path)  # a file system without links


def adopt_rights(new: str, old: str) -> None:
    """Give the file `new` the owner, the group and the mode of the file `old`; raises OSError.

    Only root may give a file away. So the owner may change, if the old one may still use the file.
    """
    descriptor = os.open(new, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        wanted = rights_of(os.stat(old))
        give(descriptor, wanted)
        if who := excluded(rights_of(os.fstat(descriptor)), wanted):
            trouble = f"the {who} of the file could not use a new one made by this process"
            raise PermissionError(errno.EPERM, trouble)
    finally:
        os.close(descriptor)


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
