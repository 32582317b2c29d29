"""A store's folder: the names of the files in it, their rights, and the check that they are plain.

Rules: no other module spells a name in a store's folder. A `StoreFolder` is only a path: it opens
no file, and it reports what is on disk at that moment. A process that has the folder open reaches
the files in it by way of the descriptor, because the path may lead to another folder by now.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from lmdbstore.errors import StoreOpenError, shown

from .rights import Rights, rights_of

if TYPE_CHECKING:
    import lmdb

__all__ = [
    "BARRIER_FILE",
    "DATA_FILE",
    "FILE_MODE",
    "LOCK_FILE",
    "SIDE_FILES",
    "SNAPSHOTS_FILE",
    "TEMPORARY",
    "Identity",
    "Present",
    "StoreFolder",
    "folder_of",
    "identity_at",
    "identity_of",
]

DATA_FILE = "data.mdb"  # LMDB's; a folder that has it holds a store
LOCK_FILE = "lock.mdb"  # LMDB's; LMDB holds a lock on it while the store is open
BARRIER_FILE = "barrier"  # see `processes.barrier`
SNAPSHOTS_FILE = "snapshots"  # see `processes.snapshot_notes`
SIDE_FILES = BARRIER_FILE, LOCK_FILE, SNAPSHOTS_FILE  # may be in a folder before the data file
FILES = DATA_FILE, *SIDE_FILES
TEMPORARY = ".lmdbstore-"  # the start of the name of a folder in which files are being made
FILE_MODE = 0o600  # only for their owner: events may hold secrets


Present = dict[str, os.stat_result]  # the files that exist, by name


Identity = tuple[int, int]  # device and inode


def identity_of(status: os.stat_result) -> Identity:
    """Return the device and the inode of a file."""
    return status.st_dev, status.st_ino


def identity_at(path: str) -> Identity | None:
    """Return the identity of what is at a path, without following a link; raises OSError."""
    try:
        return identity_of(os.lstat(path))
    except FileNotFoundError:
        return None


class StoreFolder(NamedTuple):
    """The folder of a store: its path, and the way to it through an open descriptor."""

    path: str  # as the user named it
    at: str = ""  # see `disk.files.Directory`; it leads to the same folder when that was renamed

    @property
    def way(self) -> str:
        """The path by which the folder is reached."""
        return self.at or self.path

    def named(self, way: str) -> str:
        """Return the path of a file as the user knows it, for messages."""
        return self.path + way[len(self.way) :]

    @property
    def data(self) -> str:
        """The path of the data file."""
        return f"{self.way}/{DATA_FILE}"

    @property
    def lock(self) -> str:
        """The path of LMDB's lock file."""
        return f"{self.way}/{LOCK_FILE}"

    @property
    def barrier(self) -> str:
        """The path of the barrier's side file."""
        return f"{self.way}/{BARRIER_FILE}"

    @property
    def snapshots(self) -> str:
        """The path of the side file that lists snapshots."""
        return f"{self.way}/{SNAPSHOTS_FILE}"

    @property
    def has_store(self) -> bool:
        """Whether there is a data file."""
        return os.path.exists(self.data)

    @property
    def rights(self) -> Rights:
        """The rights of the data file, which the other files get too; raises OSError."""
        return rights_of(os.stat(self.data))

    @property
    def identity(self) -> tuple[int, int] | None:
        """The device and the inode of the data file; None if there is none.

        Raises:
            StoreOpenError: the file cannot be examined.
        """
        try:
            status = os.stat(self.data)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            raise StoreOpenError(
                f"the store {shown(self.path)} could not be opened: {error}"
            ) from error
        return status.st_dev, status.st_ino

    @property
    def is_on_readonly_medium(self) -> bool:
        """Whether nothing can be written to the folder, whatever the rights."""
        try:
            return bool(os.statvfs(self.way).f_flag & os.ST_RDONLY)
        except OSError:  # it is gone
            return False

    def foreign_names(self) -> list[str]:
        """Return the names in the folder, except side files and temporary names; raises OSError."""
        names = os.listdir(self.way)
        return [n for n in names if not n.startswith(TEMPORARY) and n not in SIDE_FILES]

    def check_plain(self) -> Present:
        """Return the files that exist, by name, if all of them are plain files.

        LMDB would follow a link, and write into a file that someone else chose; opening a pipe
        would never return. A process with the right to write to the folder can put a link there a
        moment later, so a folder that others can write to is not safe for a store.

        Raises:
            StoreOpenError: a file of the store is a link or a device.
        """
        found, way = Present(), self.way
        for name in FILES:
            try:
                status = found[name] = os.lstat(f"{way}/{name}")
            except (OSError, ValueError):  # it is missing, or the error is raised when it is opened
                continue
            if not stat.S_ISREG(status.st_mode):
                what = "a symbolic link" if stat.S_ISLNK(status.st_mode) else "not a plain file"
                raise StoreOpenError(
                    f"{name} of the store {shown(self.path)} is {what} and is not used; remove it "
                    "if it does not belong there (the store's folder itself may be a link)"
                )
        return found


def folder_of(environment: lmdb.Environment) -> StoreFolder:
    """Return the folder that LMDB has open; it may have opened it by way of a descriptor.

    Its path is where it is now. Raises lmdb.Error if it is closed.
    """
    way = environment.path()
    return StoreFolder(os.path.realpath(way), way)
