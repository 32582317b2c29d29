"""Reading an open regular file from several places at once.

Rules: each reader has its own position, so the position of the descriptor does not matter. The file
is read that the descriptor leads to, whatever happens to its name. A file may be truncated while it
is read, and may have grown beyond the place of reading when it is looked at again. So after each
piece what was read is compared with the file once more: all pieces are of one file.
"""

from __future__ import annotations

import errno
import io
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["ChangedFile", "FileReader"]

COMPARED = 4096  # bytes before a piece


class ChangedFile(OSError):
    """What was read of a file is not in it any more: it was truncated, or written again."""

    def __init__(self) -> None:
        """Say so."""
        super().__init__(errno.ESTALE, "it was truncated while it was read")


class FileReader(io.RawIOBase):
    """Reads a regular file by its descriptor."""

    def __init__(self, descriptor: int) -> None:
        """Read from the start of the file; `close` closes the descriptor."""
        super().__init__()
        self._descriptor = descriptor
        self._position = 0
        self._before = b""  # the last bytes that were read

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
        """Read bytes into a buffer; return how many, 0 at the end of the file.

        Raises:
            ChangedFile: the file is not the one any more of which the last bytes were read.
        """
        with memoryview(buffer).cast("B") as view:
            data = os.pread(self.fileno(), len(view), self._position)
            view[: len(data)] = data
        before = self._before
        start = self._position - len(before)
        if os.pread(self._descriptor, len(before) + len(data), start) != before + data:
            raise ChangedFile
        self._position += len(data)
        self._before = (before + data)[-COMPARED:]
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a position, and return it."""
        if whence == os.SEEK_CUR:
            offset += self._position
        elif whence == os.SEEK_END:
            offset += os.fstat(self.fileno()).st_size
        if offset < 0:
            raise OSError(errno.EINVAL, "a position before the start of the file")
        if offset != self._position:
            self._position, self._before = offset, b""
        return offset

    def close(self) -> None:
        """Close the reader and its descriptor."""
        if not self.closed:
            os.close(self._descriptor)
        super().close()
