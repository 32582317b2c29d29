r"""The lines of an input, in blocks, as text.

Rules: a line ends with a newline, or with a carriage return and a newline; neither is part of it.
Where the first piece of an input has carriage returns and no newline, these end its lines. All
lines are counted, from 1. At most about `LONGEST_LINE` bytes of a line are in memory; a longer line
is skipped. A line that is not UTF-8 is read as Latin-1, in which every byte is a character.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["LONGEST_LINE", "START", "Block", "Place", "blocks", "line_end"]

LONGEST_LINE = 16 << 20  # bytes; a longer line is not a log line, and must not fill the memory


class Place(NamedTuple):
    """Where a line begins."""

    offset: int  # bytes of text before it
    number: int  # of the line, counted from 1


START = Place(0, 1)


@dataclass(slots=True)
class Block:
    """Some whole lines of an input."""

    first: int  # the number of the first line, counted from 1
    lines: list[str]
    data: bytes = b""  # the lines as they are; not all of a line that was too long
    start: int = 0  # the offset of the first line
    stop: int = 0  # the offset behind the last line
    end: bytes = b""  # the line end of the input
    latin: list[int] = field(default_factory=list)  # numbers of lines that are not UTF-8
    skipped: list[int] = field(default_factory=list)  # of lines that were too long; these are empty

    @property
    def following(self) -> Place:
        """Where the line after this block begins."""
        return Place(self.stop, self.first + len(self.lines))

    @property
    def is_open(self) -> bool:
        """Whether the last line has no end, so that it may be the first part of a line."""
        return not (self.end and self.data.endswith(self.end))

    def place(self, number: int) -> Place:
        """Return where the line with this number begins."""
        count = number - self.first
        if not count:
            return Place(self.start, number)
        rest = self.data.split(self.end, count)[count]
        return Place(self.stop - len(rest), number)


def blocks(
    chunks: Iterable[bytes], at: Place = START, end: bytes = b"", *, growing: bool = False
) -> Iterator[Block]:
    """Give the lines of chunks of bytes, as many at once as a chunk completes.

    The chunks begin `at` a line; `end` is the line end, if it is known. If the input is `growing`,
    a last line without an end is left out.
    """
    size, skipping = 0, False
    parts: list[bytes] = []
    for chunk in chunks:
        end = end or line_end(chunk)
        cut = chunk.rfind(end) + 1 if end else 0
        if not chunk:
            continue
        if not cut:
            size += len(chunk)
            skipping = skipping or size > LONGEST_LINE + 1
            parts = [] if skipping else [*parts, chunk]
            continue
        data = b"".join([*parts, chunk[:cut]])
        block = _block(data, end, at, at.offset + size + cut, skipping=skipping)
        parts, size, skipping = [chunk[cut:]] if cut < len(chunk) else [], len(chunk) - cut, False
        at = block.following
        yield block
    if (skipping or any(parts)) and not growing:
        yield _block(b"".join(parts), end, at, at.offset + size, skipping=skipping)


def line_end(chunk: bytes) -> bytes:
    """Return the line end of an input that begins with a chunk; nothing if it has none."""
    if b"\n" in chunk:
        return b"\n"
    return b"\r" if b"\r" in chunk[:-1] else b""


def _block(data: bytes, end: bytes, at: Place, stop: int, *, skipping: bool) -> Block:
    """Return a block of whole lines; with `skipping`, the first of them was too long."""
    block = Block(at.number, [], data, at.offset, stop, end)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        block.lines = _decoded_each(data, end, block)
    else:
        block.lines = text.split(end.decode() or "\n")
    if not data or (end and data.endswith(end)):
        block.lines.pop()
    if b"\r" in data and end != b"\r":
        block.lines = [line.removesuffix("\r") for line in block.lines]
    if skipping or len(data) > LONGEST_LINE:
        _skip_long(block, skipping=skipping)
    return block


def _decoded_each(data: bytes, end: bytes, block: Block) -> list[str]:
    lines = []
    for number, line in enumerate(data.split(end or b"\n"), block.first):
        try:
            lines.append(line.decode())
        except UnicodeDecodeError:
            lines.append(line.decode("latin-1"))
            block.latin.append(number)
    return lines


def _skip_long(block: Block, *, skipping: bool) -> None:
    if skipping and not block.lines:
        block.lines = [""]
    for n, line in enumerate(block.lines):
        if (skipping and not n) or (
            len(line) > LONGEST_LINE // 4 and len(line.encode()) > LONGEST_LINE
        ):
            block.lines[n] = ""
            block.skipped.append(block.first + n)
