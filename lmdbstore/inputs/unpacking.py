"""What the bytes of an input are: text, packed text, or something that is refused.

Rules: only the first bytes decide, never the name. Text is passed on, UTF-16 as UTF-8. gzip, bzip2,
xz and zstd are unpacked. Archives of several files and other binary data are refused by name. Of
damaged data everything is given that can be unpacked, byte by byte, and then the error. However far
the data unpacks, at most about `PIECE` bytes of it are in memory.
"""

from __future__ import annotations

import bz2
import codecs
import importlib
import lzma
import select
import zlib
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol

from lmdbstore.rows import STARTS

from .file_reader import ChangedFile

if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Iterator
    from typing import BinaryIO, TypeAlias

    Raw: TypeAlias = BinaryIO | io.RawIOBase

__all__ = ["CHUNK", "ChangedInput", "FailedRead", "UnreadableInput", "chunks", "is_packed"]

CHUNK = 1 << 18  # bytes read from an input at once
PIECE = 1 << 20  # bytes unpacked at once
SLICE = 1 << 13  # packed bytes given at once, so that little is to be done again at damage
HEAD = 4096  # bytes by which binary data is known
LONGEST_MARK = 16  # bytes
TAR_MARK = 257  # where a tar file has "ustar"
BINARY_SHARE = 0.15  # of control characters; random bytes have 0.23

