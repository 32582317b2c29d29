"""The text of a pipe, kept so that it can be given more than once.

Rules: what is kept lies in memory, or in a temporary file if it is large. It is kept until it is
given for the last time.
"""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, cast

from .unpacking import CHUNK, FailedRead, UnreadableInput

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

__all__ = ["Spool"]

IN_MEMORY = 32 << 20  # bytes


class Spool:
    """Keeps chunks."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        """Keep what is given of `chunks`."""
        self._chunks = chunks
        self._kept = cast("BinaryIO", tempfile.SpooledTemporaryFile(IN_MEMORY))  # noqa: SIM115  as long as the input
        self._size = 0
        self._error: UnreadableInput | None = None  # at the end of what is kept
        self.keeps = True  # whether more is kept

    def close(self) -> None:
        """Forget what is kept."""
        self._kept.close()

    def from_offset(self, start: int) -> Iterator[bytes]:
        """Give what is kept from an offset on, and then the other chunks.

        Raises:
            UnreadableInput: the rest cannot be read, or not be kept.
        """
        try:
            while start < self._size:
                self._kept.seek(start)
                chunk = self._kept.read(CHUNK)
                start += len(chunk)
                yield chunk
            if self._error is not None:
                raise self._error
            for chunk in self._chunks:
                if self.keeps:
                    self._kept.seek(self._size)
                    self._kept.write(chunk)
                    self._size += len(chunk)
                yield chunk
        except UnreadableInput as error:
            self._error = error
            raise
        except OSError as error:
            failed = f"a temporary file failed: {error.strerror or error}"
            raise FailedRead(failed) from None
