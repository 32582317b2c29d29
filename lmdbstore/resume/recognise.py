"""Which file an input is, of those that were read before.

Rules: an input is the file of a checkpoint if it begins with the whole text that was read then,
whatever its name is. Device and inode only say where to look first: then the last block alone is
compared. But if that text is short, and its file is still there, or it came from a pipe of another
source, the input is taken for another one, which may be equal by chance. If the front of an input
was trimmed away, it is known by the last lines that were read from its source: at least `LEAST`
different ones, as many as there are, up to `WINDOW`. What is not recognised for certain is another
input, and is read whole.
"""

from __future__ import annotations

import math
import os
import stat
import time
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from hashlib import blake2b
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from lmdbstore.inputs.file_reader import FileReader
from lmdbstore.inputs.lines import START, Place, blocks
from lmdbstore.inputs.opened import input_of
from lmdbstore.inputs.unpacking import FailedRead, UnreadableInput

from .content import Content
from .tracked import BEGINNING, MOST_HELD, WINDOW, HashedText, Mark, line_hashes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lmdbstore.inputs.opened import Input

    from .checkpoint import Checkpoint, Registry

__all__ = ["Known", "copied_from", "head_of", "is_short", "moved_to", "recognise"]

HEAD = 1 << 16  # bytes of the first line that count
LEAST = 8  # different lines
LONGEST_SEARCH = 600.0  # seconds: a pipe that gives lines for so long may never end


class Known(NamedTuple):
    """A file that was read before."""

    checkpoint: Checkpoint
    grown: bool = False  # whether there is more than was read
    mark: Mark = BEGINNING  # where reading goes on
    chunks: Iterator[bytes] = iter(())  # the text from there on, of the file that was compared
    trimmed: bool = False


def head_of(opened: Input) -> str:
    """Return the digest of the first line of an input; "" if the line is not complete."""
    head = b""
    for chunk in _until_pause(opened.looked_at()):
        head += chunk
        ends = [at for at in (head.find(b"\n"), head.find(b"\r", 0, -1)) if at >= 0]
        if ends or len(head) >= HEAD:
            line = head[: min([*ends, HEAD])]
            return blake2b(line, digest_size=8).hexdigest()
    return ""


def recognise(opened: Input, source: str, head: str, registry: Registry) -> Known | None:
    """Return what is known of an input; None if it is another one.

    Damaged data is no error here: it is one when the input is read.

    Raises:
        FailedRead: so it cannot be said which file it is.
    """
    if (status := opened.status) is not None:
        for same in registry.of_file(status):
            if same.is_of(status) and opened.is_packed:
                return Known(same)
            if known := _continued(opened, same):
                return known
    for one in _begun(opened.looked_at(), registry.with_head(head)):
        if len({*one.window}) >= LEAST or not _may_be_equal_by_chance(opened, source, one):
            return _continued(opened, one)
    windows = [one for one in registry.of_source(source) if len({*one.window}) >= LEAST]
    moved = _moved(opened, windows) if windows else None
    known = None if moved is None else _continued(opened, moved)
    return None if known is None else known._replace(trimmed=True)


def copied_from(opened: Input, head: str, registry: Registry) -> Checkpoint | None:
    """Return the checkpoint of a file that is still there, and of which an input is the start.

    So it is a copy, or it is being copied; or if it is short, it may be equal by chance.
    """
    others = (one for one in registry.with_head(head) if head and one.path)
    return next((one for one in others if _is_start(opened, one)), None)


def moved_to(opened: Input, one: Checkpoint) -> Checkpoint | None:
    """Return the checkpoint for the new place of its file; None if it has not moved there.

    A file has moved if an input has its whole text, and it is not at its former path any more.
    """
    if opened.status is None:
        return None
    with _file_of(one) as other:
        return None if other is not None else one.read_to_end(opened.path, opened.status)


def is_short(opened: Input) -> bool:
    """Whether an input has less than `LEAST` different lines."""
    found: set[str] = set()
    for block in blocks(_until_pause(opened.looked_at())):
        found.update(block.lines)
        if len(found) >= LEAST:
            return False
    return True


def _is_start(opened: Input, one: Checkpoint) -> bool:
    with _file_of(one) as other:
        if other is None or other.is_same(opened):
            return False
        theirs = _readable(other.looked_at())
        rest = b""
        for chunk in _until_pause(opened.looked_at()):
            while len(rest) < len(chunk) and (more := next(theirs, b"")):
                rest += more
            if not rest.startswith(chunk):
                return False
            rest = rest[len(chunk) :]
        return True


def _may_be_equal_by_chance(opened: Input, source: str, one: Checkpoint) -> bool:
    """Whether an input is another one than that of a checkpoint with few lines.

    Of pipes the source decides; of files, whether the other one is still there, with these lines.
    """
    if opened.status is None:
        return one.source != source
    with _file_of(one) as other:
        return other is not None and bool(_begun(_readable(other.looked_at()), [one]))


