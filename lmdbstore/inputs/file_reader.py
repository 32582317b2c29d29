"""Reading an open regular file from several places at once.

Rules: each reader has its own position, so the position of the descriptor does not matter. The file
is read that the descriptor leads to, whatever happens to its name.
"""

from __future__ import annotations

import errno
import io
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["FileReader"]


class FileReader(io.RawIOBase):
    """Reads a regular file by its descriptor."""

    def __init__(self, descriptor: int) -> None:
        """Read from the start of the file; `close` closes the descriptor."""
        super().__init__()
        self._descriptor = descriptor
        self._position = 0

    def again(self) -> FileReader:
        """Return another reader of the file, at its start."""
        return FileReader(os.dup(self.fileno()))

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Return the descriptor; raises ValueError if the reader is closed."""
        if self.closed:  # the number may be that of another file by now
            raise ValueError("I/O operation on closed file")
        return self._descriptor

    def tell(self) -> int:
        """Return the position, in bytes."""
        return self._position

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Read bytes into a buffer; return how many, 0 at the end of the file."""
        with memoryview(buffer).cast("B") as view:
            data = os.pread(self.fileno(), len(view), self._position)
            view[: len(data)] = data
        self._position += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a position, and return it."""
        if whence == os.SEEK_CUR:
            offset += self._position
        elif whence == os.SEEK_END:
            offset += os.fstat(self.fileno()).st_size
        if offset < 0:
            raise OSError(errno.EINVAL, "a position before the start of the file")
        self._position = offset
        return offset

    def close(self) -> None:
        """Close the reader and its descriptor."""
        if not self.closed:
            os.close(self._descriptor)
        super().close()
