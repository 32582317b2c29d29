"""Keys and records of the peers that keep an event as one record, as the store does for live ones.

A key of an id or a flag is its text; the record is the header, a newline and the content.
"""

from __future__ import annotations

from typing import NamedTuple

from lmdbstore import Event
from lmdbstore.disk.keys import encode_time, text_key
from lmdbstore.records.record import TermKeys, decode, decode_one
from lmdbstore.records.record import encode as encode_row

__all__ = ["COMMITS", "FLAGS", "IDS", "TIMELINE", "Row", "decode", "decode_one", "encode"]

TIMELINE, IDS, FLAGS, COMMITS = b"timeline", b"ids", b"flags", b"commits"


class Row(NamedTuple):
    """An event as it is written, except its number."""

    time: bytes
    id_key: bytes
    flag_keys: list[bytes]
    record: bytes


def encode(event: Event, keys: TermKeys) -> Row:
    """Encode an event."""
    row = encode_row(event, keys)
    flags = list(map(text_key, event.tags))
    record = b"%b\n%b" % (row.header, row.content)
    return Row(encode_time(event.timestamp), text_key(event.id), flags, record)