@contextmanager
def _file_of(one: Checkpoint) -> Iterator[Input | None]:
    """Give the file of a checkpoint, if it is still at its path."""
    with ExitStack() as stack:
        found = None
        with suppress(OSError, ValueError):  # it is not there; no path has a NUL
            # A pipe that is there by now, with the number of the file, would lose its writer.
            if _is_file_of(one, os.stat(one.path)):
                flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY
                raw = stack.enter_context(closing(FileReader(os.open(one.path, flags))))
                if _is_file_of(one, os.fstat(raw.fileno())):
                    found = input_of(raw, one.path, one.path)
        yield found


def _is_file_of(one: Checkpoint, status: os.stat_result) -> bool:
    same = (status.st_dev, status.st_ino) == (one.device, one.inode)
    return same and stat.S_ISREG(status.st_mode)


def _until_pause(chunks: Iterator[bytes]) -> Iterator[bytes]:
    try:
        for chunk in chunks:
            if not chunk:
                return
            yield chunk
    except FailedRead:
        raise
    except UnreadableInput:
        return


def _readable(chunks: Iterator[bytes]) -> Iterator[bytes]:
    with suppress(UnreadableInput):
        yield from chunks


def _begun(chunks: Iterator[bytes], candidates: Sequence[Checkpoint]) -> list[Checkpoint]:
    """Return those of which an input begins with the text that was read, the longest first."""
    wanted = sorted({one.end for one in candidates})
    content, found = Content(), dict[int, bytes]()
    for chunk in _until_pause(chunks) if wanted else ():
        start = content.offset
        while wanted and wanted[0] <= start + len(chunk):
            content.update(chunk[content.offset - start : wanted[0] - start])
            found[wanted.pop(0)] = content.digest()
        content.update(chunk[content.offset - start :])
        if not wanted:
            break
    begun = [one for one in candidates if one.digest == found.get(one.end, b"").hex() != ""]
    return sorted(begun, key=lambda one: one.end, reverse=True)


def _continued(opened: Input, one: Checkpoint) -> Known | None:
    """Return how an input goes on; None if it has not the text of the checkpoint.

    The last block of that text is compared, and what follows comes from the same reading: so it is
    of the same file, whatever happens to that in the meantime. Only what a line that is too long
    has after the mark is read again.
    """
    content = Content(bytes.fromhex(one.chain), one.base)
    before = content.copy()
    chunks = opened.looked_at(one.base)
    kept: list[bytes] = []
    size, start = 0, one.base
    for chunk in _until_pause(chunks):
        cut = max(0, one.offset - start)
        before.update(chunk[:cut])
        content.update(chunk[: one.end - start])
        start += len(chunk)
        size += len(chunk[cut:])
        kept = [*kept, chunk[cut:]] if size <= MOST_HELD else []
        if start >= one.end:
            break
    if start < one.end or content.digest().hex() != one.digest:
        return None
    rest, more = _peeked(chunks)
    mark = Mark(Place(one.offset, one.number), before, one.window, one.cut)
    following = chain(kept, rest) if size <= MOST_HELD else opened.looked_at(one.offset)
    return Known(one, more or start > one.end, mark, following)


def _peeked(chunks: Iterator[bytes]) -> tuple[Iterator[bytes], bool]:
    """Return the same chunks, and whether there are any, or an error."""
    try:
        first = next(chunks, None)
    except UnreadableInput as error:
        return _raising(error), True
    return (chunks, False) if first is None else (chain([first], chunks), True)


def _raising(error: UnreadableInput) -> Iterator[bytes]:
    yield b""
    raise error


def _moved(opened: Input, candidates: Sequence[Checkpoint]) -> Checkpoint | None:
    """Return the checkpoint that an input continues without the front of what was read.

    It is the one at the place where that ends in this input.
    """
    by_last = {one.window[-1]: one for one in reversed(candidates)}
    text = HashedText(_until_pause(opened.looked_at()), Content())
    recent: list[str] = []
    end = math.inf if opened.is_file else time.monotonic() + LONGEST_SEARCH
    for block in blocks(iter(text), START):
        if time.monotonic() >= end:
            break
        hashes = recent + line_hashes(block.lines)
        for n in range(len(recent), len(hashes)):
            one = by_last.get(hashes[n])
            if one is not None and _ends_with(one.window, hashes[: n + 1]):
                place = block.place(block.first + n + 1 - len(recent))
                return _at(one, text.hash_to(place.offset))
        recent = hashes[-WINDOW:]
        text.hash_to(block.stop)
    return None


def _at(one: Checkpoint, content: Content) -> Checkpoint:
    return replace(
        one,
        offset=content.offset,
        chain=content.chain.hex(),
        base=content.base,
        end=content.offset,
        digest=content.digest().hex(),
    )


def _ends_with(window: Sequence[str], hashes: Sequence[str]) -> bool:
    """Whether lines end with the lines of a window, or are the last of these and enough."""
    common = min(len(window), len(hashes))
    same = list(window[-common:]) == list(hashes[-common:])
    return same and len({*window[-common:]}) >= LEAST
