"""The input of an import: a file or standard input, opened, with its name and its time.

Rules: a file is read from its start each time its blocks are asked for; a pipe is read once. The
source of an event is the full path of the file.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from .lines import Block, blocks
from .unpacking import chunks

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["STDIN", "Input", "open_input"]

STDIN = "-"  # the name of standard input on the command line
STDIN_SOURCE = "stdin"


class Input:
    """One open input."""

    def __init__(
        self, name: str, source: str, mtime: float, raw: BinaryIO, path: str | None = None
    ) -> None:
        """Read from `raw`; `mtime` is in seconds since 1970. Use `open_input`.

        `path` is that of a regular file, which can be read again.
        """
        self.name = name
        self.source = source
        self.mtime = mtime
        self.path = path
        self._raw = raw

    @property
    def bytes_read(self) -> int:
        """The number of bytes read from the file, before it is unpacked; 0 for a pipe."""
        try:
            return self._raw.tell()
        except OSError:  # a pipe
            return 0

    def blocks(self) -> Iterator[Block]:
        """Give the lines, many at once.

        Raises:
            UnreadableInput: the rest cannot be read.
        """
        return blocks(chunks(self._raw))

    def again(self) -> Iterator[Block]:
        """Give the lines of the file from its start, beside `blocks`; raises what it raises."""
        with Path(self.path or os.devnull).open("rb", buffering=0) as raw:
            yield from blocks(chunks(raw))


@contextmanager
def open_input(name: str) -> Iterator[Input]:
    """Open the file `name`, or standard input for `-`, until the end of the context.

    Raises:
        OSError: the input cannot be opened.
    """
    if name == STDIN:
        if sys.stdin is None:  # it was closed before the start
            raise OSError(errno.EBADF, "it is closed", "standard input")
        # Read below the text layer, since ids are made from bytes.
        stream = sys.stdin.buffer
        yield Input("standard input", STDIN_SOURCE, time.time(), getattr(stream, "raw", stream))
        return
    with Path(name).open("rb", buffering=0) as raw:
        status = os.fstat(raw.fileno())
        regular = stat.S_ISREG(status.st_mode)
        # The real path of a pipe such as `<(command)` has a number that differs in each run.
        path = os.path.realpath(name) if regular else os.path.abspath(name)
        mtime = status.st_mtime if regular else time.time()
        yield Input(name, _as_text(path), mtime, raw, name if regular else None)


def _as_text(path: str) -> str:
    return os.fsencode(path).decode("utf-8", "backslashreplace")
