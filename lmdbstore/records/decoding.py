"""Decoding events of runs: many at once, or one alone; see `records.layout`.

Rules: views of a value come in, and nothing that is returned refers to them. A record that is read
alone is checked by its own checksum.
"""

from __future__ import annotations

from itertools import repeat
from struct import error as struct_error
from typing import TYPE_CHECKING, Any

import orjson

from lmdbstore.contract.event import Event
from lmdbstore.disk.keys import TIME
from lmdbstore.errors import StoreDamaged

from .layout import (
    ASCENDING,
    HEAD_OF_ONE,
    HEAD_SIZE,
    PAIR_AT,
    ROW_PAIR,
    ROW_SIZE,
    digest,
    record_checksum,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["decode_events", "decode_part", "decode_parts", "event_in", "part_of"]

FIELDS = 4  # of a header

_new = tuple.__new__
_head_of_one, _row_pair = HEAD_OF_ONE.unpack_from, ROW_PAIR.unpack_from


def decode_part(header: Any, content: Any) -> Event:
    """Decode a header and a content; raises StoreDamaged."""
    try:
        event: Event = _new(Event, (*orjson.loads(b"[%b]" % header), str(content, "utf-8")))
    except ValueError as error:  # its checksum agrees, so it was written so
        raise StoreDamaged(f"an event of a run cannot be decoded: {error}") from error
    return event


def part_of(value: memoryview, slot: int) -> tuple[memoryview, memoryview, float, int] | None:
    """Return the header, the content, the time and the local id of one event; None: damaged.

    It is for a slot that another place has noted. The front is checked too: the time and the local
    id tell whether the event is in a search, and where that continues.
    """
    if len(value) < HEAD_SIZE:
        return None
    lowest, events, _, headers_at, contents_at = _head_of_one(value)
    if digest(value[8:headers_at]) != int.from_bytes(value[:8], "little") or slot >= events:
        return None
    header_at, content_at, seconds, offset, header_end, content_end, checksum = (
        ROW_PAIR.unpack_from(value, PAIR_AT + ROW_SIZE * slot)
    )
    header = value[headers_at + header_at : headers_at + header_end - 1]
    content = value[contents_at + content_at : contents_at + content_end - 1]
    if record_checksum(b"\n".join((header, content))) != checksum:
        return None
    return header, content, seconds, lowest + offset


def event_in(value: Any, key: bytes) -> Event | None:
    """Return the event with a timeline key, if the local ids of the run ascend; None: look for it.

    A short way for `get`: only the record of the event is checked, and its key is not compared.
    """
    try:
        lowest, events, kinds, headers_at, contents_at = _head_of_one(value)
        slot = int.from_bytes(key[TIME:]) - lowest
        if not (kinds & ASCENDING and 0 <= slot < events):
            return None
        header_at, content_at, _, _, header_end, content_end, checksum = _row_pair(
            value, PAIR_AT + ROW_SIZE * slot
        )
    except struct_error:  # the value is cut off
        return None
    header = value[headers_at + header_at : headers_at + header_end - 1]
    content = value[contents_at + content_at : contents_at + content_end - 1]
    if record_checksum(b"\n".join((header, content))) != checksum:
        return None
    try:
        id_, source, timestamp, tags = orjson.loads(b"[%b]" % header)
    except ValueError as error:  # its checksum agrees, so it was written so
        raise StoreDamaged(f"an event of a run cannot be decoded: {error}") from error
    event: Event = _new(Event, (id_, source, timestamp, tags, str(content, "utf-8")))
    return event


def decode_parts(parts: Sequence[tuple[memoryview, memoryview]]) -> list[Event]:
    """Decode headers and contents; raises StoreDamaged."""
    contents = [str(content, "utf-8") for _, content in parts]
    return decode_events(b",".join([header for header, _ in parts]), contents)


def decode_events(headers: Any, contents: list[str]) -> list[Event]:
    """Decode checked headers, joined by commas, and their contents; raises StoreDamaged."""
    try:
        values: list[Any] = orjson.loads(b"[%b]" % headers)
        fields = (values[n::FIELDS] for n in range(FIELDS))
        return list(map(_new, repeat(Event), zip(*fields, contents, strict=True)))
    except ValueError as error:  # its checksum agrees, so it was written so
        raise StoreDamaged(f"events of a run cannot be decoded: {error}") from error
