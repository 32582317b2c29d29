"""Events as they are moved between `live` and runs: field by field, in time order.

Rules: pure. No record is made again: its header, content and checksum stay as they were written.
"""

from __future__ import annotations

from operator import lt
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar

from lmdbstore.disk.keys import CHECKSUM, local_ids_of

from .record import TermKeys, checked_records, checksum_in, decode_headers, live_value

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from .record import Rows

__all__ = ["Events", "by_term", "live_events", "new_events"]

T = TypeVar("T")


class Events(NamedTuple):
    """Some events."""

    keys: list[bytes]  # timeline keys
    seconds: list[float]
    local_ids: list[int]
    headers: list[bytes]
    contents: list[bytes]
    checksums: list[int]
    terms: list[list[bytes]]  # the keys of the terms of each event

    def at(self, places: Sequence[int]) -> Self:
        """Return the events at these places."""
        columns: Any = ([column[place] for place in places] for column in self)
        return type(self)(*columns)

    def without(self, slots: Collection[int]) -> Self:
        """Return the events of a run except those in some slots."""
        if not slots:
            return self
        return self.at([slot for slot in range(len(self.keys)) if slot not in slots])

    def between(self, begin: int, end: int | None = None) -> Self:
        """Return neighbouring events."""
        columns: Any = (column[begin:end] for column in self)
        return type(self)(*columns)

    def merged(self, other: Self) -> Self:
        """Return these events and others, in time order."""
        pairs: Any = zip(self, other, strict=True)
        columns: Any = (mine + theirs for mine, theirs in pairs)
        return type(self)(*columns).in_order()

    def in_order(self) -> Self:
        """Return them in time order."""
        keys = self.keys
        if all(map(lt, keys, keys[1:])):
            return self
        return self.at(sorted(range(len(keys)), key=keys.__getitem__))

    def value_sizes(self) -> list[int]:
        """Return the bytes of their values of `live`."""
        pairs = zip(self.headers, self.contents, strict=True)
        return [CHECKSUM + len(header) + 1 + len(content) for header, content in pairs]

    def live_items(self) -> list[tuple[bytes, bytes]]:
        """Return their entries of `live`."""
        values = map(live_value, self.checksums, self.headers, self.contents)
        return list(zip(self.keys, values, strict=True))


def by_term(labels: Iterable[T], terms: Iterable[Iterable[bytes]]) -> dict[bytes, list[T]]:
    """Return the labels of the events that have each term; `terms` are those of each event."""
    found: dict[bytes, list[T]] = {}
    for label, keys in zip(labels, terms, strict=True):
        for key in keys:
            try:
                found[key].append(label)
            except KeyError:
                found[key] = [label]
    return found


def new_events(rows: Rows, keys: list[bytes]) -> Events:
    """Return encoded events with these timeline keys, in time order."""
    _, seconds, _, terms, headers, contents, checksums = rows
    return Events(keys, seconds, local_ids_of(keys), headers, contents, checksums, terms).in_order()


def live_events(items: Sequence[tuple[bytes, bytes]], known: TermKeys) -> Events:
    """Return the events of entries of `live`; raises StoreDamaged."""
    if not items:
        return Events([], [], [], [], [], [], [])
    keys, values = [key for key, _ in items], [value for _, value in items]
    checksums = list(map(checksum_in, values))
    parts = [record.partition(b"\n") for record in checked_records(values)]
    headers, contents = [part[0] for part in parts], [part[2] for part in parts]
    fields = decode_headers(headers)
    return Events(
        keys,
        fields.seconds,
        local_ids_of(keys),
        headers,
        contents,
        checksums,
        list(map(known.of, fields.sources, fields.tags)),
    )
