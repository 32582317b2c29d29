"""Where a command writes what is not for the terminal: a file, which appears when it is complete.

Rules: a regular file is written under a temporary name in the same folder, flushed to disk, and
renamed; a file that was there is replaced then, and keeps its mode. If the work fails or is
stopped, nothing has changed; only a killed process leaves the temporary file, `.lmdbstore-*.tmp`.
A link keeps its place, and its target is replaced. A pipe or a device is written directly.
"""

from __future__ import annotations

import io
import os
import stat
import sys
from contextlib import contextmanager, redirect_stdout, suppress
from secrets import token_hex
from typing import TYPE_CHECKING, BinaryIO

import click

from lmdbstore.cli.opening import check_store, folder_of
from lmdbstore.cli.terminal import is_terminal, visible
from lmdbstore.errors import shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lmdbstore.cli.opening import Location

__all__ = ["output_to", "printed_to", "standard_output"]


def standard_output() -> BinaryIO:
    """Return standard output; a terminal gets no control characters."""
    stream: BinaryIO = sys.stdout.buffer
    return _Terminal(stream) if is_terminal(sys.stdout) else stream  # type: ignore[return-value]  # it only writes


class _Terminal:
    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def write(self, data: bytes) -> None:
        text = visible(data.decode())
        self._stream.write(text.encode(sys.stdout.encoding or "utf-8", "backslashreplace"))


@contextmanager
def output_to(path: Path, db: Location) -> Iterator[BinaryIO]:
    """Give a file that becomes `path` at the end of the context; `db` is where the store is.

    Raises:
        UsageError: the path is inside of the store.
        OSError: the file cannot be written.
    """
    real = os.path.realpath(path)
    folder = os.path.dirname(real)
    try:
        of_store = folder_of(db)
        if of_store is not None and os.path.samefile(folder, of_store):
            raise click.UsageError(
                f"{shown(str(path))} is in the folder of the store; give another"
            )
        before = os.stat(real) if os.path.exists(real) else None
        if before is not None and not stat.S_ISREG(before.st_mode):
            with open(real, "wb") as file:
                yield file
            return
        with _renamed(real, folder, before) as file:
            yield file
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


@contextmanager
def printed_to(path: Path | None, db: Location) -> Iterator[None]:
    """Let standard output be the file `path` in the context; None: it stays as it is.

    Raises what `output_to` raises, and StoreOpenError: there is no store.
    """
    if path is None:
        yield
        return
    check_store(db)
    with output_to(path, db) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="\n")
        try:
            with redirect_stdout(text):
                yield
        finally:
            text.detach()  # writes what it holds; the file stays open


@contextmanager
def _renamed(real: str, folder: str, before: os.stat_result | None) -> Iterator[BinaryIO]:
    temporary = os.path.join(folder, f".lmdbstore-{token_hex(8)}.tmp")
    try:
        with open(temporary, "xb") as file:
            if before is not None:
                os.fchmod(file.fileno(), stat.S_IMODE(before.st_mode))
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, real)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    _flush(folder)


def _flush(folder: str) -> None:
    """Flush the new name to disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
