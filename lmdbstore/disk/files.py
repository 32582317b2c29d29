"""Files and folders that change as a whole: temporary names, flushed names, exchange, free space.

Rules: a new file gets its final name by one rename, after it is flushed. Work that makes, replaces
or removes files opens the folder first, and all names are relative to its descriptor: if the folder
is renamed in the meantime, and another one put in its place, nothing happens in that one. What must
be removed at the end of some work is removed by the function that runs the work: an interrupt
(Ctrl-C) that strikes in `contextlib` would leave a `with` block without its end. This module does
not know the contents of the files.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from lmdbstore.errors import EventWriteException, shown

from .folder import TEMPORARY
from .rights import excluded, give, rights_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .rights import Rights

__all__ = [
    "OPEN",
    "Directory",
    "NotFlushedError",
    "adopt_rights",
    "check_space",
    "exchange",
    "flush_folder",
    "in_made_folder",
    "in_temporary_folder",
    "make_file",
    "open_directory",
    "process_folder",
    "remove_temporary",
    "space_advice",
    "space_is_short",
    "temporary_name",
    "way_of",
]

T = TypeVar("T")

PROCESS = "/proc/self"  # a link to the folder of this process; Linux, see proc(5)
OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC  # a folder


_process = 0, ""  # a process id, and the folder of that process


def process_folder() -> str:
    """Return the folder of this process in `/proc`; where there is none, nothing is there."""
    global _process  # noqa: PLW0603  it is one for the process
    if _process[0] != (pid := os.getpid()):
        # Each use of the link would take a look-up more. Its text, and not the process id, since
        # the `/proc` that is mounted may be that of another pid namespace.
        try:
            _process = pid, os.path.join(os.path.dirname(PROCESS), os.readlink(PROCESS))
        except OSError:
            _process = pid, PROCESS
    return _process[1]


def way_of(descriptor: int) -> str:
    """Return a path that leads to what is open under a descriptor of this process."""
    return f"{process_folder()}/fd/{descriptor}"


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
        try:
            return self.way_to(self.identity)
        except OSError:
            return self.path

    def way_to(self, identity: tuple[int, int]) -> str:
        """Return the same; `identity` is its own."""
        way = way_of(self.descriptor)
        try:
            status = os.stat(way)
        except OSError:
            return self.path
        return way if (status.st_dev, status.st_ino) == identity else self.path


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


def in_temporary_folder(parent: Directory, work: Callable[[Directory], T]) -> T:
    """Make a folder in `parent`, and run `work` with it; what has its name afterwards is removed.

    It is removed if it holds only plain files, and folders of plain files.
    """
    name = temporary_name("")
    try:
        os.mkdir(name, 0o700, dir_fd=parent.descriptor)
        with open_directory(name, parent) as made:
            return work(made)
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


def in_made_folder(folder: str, work: Callable[[Directory], T]) -> T:
    """Run `work` with a folder, which is made if it is missing; undone if that fails.

    Its parents are made, too. They have the usual rights (umask), and are flushed. Raises OSError.
    """
    made: list[str] = []
    try:
        _make_missing(folder, made)
        with open_directory(folder) as opened:
            return work(opened)
    except BaseException:
        try:
            _undo(made)
        except BaseException:  # Ctrl-C in the middle of it
            _undo(made)
            raise
        raise


def _make_missing(folder: str, made: list[str]) -> None:
    missing = []
    while not os.path.lexists(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    for name in reversed(missing):
        made.append(name)  # first: an interrupt may come after it is made
        try:
            os.mkdir(name)
        except FileExistsError:  # another process was first
            made.remove(name)
        with open_directory(os.path.dirname(name)) as parent:
            flush_folder(parent)


def _undo(made: list[str]) -> None:
    for name in reversed(made):
        with contextlib.suppress(OSError):  # something else is in it by now
            os.rmdir(name)


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
        try:  # noqa: SIM105  `suppress` is Python code: an interrupt could come before the removal
            os.unlink(made)
        except OSError:  # it has its name, or was not made
            pass


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


# A write that does not fit is cut off: it fills the disk, and LMDB reports an I/O error. With fewer
# free bytes than this, such an error is that of a full disk: systems count what is free roughly.
NEARLY_FULL = 1 << 20


def space_is_short(number: int, path: str) -> bool:
    """Whether the error of a write to a file, by its number, means that the file cannot grow.

    `path` is the file, or its folder. A quota cannot be asked for; it has an error of its own.
    """
    if number != errno.EIO:
        return number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    free = _free_bytes(path)
    return _at_limit(path) or (free is not None and free < NEARLY_FULL)


def space_advice(number: int, path: str) -> str:
    """Return the cause and the remedy if a write to a file failed for want of space, or with EIO.

    It is empty for other errors.
    """
    if number == errno.EFBIG or (number == errno.EIO and _at_limit(path)):
        return _limit_advice()
    if number == errno.EDQUOT:
        return "; the quota of its owner is used up: free some space and try again"
    return _disk_advice(number, path) if number in (errno.ENOSPC, errno.EIO) else ""


def _disk_advice(number: int, path: str) -> str:
    free = _free_bytes(path)
    if free is None:
        kind = "full" if number == errno.ENOSPC else "full or failing"
        return f"; check whether the disk is {kind}"
    what = f"the file system of {shown(path)} has {free:,} bytes free"
    if free < NEARLY_FULL:
        return f"; the disk is full: {what}; free some space and try again"
    if number == errno.EIO:
        return f"; the disk is not full ({what}), so it may be failing: check it"
    return (
        f"; there was no space for it, although {what} now: it may have a quota, no room for "
        "another file, or more space than before; free some, and try again"
    )


def _free_bytes(path: str) -> int | None:
    """Return the bytes that this user may use in the file system of a path; None if unknown."""
    try:
        status = os.statvfs(path)
    except (OSError, ValueError):
        return None
    return (status.f_bavail if os.geteuid() else status.f_bfree) * status.f_frsize


def _at_limit(path: str) -> bool:
    """Whether a file is as large as this process may make one."""
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        return limit != resource.RLIM_INFINITY and os.stat(path).st_size >= limit
    except (OSError, ValueError):
        return False


def _limit_advice() -> str:
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if limit == resource.RLIM_INFINITY:
        return "; the file system allows no larger file: move the store to another one"
    return (
        f"; the file may not grow beyond {limit:,} bytes: raise the limit on the size of files "
        "(ulimit -f)"
    )
