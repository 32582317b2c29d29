"""Which file an input is, of those that were read before.

Rules: an input is the file of a checkpoint if it begins with the whole text that was read then,
whatever its name is. Device and inode only say where to look first: then the last block alone is
compared. But if that text is short, and its file is still there, the input is taken for another
one, which may be equal by chance. If the front of an input was trimmed away, it is known by the
last lines that were read from its source: at least `LEAST` different ones, as many as there are, up
to `WINDOW`. What is not recognised for certain is another input, and is read whole.
"""

from __future__ import annotations

from contextlib import suppress
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

from lmdbstore.inputs.lines import START, Place, blocks
from lmdbstore.inputs.opened import open_input
from lmdbstore.inputs.unpacking import UnreadableInput

from .content import Content
from .tracked import WINDOW, HashedText, Mark, line_hashes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lmdbstore.inputs.opened import Input

    from .checkpoint import Checkpoint, Registry

__all__ = ["Known", "head_of", "recognise"]

HEAD = 1 << 16  # bytes of the first line that count
LEAST = 8  # different lines


class Known(NamedTuple):
    """A file that was read before."""

    checkpoint: Checkpoint
    mark: Mark  # where reading goes on
    grown: bool  # whether there is more than was read
    trimmed: bool = False

    @property
    def lines(self) -> int:
        """The number of lines that were read."""
        return self.checkpoint.lines


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

    An error in reading is no error here: it comes again when the input is read.
    """
    if (status := opened.status) is not None:
        for one in registry.of_file(status):
            if one.is_of(status) and opened.is_packed:
                return Known(one, Mark(Place(one.offset, one.number), Content(), ()), grown=False)
            content = Content(bytes.fromhex(one.chain), one.base)
            if known := _begins(opened.looked_at(one.base), content, [one]):
                return known
    candidates = registry.with_head(head)
    known = _begins(opened.looked_at(), Content(), candidates) if candidates else None
    if known is not None and not _is_there(known.checkpoint):
        return known
    windows = [one for one in registry.of_source(source) if len({*one.window}) >= LEAST]
    return _trimmed(opened, windows) if windows else None


def _is_there(one: Checkpoint) -> bool:
    """Whether the file of a checkpoint of a few lines is still there, with these lines."""
    if not one.path or len({*one.window}) >= LEAST:
        return False
    try:
        with open_input(one.path) as other:
            status = other.status
            same = status is not None and (status.st_dev, status.st_ino) == (one.device, one.inode)
            return same and _begins(other.looked_at(), Content(), [one]) is not None
    except OSError:
        return False


def _until_pause(chunks: Iterator[bytes]) -> Iterator[bytes]:
    with suppress(UnreadableInput):
        for chunk in chunks:
            if not chunk:
                return
            yield chunk


def _begins(
    chunks: Iterator[bytes], content: Content, candidates: Sequence[Checkpoint]
) -> Known | None:
    """Return the longest of the texts that were read by which an input begins.

    The chunks begin at the offset of `content`.
    """
    offsets = {offset for one in candidates for offset in (one.offset, one.end)}
    text = HashedText(_until_pause(chunks), content)
    wanted = sorted(offsets)
    found: dict[int, Content] = {}
    read = content.offset
    for chunk in text:
        read += len(chunk)
        while wanted and wanted[0] <= read:
            offset = wanted.pop(0)
            found[offset] = text.hash_to(offset)
        text.hash_to(read)
        if read > max(offsets):
            break
    for one in sorted(candidates, key=lambda one: one.end, reverse=True):
        if one.end in found and found[one.end].digest().hex() == one.digest:
            mark = Mark(Place(one.offset, one.number), found[one.offset], one.window)
            return Known(one, mark, grown=read > one.end)
    return None


def _trimmed(opened: Input, candidates: Sequence[Checkpoint]) -> Known | None:
    """Return what an input continues that lacks the front of what was read."""
    by_last = {one.window[-1]: one for one in reversed(candidates)}
    text = HashedText(_until_pause(opened.looked_at()), Content())
    recent: list[str] = []
    for block in blocks(iter(text), START):
        hashes = recent + line_hashes(block.lines)
        for n in range(len(recent), len(hashes)):
            one = by_last.get(hashes[n])
            if one is not None and _ends_with(one.window, hashes[: n + 1]):
                place = block.place(block.first + n + 1 - len(recent))
                mark = Mark(Place(place.offset, one.number), text.hash_to(place.offset), one.window)
                return Known(one, mark, grown=True, trimmed=True)
        recent = hashes[-WINDOW:]
        text.hash_to(block.stop)
    return None


def _ends_with(window: Sequence[str], hashes: Sequence[str]) -> bool:
    """Whether lines end with the lines of a window, or are the last of these and enough."""
    common = min(len(window), len(hashes))
    same = list(window[-common:]) == list(hashes[-common:])
    return same and len({*window[-common:]}) >= LEAST
