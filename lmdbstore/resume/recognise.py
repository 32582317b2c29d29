"""Which file an input is, of those that were read before.

Rules: an input is the file of a checkpoint if it begins with the whole text that was read then,
whatever its name is. Device and inode only say where to look first: then the last block alone is
compared. But if that text is short, and its file is still there, the input is taken for another
one, which may be equal by chance. If the front of an input was trimmed away, it is known by the
last lines that were read from its source: at least `LEAST` different ones, as many as there are, up
to `WINDOW`. What is not recognised for certain is another input, and is read whole.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, suppress
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

__all__ = ["Known", "copied_from", "head_of", "is_short", "recognise"]

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
    if known is not None:
        one = known.checkpoint
        few = len({*one.window}) < LEAST
        if not (few and opened.status is not None and _is_there(one)):
            return known
    windows = [one for one in registry.of_source(source) if len({*one.window}) >= LEAST]
    return _trimmed(opened, windows) if windows else None


def copied_from(opened: Input, head: str, registry: Registry) -> Checkpoint | None:
    """Return the checkpoint of a file that is still there, and of which an input is the start.

    So it is a copy, or it is being copied; or if it is short, it may be equal by chance.
    """
    others = (one for one in registry.with_head(head) if head and one.path)
    return next((one for one in others if _is_start(opened, one)), None)


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
        theirs = _until_pause(other.looked_at())
        rest = b""
        for chunk in _until_pause(opened.looked_at()):
            while len(rest) < len(chunk) and (more := next(theirs, b"")):
                rest += more
            if not rest.startswith(chunk):
                return False
            rest = rest[len(chunk) :]
        return True


def _is_there(one: Checkpoint) -> bool:
    """Whether the file of a checkpoint is still there, with the lines that were read."""
    with _file_of(one) as other:
        return other is not None and _begins(other.looked_at(), Content(), [one]) is not None


@contextmanager
def _file_of(one: Checkpoint) -> Iterator[Input | None]:
    """Give the file of a checkpoint, if it is still at its path."""
    with ExitStack() as stack:
        other = None
        with suppress(OSError):
            other = stack.enter_context(open_input(one.path)) if one.path else None
        status = None if other is None else other.status
        is_it = status is not None and (status.st_dev, status.st_ino) == (one.device, one.inode)
        yield other if is_it else None


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
