"""Encoding events for a write, and decoding records; `disk.format` documents the bytes.

Rules: pure. A record is decoded for the caller only after its checksum was compared.
"""

from __future__ import annotations

import struct
from itertools import chain, repeat
from operator import itemgetter, methodcaller, neg
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from lmdbstore.contract.checking import are_shared
from lmdbstore.contract.event import Event
from lmdbstore.disk.keys import (
    CHECKSUM,
    LONG_KEY,
    encode_time,
    flag_key,
    is_flag,
    source_key,
    term_in,
)
from lmdbstore.errors import StoreDamaged, shown

from .layout import record_checksum

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from lmdbstore.contract.checking import Columns

__all__ = [
    "JOINT",
    "Headers",
    "Row",
    "Rows",
    "TermKeys",
    "checked_record",
    "checked_records",
    "checksum_in",
    "content_of",
    "contents_of",
    "decode",
    "decode_headers",
    "decode_live",
    "decode_one",
    "encode",
    "encode_all",
    "encode_times",
    "in_header",
    "live_value",
    "record_in",
    "split_record",
    "term_name",
]

JOINT = b"\n"  # joins records to be searched at once: no header holds one
HEADER_FIELDS = 4  # id, source, timestamp and tags

_DOUBLE = struct.Struct(">d")
_new = tuple.__new__
_split, _third = methodcaller("partition", b"\n"), itemgetter(2)


class _Keys(dict[str, bytes]):
    """The keys of texts, each made once."""

    def __init__(self, encode: Callable[[str], bytes]) -> None:
        self._encode = encode

    def __missing__(self, text: str) -> bytes:
        key = self[text] = self._encode(text)
        return key


class TermKeys:
    """The keys of flags and sources, which repeat, each made once."""

    def __init__(self) -> None:
        """Begin with none."""
        self._flags = _Keys(flag_key)
        self._sources = _Keys(source_key)

    def of(self, source: str, tags: Sequence[str]) -> list[bytes]:
        """Return the keys of the terms of an event: its source, and its tags."""
        flags = self._flags
        return [self._sources[source], *[flags[tag] for tag in tags]]

    def of_each(self, sources: Sequence[str], tags: Sequence[list[str]]) -> list[list[bytes]]:
        """Return the keys of the terms of many events; events with one list of tags share one."""
        if not are_shared(tags):
            return list(map(self.of, sources, tags))
        labels = list(zip(sources, map(id, tags), strict=True))
        different = dict(zip(labels, tags, strict=True))
        known = {label: self.of(label[0], some) for label, some in different.items()}
        return list(map(known.__getitem__, labels))

    def distinct(self, sources: Iterable[str], tags: Iterable[Sequence[str]]) -> list[bytes]:
        """Return the keys of the different terms of some events."""
        return [
            *map(self._sources.__getitem__, set(sources)),
            *map(self._flags.__getitem__, set(chain.from_iterable(tags))),
        ]


class Row(NamedTuple):
    """An event as it is written, except the local id, which the write transaction gives it."""

    time: bytes
    seconds: float
    id: str
    terms: list[bytes]
    header: bytes
    content: bytes
    checksum: int

    @property
    def value(self) -> bytes:
        """The value of `live`."""
        return live_value(self.checksum, self.header, self.content)


class Rows(NamedTuple):
    """The same for many events, field by field."""

    times: list[bytes]
    seconds: list[float]
    ids: list[str]
    terms: list[list[bytes]]
    headers: list[bytes]
    contents: list[bytes]
    checksums: list[int]

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Rows:
        """Turn rows into columns."""
        return cls(*map(list, zip(*rows, strict=True)))

    def at(self, places: Sequence[int]) -> Rows:
        """Return the rows at these places."""
        columns: Any = ([field[place] for place in places] for field in self)
        return Rows(*columns)


def encode(event: Event, keys: TermKeys) -> Row:
    """Encode an event that `checked` has accepted."""
    id_, source, timestamp, tags, content = event
    header, text = orjson.dumps((id_, source, timestamp, tags))[1:-1], content.encode()
    row: Row = _new(
        Row,
        (
            # The bits of a positive number with the sign flipped are those of its negation.
            _DOUBLE.pack(-timestamp) if timestamp >= 0 else encode_time(timestamp),
            timestamp,
            id_,
            keys.of(source, tags),
            header,
            text,
            record_checksum(b"%b\n%b" % (header, text)),
        ),
    )
    return row


def encode_all(columns: Columns, keys: TermKeys) -> Rows:
    """Encode many events, as `encode` does each of them."""
    ids, sources, timestamps, tags, contents = columns
    headers = [
        header[1:-1]
        for header in map(orjson.dumps, zip(ids, sources, timestamps, tags, strict=True))
    ]
    texts = [content.encode() for content in contents]
    return Rows(
        encode_times(timestamps),
        timestamps,
        ids,
        keys.of_each(sources, tags),
        headers,
        texts,
        [record_checksum(b"%b\n%b" % both) for both in zip(headers, texts, strict=True)],
    )


def encode_times(timestamps: Sequence[float]) -> list[bytes]:
    """Encode timestamps, as `encode_time` does each of them."""
    if min(timestamps) < 0:
        return list(map(encode_time, timestamps))
    # The bits of a positive number with the sign flipped are those of its negation.
    packed = struct.pack(f">{len(timestamps)}d", *map(neg, timestamps))
    return [packed[at : at + 8] for at in range(0, len(packed), 8)]


# -- live records ----------------------------------------------------------------------------------


