"""Events as rows of the server, many in one statement."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from lmdbstore.sql.texts import array, key, long_texts, stored

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lmdbstore.contract.event import Event
    from lmdbstore.sql.server.link import Connection

    _Numbered = tuple[int, tuple[str, Event]]

__all__ = ["insert_events"]

ROWS = 5_000  # in one statement
BYTES = 8 << 20  # of contents in one statement, about

_INSERT = """
INSERT INTO {events} (id, seq, ts, source, flags, content, long)
SELECT id, seq, ts, source, flags::text[], content, long FROM unnest(
    %s::text[], %s::bigint[], %s::float8[], %s::text[], %s::text[], %s::text[], %s::text[]
) AS new (id, seq, ts, source, flags, content, long)
"""


def insert_events(connection: Connection, events: str, new: Mapping[str, Event], base: int) -> None:
    """Insert events, by the keys of their ids, with the numbers after `base`."""
    numbered = enumerate(new.items(), base + 1)
    while piece := _piece(numbered):
        numbers, items = zip(*piece, strict=True)
        keys, found = zip(*items, strict=True)
        columns = (
            list(keys),
            list(numbers),
            [event.timestamp for event in found],
            [key(event.source) for event in found],
            [array([key(tag) for tag in event.tags]) for event in found],
            [stored(event.content) for event in found],
            [long_texts(event.id, event.source, event.tags) for event in found],
        )
        connection.execute(_INSERT.format(events=events), columns)


def _piece(numbered: Iterable[_Numbered]) -> list[_Numbered]:
    """Return the next events, of which the contents are not too many bytes."""
    piece: list[_Numbered] = []
    size = 0
    for item in islice(numbered, ROWS):
        piece.append(item)
        size += len(item[1][1].content)
        if size > BYTES:
            break
    return piece
