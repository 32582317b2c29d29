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
    CHECKED_HEAD,
    HEAD_OF_ONE,
    HEAD_SIZE,
    LOW_HALF,
    PACKED,
    PAIR_AT,
    ROW_PAIR,
    ROW_SIZE,
    digest,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["decode_events", "decode_parts", "event_in", "records_at"]

FIELDS = 4  # of a header

_new = tuple.__new__
_head_of_one, _row_pair = HEAD_OF_ONE.unpack_from, ROW_PAIR.unpack_from
_checked_head = CHECKED_HEAD.unpack_from


def records_at(
    places: Iterable[tuple[memoryview, Sequence[int]]], needles: Sequence[bytes] = ()
) -> tuple[list[bytes], list[int]] | None:
    """Return the records and local ids of events of runs, by slots that another place has noted.

    `places` are the values of the runs, each with the slots of the events.
    Records whose header lacks one of the `needles` are left out. The head and the row vouch for a
    local id.
    None: an event is not there, or not what was written, or its run is compressed.
    """
    try:
        return _records_at(places, needles)
    except struct_error:  # a value is cut off
        return None


def _records_at(
    places: Iterable[tuple[memoryview, Sequence[int]]], needles: Sequence[bytes]
) -> tuple[list[bytes], list[int]] | None:
    records: list[bytes] = []
    local_ids: list[int] = []
    for value, slots in places:
        noted, lowest, kinds, headers_at, contents_at = _checked_head(value)
        if digest(value[8:HEAD_SIZE]) != noted or kinds & PACKED:
            return None
        for slot in slots:
            header_at, content_at, _, offset, header_end, content_end, checksum = _row_pair(
                value, PAIR_AT + ROW_SIZE * slot
            )
            header = value[headers_at + header_at : headers_at + header_end - 1]
            content = value[contents_at + content_at : contents_at + content_end - 1]
            record = b"\n".join((header, content))
            if digest(record) & LOW_HALF != checksum ^ offset:  # as `record_checksum`
                return None
            for needle in needles:
                if record.find(needle, 0, header_end - header_at) < 0:
                    break
            else:
                records.append(record)
                local_ids.append(lowest + offset)
    return records, local_ids


def event_in(value: Any, key: bytes) -> Event | None:
    """Return the event with a timeline key, if the local ids of the run ascend; None: look for it.

    None too if it is compressed. A short way for `get`: only the record of the event is checked,
    and its key is not compared.
    """
    try:
        lowest, events, kinds, headers_at, contents_at = _head_of_one(value)
        slot = int.from_bytes(key[TIME:]) - lowest
        if kinds & (ASCENDING | PACKED) != ASCENDING or not 0 <= slot < events:
            return None
        header_at, content_at, _, offset, header_end, content_end, checksum = _row_pair(
            value, PAIR_AT + ROW_SIZE * slot
        )
    except struct_error:  # the value is cut off
        return None
    header = value[headers_at + header_at : headers_at + header_end - 1]
    content = value[contents_at + content_at : contents_at + content_end - 1]
    if digest(b"\n".join((header, content))) & LOW_HALF != checksum ^ offset:
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
        fields = [iter(orjson.loads(b"".join((b"[", headers, b"]"))))] * FIELDS
        return list(map(_new, repeat(Event), zip(*fields, contents, strict=True)))
    except ValueError as error:  # its checksum agrees, so it was written so
        raise StoreDamaged(f"events of a run cannot be decoded: {error}") from error
