"""Events as columns, in pieces that are small in events and in text.

Rules: a column has the name of the field of `Event`, and the same values: the timestamps are
seconds, as floats, and the tags are lists of strings. A piece has at least one event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lmdbstore.contract.event import Event

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["PIECE_CHARACTERS", "PIECE_EVENTS", "columns_of", "pieces"]

PIECE_EVENTS = 1 << 14
PIECE_CHARACTERS = 1 << 22  # at most four bytes each, and one event more


def pieces(events: Iterable[Event]) -> Iterator[list[Event]]:
    """Give the events in pieces, in order."""
    piece: list[Event] = []
    characters = 0
    for event in events:
        piece.append(event)
        characters += len(event.id) + len(event.source) + len(event.content)
        characters += sum(map(len, event.tags))
        if len(piece) >= PIECE_EVENTS or characters >= PIECE_CHARACTERS:
            yield piece
            piece, characters = [], 0
    if piece:
        yield piece


def columns_of(piece: list[Event]) -> dict[str, list[Any]]:
    """Return the fields of events by their names."""
    columns = [list(column) for column in zip(*piece, strict=True)] or [[] for _ in Event._fields]
    return dict(zip(Event._fields, columns, strict=True))
