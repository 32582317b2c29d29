"""Runs made by hand, and what is known of their events without reading them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lmdbstore.contract.query import Position
from lmdbstore.disk import format as fmt
from lmdbstore.records.events import Events, new_events
from lmdbstore.records.layout import digest
from lmdbstore.records.pack import directory_of, pack
from lmdbstore.records.record import Rows, TermKeys, encode
from lmdbstore.records.run import Run

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lmdbstore import Event

__all__ = ["Made", "made_run", "pack_events", "term"]


class Made(NamedTuple):
    """A run, and its events as plain lists, in time order."""

    value: bytes
    end: bytes
    keys: list[bytes]
    local_ids: list[int]
    events: list[Event]

    @property
    def run(self) -> Run:
        """The run, read from its value."""
        return Run(self.end, self.value)

    def with_bit(self, bit: int) -> bytes:
        """Return the value with one bit flipped."""
        flipped = bytearray(self.value)
        flipped[bit // 8] ^= 1 << bit % 8
        return bytes(flipped)


def pack_events(events: Events, *, compress: bool = False) -> bytes:
    """Return the value of a run."""
    directory = directory_of(events.terms)
    slots = {digest(key): slots for key, slots in directory.items()}
    return pack(events, slots, compress=compress)


def made_run(events: Iterable[tuple[int, Event]], *, compress: bool = False) -> Made:
    """Seal events with these local ids into a run."""
    ordered = sorted(events, key=lambda one: (one[1].timestamp, one[0]))
    known = TermKeys()
    keys = [fmt.timeline_key(Position(event.timestamp, number)) for number, event in ordered]
    rows = Rows.of([encode(event, known) for _, event in ordered])
    value = pack_events(new_events(rows, keys), compress=compress)
    return Made(
        value, keys[-1], keys, [number for number, _ in ordered], [event for _, event in ordered]
    )


def term(key: bytes) -> bytes:
    """Return the digest of the key of a term, as it is in a run."""
    return digest(key).to_bytes(8, "little")