_REFUSED = (
    (b"PK\x03\x04", "a zip file"),
    (b"PK\x05\x06", "a zip file"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z file"),
    (b"Rar!\x1a\x07", "a rar file"),
    (b"\x04\x22\x4d\x18", "lz4 data"),
    (b"\x1f\x9d", "compress(1) data"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"LPKSHHRH", "a journal of systemd; import the output of `journalctl -o json`"),
    (b"ElfFile\x00", "a Windows event log; export it as text, CSV or JSON"),
    (b"\x7fELF", "a program"),
    (b"%PDF-", "a PDF file"),
    (b"\x89PNG\r\n", "an image"),
    (b"\xff\xd8\xff", "an image"),
    (b"PAR1", "a Parquet file; unpack it, and import the file by its name"),
    (b"ARROW1\0\0", "an Arrow file; unpack it, and import the file by its name"),
    (b"\xd4\xc3\xb2\xa1", "captured packets"),
    (b"\x0a\x0d\x0d\x0a", "captured packets"),
)
_CONTROL = bytes({*range(2, 7), *range(14, 27), *range(28, 32)})
_HIGH_CONTROL = bytes(range(0x80, 0xA0))


class UnreadableInput(Exception):
    """The rest of an input cannot be read; the message gives the reason."""


class ChangedInput(UnreadableInput):
    """The file is not the one any more of which the first part was read."""


class FailedRead(UnreadableInput):
    """The system could not read the rest; it may the next time."""


class _Unpacker(Protocol):
    """What the unpackers of the standard library have in common."""

    eof: bool
    unused_data: bytes

    @property
    def needs_input(self) -> bool: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _Gzip:
    """zlib's unpacker of gzip data, with the methods of the others."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(31)
        self._full = False

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    @property
    def needs_input(self) -> bool:
        return not self._full and not self._zlib.unconsumed_tail

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        given = self._zlib.unconsumed_tail + data
        unpacked = self._zlib.decompress(given, max(max_length, 0))
        self._full = len(unpacked) == max_length
        return unpacked


def _zstd() -> Any:
    for name in ("compression.zstd", "backports.zstd"):
        try:
            return importlib.import_module(name).ZstdDecompressor()
        except ImportError:
            continue
    raise UnreadableInput("zstd data; install lmdbstore[zstd], or unpack it with `zstdcat`")


_PACKED: tuple[tuple[bytes, Callable[[], Any]], ...] = (
    (b"\x1f\x8b", _Gzip),
    (b"BZh", bz2.BZ2Decompressor),
    (b"\xfd7zXZ\x00", lzma.LZMADecompressor),
    (b"\x28\xb5\x2f\xfd", _zstd),
)
_WIDE = ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_MARKS = [mark for mark, _ in (*_PACKED, *_REFUSED, *_WIDE)]


def chunks(raw: Raw, start: int = 0, patience: float | None = None) -> Iterator[bytes]:
    """Give the text of an input, from the offset `start`, in chunks of bytes.

    With `patience`, an empty chunk is given when a pipe had nothing for so many seconds.

    Raises:
        UnreadableInput: the rest cannot be read, or the input is not text.
    """
    if start and raw.seekable():
        with _own_errors():
            head = raw.read(LONGEST_MARK) or b""
            raw.seek(0)
            if not any(map(head.startswith, _MARKS)):
                raw.seek(start + (len(head) - len(head.removeprefix(codecs.BOM_UTF8))))
                return _read(raw, patience)
    return _without(start, _plain(_read(raw, patience), raw))


@contextmanager
def _own_errors() -> Iterator[None]:
    """Turn the errors of the system into our own."""
    try:
        yield
    except ChangedFile as error:
        raise ChangedInput(str(error.strerror)) from None
    except OSError as error:
        raise FailedRead(error.strerror or str(error)) from None


def is_packed(raw: Raw) -> bool:
    """Return whether an input, at its start, is packed text; raises OSError."""
    head = raw.read(LONGEST_MARK) or b""
    return any(head.startswith(mark) for mark, _ in _PACKED)


def _without(size: int, data: Iterator[bytes]) -> Iterator[bytes]:
    for more in data:
        if len(more) > size or not more:  # an empty chunk says something
            yield more[size:]
        size = max(0, size - len(more))


def _read(raw: Raw, patience: float | None) -> Iterator[bytes]:
    while True:
        with _own_errors():
            waits = patience is not None and not select.select([raw], [], [], patience)[0]
            data = b"" if waits else raw.read(CHUNK)
        if data is None:
            raise UnreadableInput("it is set to give nothing instead of waiting (O_NONBLOCK)")
        if not data and not waits:
            return
        yield data


def _plain(data: Iterator[bytes], raw: Raw | None) -> Iterator[bytes]:
    """Give plain text; `raw` is what `data` reads, or None if that is unpacked already."""
    head = b""
    for more in data:
        head += more
        # A pipe may give a few bytes only; the mark must be complete.
        if not any(mark.startswith(head) for mark in _MARKS):
            break
    for mark, make in _PACKED:
        if head.startswith(mark):
            if raw is None:
                raise UnreadableInput("packed twice; unpack it first")
            yield from _plain(_Unpacking(mark, make, raw, head).chunks(data), None)
            return
    for mark, encoding in _WIDE:
        if head.startswith(mark):
            yield from _narrow(head[len(mark) :], data, encoding)
            return
    if refusal := _refusal(head):
        raise UnreadableInput(f"it is {refusal}")
    if text := head.removeprefix(codecs.BOM_UTF8):
        yield text
    yield from data


def _refusal(head: bytes) -> str | None:
    if head.startswith(STARTS):  # our own rows, whatever their contents are
        return None
    for mark, name in _REFUSED:
        if head.startswith(mark):
            return name
    if head[TAR_MARK : TAR_MARK + 5] == b"ustar":
        return "a tar file; unpack it, and import the files in it"
    start = head[:HEAD].replace(b"\0", b"")
    control = len(start) - len(start.translate(None, _CONTROL))
    try:
        head[: HEAD // 2].decode()
    except UnicodeDecodeError as error:
        if error.reason != "unexpected end of data":
            control += len(start) - len(start.translate(None, _HIGH_CONTROL))
    if len(start) >= 16 and control > len(start) * BINARY_SHARE:  # noqa: PLR2004  to judge by
        return "binary data"
    return None


def _narrow(head: bytes, data: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    """Give UTF-16 as UTF-8; not a part of a character at the end, whose rest may come."""
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    for more in chain([head], data):
        if text := decoder.decode(more):
            yield text.encode()


class _Unpacking:
    """Unpacks one member after the other, as the tools do."""

    def __init__(self, mark: bytes, make: Callable[[], _Unpacker], raw: Raw, head: bytes) -> None:
        self._mark, self._make, self._raw = mark, make, raw
        self._head = head
        self._start = 0  # where the member begins in the input
        self._fed = 0  # packed bytes of the member given so far
        self._given = 0  # bytes of the member unpacked so far
        self._unpacker = make()

    def chunks(self, data: Iterator[bytes]) -> Iterator[bytes]:
        yield from self._chunk(self._head)
        for more in data:
            yield from self._chunk(more)
        if self._fed:
            raise UnreadableInput("the compressed data ends too early")

    def _chunk(self, data: bytes) -> Iterator[bytes]:
        while data:
            if not self._fed:  # between members: padding, or the next one
                rest = data.lstrip(b"\0")
                self._start += len(data) - len(rest)
                data = rest
                if not self._mark.startswith(data[: len(self._mark)]):
                    raise UnreadableInput("what follows the compressed data is no compressed data")
            piece, data = data[:SLICE], data[SLICE:]
            if piece:
                yield from self._slice(piece)
                data = self._ended() + data

    def _slice(self, piece: bytes) -> Iterator[bytes]:
        unpacker, given = self._unpacker, piece
        try:
            while True:
                unpacked = unpacker.decompress(given, PIECE)
                self._given += len(unpacked)
                if unpacked:
                    yield unpacked
                if unpacker.needs_input or unpacker.eof:
                    break
                given = b""
        except GeneratorExit:
            raise
        except Exception as error:  # noqa: BLE001  each library has its own
            yield from self._rescued(piece)
            raise UnreadableInput(f"the compressed data is damaged: {error}") from None
        self._fed += len(piece)

    def _ended(self) -> bytes:
        """At the end of a member, prepare for the next one; return what was not of this one."""
        if not self._unpacker.eof:
            return b""
        rest = self._unpacker.unused_data
        self._start += self._fed - len(rest)
        self._fed = self._given = 0
        self._unpacker = self._make()
        return rest

    def _rescued(self, piece: bytes) -> Iterator[bytes]:
        """Unpack the member again, at last byte by byte: a call that fails gives nothing at all."""
        if not self._raw.seekable():
            return
        unpacker, seen = self._make(), 0
        for step, most in self._steps(piece):
            try:
                given = step
                while True:
                    unpacked = unpacker.decompress(given, most)
                    seen += len(unpacked)
                    if seen > self._given:
                        yield unpacked[self._given - seen :]
                        self._given = seen
                    if unpacker.needs_input or unpacker.eof:
                        break
                    given = b""
            except GeneratorExit:
                raise
            except Exception:  # noqa: BLE001  the error that is reported already
                return

    def _steps(self, piece: bytes) -> Iterator[tuple[bytes, int]]:
        """Give the member's packed bytes again, each with how many bytes to unpack at once."""
        with _own_errors():
            self._raw.seek(self._start)
        left = self._fed
        while left:
            with _own_errors():
                again = self._raw.read(min(SLICE, left))
            if not again:
                break
            left -= len(again)
            yield again, PIECE
        for n in range(len(piece)):
            yield piece[n : n + 1], 1
