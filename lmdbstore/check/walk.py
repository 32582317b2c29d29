"""Walking through a whole database in pieces, and reporting progress."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from lmdb import Cursor

__all__ = ["PIECE_ENTRIES", "Progress", "after", "pieces"]

T = TypeVar("T")

PIECE_ENTRIES, PIECE_BYTES = 1000, 1 << 20  # of one piece


class Progress(Protocol):
    """A callback for the number of items done and their total."""

    def __call__(self, done: int, total: int, /) -> None:
        """Take the two numbers."""


def pieces(items: Iterable[T], size: Callable[[T], int]) -> Iterator[list[T]]:
    """Yield the items in lists that take little memory; the last item of each may be large."""
    piece, weight = list[T](), 0
    for item in items:
        piece.append(item)
        weight += size(item)
        if len(piece) >= PIECE_ENTRIES or weight >= PIECE_BYTES:
            yield piece
            piece, weight = [], 0
    if piece:
        yield piece


def after(
    cursor: Cursor[bytes], place: tuple[bytes, bytes] | None, *, pairs: bool
) -> Iterator[tuple[bytes, bytes]]:
    """Yield the entries after a place, which is an entry; from the first one if it is empty."""
    if not place or place == (b"", b""):
        return iter(cursor.iternext()) if cursor.first() else iter(())
    if pairs:
        if not cursor.set_range_dup(*place) and not (
            cursor.set_range(place[0]) and cursor.next_nodup()
        ):
            return iter(())
    elif not cursor.set_range(place[0]):
        return iter(())
    entries = iter(cursor.iternext())
    if cursor.item() == place:
        next(entries, None)
    return entries
