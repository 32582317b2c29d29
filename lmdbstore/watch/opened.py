"""A followed file: it can be read as long as it is open, whatever happens to its name.

Rules: a file is its inode. Each reader has a position of its own.
"""

from __future__ import annotations

import errno
import os
import time
from typing import TYPE_CHECKING, TypeAlias

from lmdbstore.inputs.file_reader import FileReader

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FollowedFile", "Key", "key_of"]

QUIET = 60.0  # seconds; a deleted file that was not written for so long has no writer any more

Key: TypeAlias = tuple[int, int]  # what a file is while it is open: device and inode


def key_of(status: os.stat_result) -> Key:
    """Return the key of a file."""
    return status.st_dev, status.st_ino


class FollowedFile:
    """One regular file, which may be renamed, deleted, truncated and written at any time."""

    def __init__(
        self, path: Path, followed: Path, status: os.stat_result, *, sibling: bool
    ) -> None:
        """Know the file at `path`; see the attributes."""
        self.path = path  # its name now, or the last one that was seen
        self.followed = followed  # the name that it had when it was first seen
        # It was never seen at a followed name, and may never have had one: its content tells.
        self.sibling = sibling
        self.listed = not sibling  # a followed name leads to it now
        self.status = status  # of the latest look
        self.taken = 0  # the reader's note: how many bytes of the file it needs no more
        self._descriptor: int | None = None

    @property
    def key(self) -> Key:
        """What the file is."""
        return key_of(self.status)

    @property
    def over(self) -> bool:
        """Whether the file has no name any more, and no one writes to it, as far as can be seen."""
        return not self.status.st_nlink and abs(time.time() - self.status.st_mtime) >= QUIET

    @property
    def is_open(self) -> bool:
        """Whether the file is kept open."""
        return self._descriptor is not None

    def keep_open(self) -> None:
        """Open the file, if it is not open yet, until `close`.

        Raises:
            FileNotFoundError: another file is at its path, or none.
            OSError: it cannot be opened.
        """
        if self._descriptor is None:
            self._descriptor = self._opened()

    def look(self) -> None:
        """Update the status of a file that is kept open."""
        if self._descriptor is not None:
            self.status = os.fstat(self._descriptor)

    def raw(self) -> FileReader:
        """Return a reader of the file from its start; the caller closes it.

        Raises: what `keep_open` raises, if the file is not kept open.
        """
        if self._descriptor is None:
            return FileReader(self._opened())
        return FileReader(os.dup(self._descriptor))

    def close(self) -> None:
        """Keep the file open no longer; its readers stay open."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _opened(self) -> int:
        # What may be at the path by now, such as a pipe, must not block.
        descriptor = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        if key_of(os.fstat(descriptor)) != self.key:
            os.close(descriptor)
            raise FileNotFoundError(errno.ENOENT, "another file is there now", str(self.path))
        return descriptor