def live_value(checksum: int, header: bytes, content: bytes) -> bytes:
    """Return the value of `live`: the checksum of a record, and the record."""
    return b"%b%b\n%b" % (checksum.to_bytes(CHECKSUM, "little"), header, content)


def record_in(value: bytes | memoryview) -> bytes:
    """Return the record in a value of `live`, unchecked."""
    return bytes(value[CHECKSUM:])


def checked_record(value: bytes | memoryview) -> bytes:
    """Return the record in a value of `live`; raises StoreDamaged if it is not what was written."""
    record = bytes(value[CHECKSUM:])
    if record_checksum(record) != int.from_bytes(value[:CHECKSUM], "little"):
        raise StoreDamaged(
            f"a record that begins with {shown(record)} does not agree with its checksum"
        )
    return record


def checksum_in(value: bytes | memoryview) -> int:
    """Return the checksum in a value of `live`."""
    return int.from_bytes(value[:CHECKSUM], "little")


def checked_records(values: Sequence[bytes]) -> list[bytes]:
    """Return the records in values of `live`; raises StoreDamaged, as `checked_record` does."""
    records = [value[CHECKSUM:] for value in values]
    prefixes = b"".join([value[:CHECKSUM].rjust(CHECKSUM, b"\0") for value in values])
    noted = struct.unpack(f"<{len(prefixes) // CHECKSUM}I", prefixes)
    if tuple(map(record_checksum, records)) != noted:
        for value in values:
            checked_record(value)
        raise StoreDamaged("a record is cut off")
    return records


def in_header(text: str) -> bytes:
    """Return bytes that the header of each event with this flag or source has; empty: unknown."""
    needle = orjson.dumps(text)
    return needle if text.isascii() and len(needle) == len(text) + 2 else b""


def decode_live(values: Sequence[bytes]) -> list[Event]:
    """Decode values of `live`; raises StoreDamaged."""
    return decode(checked_records(values))


def split_record(record: bytes) -> tuple[bytes, bytes]:
    """Return the header and the content of a record."""
    header, _, content = record.partition(b"\n")
    return header, content


# -- decoding --------------------------------------------------------------------------------------


def decode(records: Sequence[bytes]) -> list[Event]:
    """Decode the records of a page.

    One call parses all headers and another makes the events, in C: that is the cost of a search per
    event.

    Raises:
        StoreDamaged: a record does not match the format.
    """
    headers, contents = [], []
    try:
        for record in records:  # a loop, to keep few objects alive for the garbage collector
            header, _, content = record.decode().partition("\n")
            headers.append(header)
            contents.append(content)
        values: list[Any] = orjson.loads(f"[{','.join(headers)}]")
        ids, sources, timestamps, tags = (values[n::HEADER_FIELDS] for n in range(HEADER_FIELDS))
        "".join(ids), "".join(sources)  # the fastest check that all are texts
        if set(map(type, timestamps)) <= {float} and set(map(type, tags)) <= {list}:
            fields = zip(ids, sources, timestamps, tags, contents, strict=True)
            return list(map(_new, repeat(Event), fields))
    except (ValueError, TypeError) as error:
        raise StoreDamaged(f"a record cannot be decoded: {error}") from error
    raise StoreDamaged("a record does not have the four fields of a header")


def decode_one(record: bytes) -> Event:
    """Decode one record; raises as `decode` does."""
    header, _, content = record.partition(b"\n")
    try:
        id_, source, timestamp, tags = orjson.loads(b"[%b]" % header)
        if type(id_) is type(source) is str and type(timestamp) is float and type(tags) is list:
            event: Event = _new(Event, (id_, source, timestamp, tags, content.decode()))
            return event
    except ValueError as error:
        raise StoreDamaged(f"a record cannot be decoded: {error}") from error
    raise StoreDamaged("a record does not have the four fields of a header")


class Headers(NamedTuple):
    """The fields of headers."""

    ids: list[str]
    sources: list[str]
    seconds: list[float]
    tags: list[list[str]]


def decode_headers(headers: Sequence[bytes]) -> Headers:
    """Decode headers; raises StoreDamaged."""
    try:
        values: list[Any] = orjson.loads(b"[%b]" % b",".join(headers))
    except ValueError as error:
        raise StoreDamaged(f"the headers of events cannot be decoded: {error}") from error
    return Headers(*(values[n::HEADER_FIELDS] for n in range(HEADER_FIELDS)))


def content_of(record: bytes) -> bytes:
    """Return the content of a record in UTF-8."""
    return record.partition(b"\n")[2]


def contents_of(records: Iterable[bytes]) -> list[bytes]:
    """Return the contents of records in UTF-8."""
    return list(map(_third, map(_split, records)))


def term_name(key: bytes, event: Event | None) -> str:
    """Return the flag, or the source, of a term with the key `key`.

    `event` is any event that has it; it is needed only if the key is not the text itself.

    Raises:
        StoreDamaged: the event does not have it, or the key is not that of a term.
    """
    kind = "flag" if is_flag(key) else "source"
    try:
        if len(key) < LONG_KEY:
            return term_in(key)
        if event is not None:
            texts, encode = (
                (event.tags, flag_key) if kind == "flag" else ([event.source], source_key)
            )
            for text in texts:
                if type(text) is str and encode(text) == key:
                    return text
    except ValueError as error:
        raise StoreDamaged(
            f"the posting set {shown(key)} is not that of a {kind}: {error}"
        ) from error
    raise StoreDamaged(
        f"the posting set {shown(key)} names a record that does not carry its {kind}"
    )
