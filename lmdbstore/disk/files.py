"""Files and folders that change as a whole: temporary names, flushed names, exchange, free space.

Rules: a new file gets its final name by one rename, after it is flushed. Work that makes, replaces
or removes files opens the folder first, and all names are relative to its descriptor: if the folder
is renamed in the meantime, and another one put in its place, nothing happens in that one. This
module does not know the contents of the files.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, NamedTuple

from lmdbstore.errors import EventWriteException, shown

from .folder import TEMPORARY

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "DESCRIPTORS",
    "Directory",
    "NotFlushedError",
    "adopt_rights",
    "check_space",
    "exchange",
    "flush_folder",
    "open_directory",
    "remove_temporary",
    "temporary_folder",
    "temporary_name",
]

DESCRIPTORS = "/proc/self/fd"  # Linux; see proc(5)
OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class NotFlushedError(OSError):
    """A file has its new name, but a power cut may undo the renaming."""


class Directory(NamedTuple):
    """An open folder."""

    descriptor: int
    path: str  # by which it was opened

    @property
    def identity(self) -> tuple[int, int]:
        """Its device and inode; raises OSError."""
        status = os.fstat(self.descriptor)
        return status.st_dev, status.st_ino

    @property
    def way(self) -> str:
        """A path for those who take no descriptor, such as LMDB: on Linux it follows a renaming.

        It leads to the folder as long as the descriptor is open.
        """
        way = f"{DESCRIPTORS}/{self.descriptor}"
        with contextlib.suppress(OSError):
            if os.path.samestat(os.stat(way), os.fstat(self.descriptor)):
                return way
        return self.path


@contextlib.contextmanager
def open_directory(path: str, inside: Directory | None = None) -> Iterator[Directory]:
    """Open a folder, or one inside of another, for a `with` block; raises OSError."""
    if inside is None:
        descriptor = os.open(path, OPEN)
    else:
        descriptor = os.open(path, OPEN | os.O_NOFOLLOW, dir_fd=inside.descriptor)
        path = os.path.join(inside.path, path)
    try:
        yield Directory(descriptor, path)
    finally:
        os.close(descriptor)


def temporary_name(parent: str) -> str:
    """Return a free name in the folder `parent`, for a file or folder to be made."""
    return os.path.join(parent, f"{TEMPORARY}{os.urandom(8).hex()}")


@contextlib.contextmanager
def temporary_folder(parent: Directory) -> Iterator[Directory]:
    """Make a folder in `parent`; what has its name afterwards is removed.

    It is removed if it holds only plain files, and folders of plain files.
    """
    name = temporary_name("")
    try:
        os.mkdir(name, 0o700, dir_fd=parent.descriptor)
        with open_directory(name, parent) as made:
            yield made
    finally:
        try:
            _remove(name, parent)
        except BaseException:  # Ctrl-C in the middle of it
            _remove(name, parent)
            raise


def _remove(name: str, parent: Directory, *, depth: int = 2) -> None:
    """Remove a folder, if it exists."""
    with contextlib.suppress(OSError):
        with open_directory(name, parent) as folder:
            for inside in os.listdir(folder.descriptor):
                try:
                    os.unlink(inside, dir_fd=folder.descriptor)
                except OSError:
                    if not depth:
                        raise
                    _remove(inside, folder, depth=depth - 1)
        os.rmdir(name, dir_fd=parent.descriptor)


def remove_temporary(folder: Directory) -> None:
    """Remove the leftovers of killed processes in a folder that is not in use; raises OSError.

    A link is removed and not followed.
    """
    import shutil  # few processes need it

    for name in os.listdir(folder.descriptor):
        if name.startswith(TEMPORARY):
            try:
                os.unlink(name, dir_fd=folder.descriptor)
            except (IsADirectoryError, PermissionError):
                shutil.rmtree(name, dir_fd=folder.descriptor)


def flush_folder(folder: Directory) -> None:
    """Flush the names in a folder to disk; raises OSError."""
    os.fsync(folder.descriptor)


def adopt_rights(new: str, old: str) -> None:
    """Give the file `new` the rights and the owner of the file `old`; raises OSError."""
    status = os.stat(old)
    os.chmod(new, status.st_mode & 0o7777)
    if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
        os.chown(new, status.st_uid, status.st_gid)


def exchange(made: Directory, new: str, folder: Directory, old: str) -> None:
    """Replace the file `old` in a folder by `new` in another, and flush the name to disk.

    Raises:
        NotFlushedError: the new file is in place, but its name may not be on disk.
        OSError: nothing was replaced.
    """
    os.replace(new, old, src_dir_fd=made.descriptor, dst_dir_fd=folder.descriptor)
    try:
        flush_folder(folder)
    except OSError as error:
        raise NotFlushedError(*error.args) from error


def check_space(folder: Directory, needed: int) -> None:
    """Raise EventWriteException if the file system of a folder has fewer free bytes than needed."""
    try:
        status = os.statvfs(folder.descriptor)
    except OSError as error:
        raise EventWriteException(
            f"the disk of {shown(folder.path)} cannot be examined: {error}"
        ) from error
    free = status.f_bavail * status.f_frsize
    if free < needed:
        raise EventWriteException(
            f"the disk of {shown(folder.path)} has {free:,} bytes free and up to {needed:,} are "
            "needed; free some space, or choose another disk"
        )
