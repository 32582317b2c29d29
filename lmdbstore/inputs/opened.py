"""The input of an import: a file or standard input, opened, with its name and its time.

Rules: a file is read from any offset, as often as it is asked for; a pipe is read once. Offsets are
in bytes of the text, unpacked. The source of an event is the full path of the file.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from .file_reader import FileReader
from .spool import Spool
from .unpacking import chunks, is_packed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .unpacking import Raw

__all__ = ["STDIN", "Input", "as_text", "input_of", "open_input"]

STDIN = "-"  # the name of standard input on the command line
STDIN_SOURCE = "stdin"
PATIENCE = 3.0  # seconds: a pipe that gives nothing for so long is a live one


class Input:
    """One open input."""

    def __init__(
        self,
        name: str,
        source: str,
        raw: Raw,
        status: os.stat_result | None = None,
        path: str = "",
    ) -> None:
        """Read from `raw`. Use `open_input`, or `input_of`.

        A regular file has a `status`, and the real `path` that it had when it was opened.
        """
        self.name = name
        self.source = source
        self.status, self.path = status, path
        self.mtime = time.time() if status is None else status.st_mtime
        self._raw = raw
        self._spool: Spool | None = None

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file, which can be read again."""
        return self.status is not None

    def is_same(self, other: Input) -> bool:
        """Whether it is the same regular file."""
        one, two = self.status, other.status
        return (
            one is not None
            and two is not None
            and (one.st_dev, one.st_ino) == (two.st_dev, two.st_ino)
        )

    @property
    def is_packed(self) -> bool:
        """Whether it is a regular file of packed text."""
        if not isinstance(self._raw, FileReader):
            return False
        try:
            with self._raw.again() as raw:
                return is_packed(raw)
        except OSError:  # the error comes again when it is read
            return False

    @property
    def age(self) -> float:
        """How long it was not changed, in seconds; also if the clock was set back since."""
        return abs(time.time() - self.mtime)

    def pass_to(self, position: int) -> None:
        """Go to a place in a regular file, in bytes: another process has read it so far."""
        self._raw.seek(position)

    @property
    def bytes_read(self) -> int:
        """The number of bytes read from the file, before it is unpacked; 0 for a pipe."""
        try:
            return self._raw.tell()
        except OSError:  # a pipe
            return 0

    def chunks(self) -> Iterator[bytes]:
        """Give the text, from its start to its end. A pipe gives it once.

        Raises:
            UnreadableInput: the rest cannot be read.
        """
        if self._spool is not None:
            return self._spool.from_offset(0)
        return chunks(self._raw)

    def looked_at(self, start: int = 0) -> Iterator[bytes]:
        """Give the text from an offset on, before `chunks` gives it once more.

        What a pipe gives is kept for that, in memory or in a temporary file. An empty chunk says
        that the pipe gives nothing now.

        Raises:
            UnreadableInput: the rest cannot be read.
        """
        if isinstance(self._raw, FileReader):
            return _chunks_again(self._raw, start)
        if self._spool is None:
            patience = PATIENCE if _can_wait(self._raw) else None
            self._spool = Spool(chunks(self._raw, patience=patience))
        return self._spool.from_offset(start)

    def keep_no_more(self) -> None:
        """Give the text once from here on."""
        if self._spool is not None:
            self._spool.keeps = False

    def close(self) -> None:
        """Forget what was kept, and close a regular file."""
        if self._spool is not None:
            self._spool.close()
        if isinstance(self._raw, FileReader):
            self._raw.close()


@contextmanager
def open_input(name: str) -> Iterator[Input]:
    """Open the file `name`, or standard input for `-`, until the end of the context.

    Raises:
        OSError: the input cannot be opened.
    """
    if name == STDIN:
        if sys.stdin is None:  # it was closed before the start
            raise OSError(errno.EBADF, "it is closed", "standard input")
        # Read below the text layer, which decodes.
        stream = sys.stdin.buffer
        with closing(Input("standard input", STDIN_SOURCE, getattr(stream, "raw", stream))) as pipe:
            yield pipe
        return

    with Path(name).open("rb", buffering=0) as raw:
        status = os.fstat(raw.fileno())
        if stat.S_ISREG(status.st_mode):
            with closing(
                input_of(FileReader(os.dup(raw.fileno())), name, os.path.realpath(name))
            ) as file:
                yield file
        else:
            # The real path of a pipe such as `<(command)` has a number that differs in each run.
            with closing(Input(name, as_text(os.path.abspath(name)), raw)) as pipe:
                yield pipe


def input_of(raw: FileReader, name: str, path: str, source: str | None = None) -> Input:
    """Return the input of a regular file that is open, whatever its path leads to by now.

    Its source is a path, too, if it has another one than its own.
    """
    return Input(name, as_text(source or path), raw, os.fstat(raw.fileno()), path)


def _chunks_again(file: FileReader, start: int) -> Iterator[bytes]:
    with file.again() as raw:
        yield from chunks(raw, start)


def _can_wait(raw: Raw) -> bool:
    """Whether it is a file of the operating system."""
    try:
        return raw.fileno() >= 0
    except OSError:
        return False


def as_text(path: str) -> str:
    """Return a path as text; bytes that are not UTF-8 are written with backslashes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
