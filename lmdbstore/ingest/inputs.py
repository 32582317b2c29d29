"""The input of an import: a file or standard input, plain or gzip, as numbered lines of bytes.

Rules: a line ends with a newline, or with a carriage return and a newline; neither is part of it.
Lines are numbered from 1, all of them counted. No more than `LONGEST_LINE` is held of any line,
whatever the input is. A UTF-8 byte order mark at the very beginning is not part of the text.
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

LONGEST_LINE = 16 << 20  # bytes; a line over 16 MiB is no log line, and must not fill the memory
CHUNK = 1 << 20  # bytes read from a file at once
STDIN = "-"  # how the command line writes standard input
STDIN_SOURCE = "stdin"
GZIP_MAGIC = b"\x1f\x8b"  # never the start of a text: no UTF-8 has an 8b there
BOM = b"\xef\xbb\xbf"


class UnreadableInput(Exception):
    """The rest of an input cannot be read; the message says why."""


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
        """How far reading has come, in bytes of the file as it lies on the disk."""
        try:
            return self._raw.tell()
        except OSError:  # a pipe
            return 0

    def leave_open(self) -> None:
        """Read no more, and leave what was read from to whom it belongs."""
        self._packed.detach()

    def lines(self) -> Iterator[bytes | None]:
        """Give each line without its end; None for one over `LONGEST_LINE`.

        Raises:
            UnreadableInput: what follows cannot be read.
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
    """Open the file `name`, or standard input for `-`, for the time of the context.

    Raises:
        OSError: it cannot be opened.
    """
    if name == STDIN:
        if sys.stdin is None:  # it was closed before the start
            raise OSError(errno.EBADF, "it is closed", "standard input")
        # Text layers above it are left alone; the bytes are what an id is made of.
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
        # A pipe's real name, as of `<(command)`, is a number that changes from run to run.
        path = os.path.realpath(name) if regular else os.path.abspath(name)
        mtime = status.st_mtime if regular else time.time()
        yield Input(name, _as_text(path), mtime, raw)


def _as_text(path: str) -> str:
    return os.fsencode(path).decode("utf-8", "backslashreplace")
