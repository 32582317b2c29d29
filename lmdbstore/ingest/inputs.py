"""The input of an import: a file or standard input, plain or gzip, as numbered lines of bytes.

Rules: a line ends with a newline, or with a carriage return and a newline; neither is part of it.
All lines are counted, from 1. At most about `LONGEST_LINE` bytes of a line are in memory, for any
input. A UTF-8 byte order mark at the start of the input is not part of the text.
"""

from __future__ import annotations

import errno
import gzip
import io
import os
import stat
import sys
import time
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["LONGEST_LINE", "STDIN", "Input", "UnreadableInput", "open_input"]

LONGEST_LINE = 16 << 20  # bytes; a longer line is not a log line, and must not fill the memory
CHUNK = 1 << 20  # bytes read from a file at once
STDIN = "-"  # the name of standard input on the command line
STDIN_SOURCE = "stdin"
GZIP_MAGIC = b"\x1f\x8b"  # never the start of a text: UTF-8 cannot have 8b after 1f
BOM = b"\xef\xbb\xbf"


class UnreadableInput(Exception):
    """The rest of an input cannot be read; the message gives the reason."""


class Input:
    """One open input."""

    def __init__(self, name: str, source: str, mtime: float, raw: BinaryIO) -> None:
        """Read from `raw`; `mtime` is in seconds since 1970. Use `open_input`."""
        self.name = name
        self.source = source
        self.mtime = mtime
        self._raw = raw
        self._packed = packed = io.BufferedReader(cast("io.RawIOBase", raw), CHUNK)
        self._lines = packed
        if packed.peek(2)[:2] == GZIP_MAGIC:
            unpacked = gzip.GzipFile(fileobj=packed, mode="rb")
            self._lines = io.BufferedReader(cast("io.RawIOBase", unpacked), CHUNK)

    @property
    def bytes_read(self) -> int:
        """The number of bytes read from the file, before gzip is unpacked; 0 for a pipe."""
        try:
            return self._raw.tell()
        except OSError:  # a pipe
            return 0

    def leave_open(self) -> None:
        """Stop reading, without closing the stream, which belongs to the caller."""
        self._packed.detach()

    def lines(self) -> Iterator[bytes | None]:
        """Give each line without its line end; None for a line longer than `LONGEST_LINE`.

        Raises:
            UnreadableInput: the rest cannot be read.
        """
        try:
            yield from self._split()
        except EOFError:
            raise UnreadableInput("the compressed data ends too early") from None
        except (zlib.error, gzip.BadGzipFile) as error:
            raise UnreadableInput(f"the compressed data is damaged: {error}") from None
        except OSError as error:
            raise UnreadableInput(error.strerror or str(error)) from None

    def _split(self) -> Iterator[bytes | None]:
        readline, most = self._lines.readline, LONGEST_LINE + 2
        line = readline(most).removeprefix(BOM)
        while line:
            if line.endswith(b"\n"):
                line = line[:-2] if line.endswith(b"\r\n") else line[:-1]
                yield line if len(line) <= LONGEST_LINE else None
            elif len(line) <= LONGEST_LINE:
                yield line
            else:
                while line and not line.endswith(b"\n"):
                    line = readline(CHUNK)
                yield None
            line = readline(most)


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
        opened = Input("standard input", STDIN_SOURCE, time.time(), getattr(stream, "raw", stream))
        try:
            yield opened
        finally:
            opened.leave_open()
        return
    with Path(name).open("rb", buffering=0) as raw:
        status = os.fstat(raw.fileno())
        regular = stat.S_ISREG(status.st_mode)
        # The real path of a pipe such as `<(command)` has a number that differs in each run.
        path = os.path.realpath(name) if regular else os.path.abspath(name)
        mtime = status.st_mtime if regular else time.time()
        yield Input(name, _as_text(path), mtime, raw)


def _as_text(path: str) -> str:
    return os.fsencode(path).decode("utf-8", "backslashreplace")
