"""The text of an input on its way to its reader, and where it can be continued later.

Rules: the text is hashed up to the place of the mark only, which is never behind a record that may
still grow. What is not hashed yet is in memory: no more than the text since the last block.
"""

from __future__ import annotations

from collections import deque
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

from xxhash import xxh3_64_hexdigest

from lmdbstore.inputs.lines import LONGEST_LINE, START

from .content import Content

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lmdbstore.inputs.lines import Block, Place

__all__ = [
    "BEGINNING",
    "MOST_HELD",
    "WINDOW",
    "HashedText",
    "Mark",
    "Marks",
    "content_digest",
    "line_hashes",
]

WINDOW = 32  # lines
MOST_HELD = LONGEST_LINE + (4 << 20)  # bytes: more are of a line that is skipped


def line_hashes(lines: Sequence[str]) -> list[str]:
    """Return the hash of each line (XXH3, of 8 bytes)."""
    return [xxh3_64_hexdigest(line.encode()) for line in lines]


def content_digest(content: str) -> str:
    """Return the digest of a record (BLAKE2b, of 8 bytes)."""
    return blake2b(content.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


class HashedText:
    """Chunks of text that pass through, and are hashed up to a place."""

    def __init__(self, chunks: Iterator[bytes], content: Content) -> None:
        """Pass `chunks` on, which begin at the offset of `content`."""
        self._chunks = chunks
        self.content = content
        self._held: deque[memoryview] = deque()
        self._size = 0

    def __iter__(self) -> Iterator[bytes]:
        """Give the chunks."""
        for chunk in self._chunks:
            if self._size > MOST_HELD:
                self.hash_to(self.content.offset + self._size)
            self._held.append(memoryview(chunk))
            self._size += len(chunk)
            yield chunk

    def hash_to(self, offset: int) -> Content:
        """Hash the text before an offset, and return a copy of the hash."""
        while (left := offset - self.content.offset) > 0:
            chunk = self._held.popleft()
            self.content.update(chunk[:left])
            self._size -= min(left, len(chunk))
            if left < len(chunk):
                self._held.appendleft(chunk[left:])
        return self.content.copy()


class Mark(NamedTuple):
    """A place at which an input can be continued."""

    place: Place
    content: Content  # of the text before
    window: tuple[str, ...]  # the hashes of the last lines before
    cut: tuple[str, ...] | None = None  # see `Checkpoint`


BEGINNING = Mark(START, Content(), ())


class Marks:
    """The latest mark of an input that is being read."""

    def __init__(self, text: HashedText, mark: Mark) -> None:
        """Begin at a mark, from which the input is read."""
        self._text = text
        self._recent = list(mark.window)
        self.mark = mark

    def pass_block(
        self, block: Block, open_record: int | None, cut: Sequence[str] | None = None
    ) -> None:
        """Go behind a block, or to the record in it that the next line may continue."""
        number = block.following.number
        if block.is_open and block.lines:
            number -= 1
        if open_record is not None:
            number = min(number, open_record)
        if number >= block.first:
            before = number - block.first
            place = block.place(number)
            window = self._window(block.lines[max(0, before - WINDOW) : before])
            content = self._text.hash_to(place.offset)
            if content.offset == place.offset:  # not inside of a line that was skipped
                cut = None if cut is None or number != open_record else tuple(cut)
                self.mark = Mark(place, content, window, cut)
        self._recent = list(self._window(block.lines[-WINDOW:]))
        self._text.hash_to(block.stop)

    def end(self) -> Content:
        """Return the hash of all text that was read."""
        return self._text.content

    def _window(self, lines: Sequence[str]) -> tuple[str, ...]:
        return tuple([*self._recent, *line_hashes(lines)][-WINDOW:])
