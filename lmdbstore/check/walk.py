"""Going through a whole store in pieces, and telling how far that is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from lmdb import Cursor

__all__ = ["PIECE", "Progress", "behind", "pieces"]

T = TypeVar("T")

PIECE, PIECE_BYTES = 1000, 1 << 20  # entries that are looked at in one go, and bytes of records


class Progress(Protocol):
    """Is told how many of how many are done."""

    def __call__(self, done: int, total: int, /) -> None:
        """Take note."""


def pieces(items: Iterable[T], size: Callable[[T], int]) -> Iterator[list[T]]:
    """Give items in lists that take little memory, but for the last item of each."""
    piece, weight = list[T](), 0
    for item in items:
        piece.append(item)
        weight += size(item)
        if len(piece) >= PIECE or weight >= PIECE_BYTES:
            yield piece
            piece, weight = [], 0
    if piece:
        yield piece


def behind(
    cursor: Cursor[bytes], place: tuple[bytes, bytes] | None, *, pairs: bool
) -> Iterator[tuple[bytes, bytes]]:
    """Give the entries behind a place, which is an entry; from the first one if it is empty."""
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
