"""Reading an open regular file from several places at once.

Rules: each reader has its own position, so the position of the descriptor does not matter. The file
is read that the descriptor leads to, whatever happens to its name.
"""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["FileReader"]


class FileReader(io.RawIOBase):
    """Reads a file by its descriptor, which it does not close."""

    def __init__(self, descriptor: int) -> None:
        """Read from the start of the file."""
        super().__init__()
        self._descriptor = descriptor
        self._position = 0

    def again(self) -> FileReader:
        """Return another reader of the file, at its start."""
        return FileReader(self._descriptor)

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position, in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a position, and return it; only `SEEK_SET` is supported."""
        if whence != os.SEEK_SET:
            raise io.UnsupportedOperation("only SEEK_SET")
        self._position = offset
        return offset

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Read bytes into a buffer; return how many, 0 at the end of the file."""
        view = memoryview(buffer).cast("B")
        data = os.pread(self._descriptor, len(view), self._position)
        view[: len(data)] = data
        self._position += len(data)
        return len(data)
