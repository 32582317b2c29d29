r"""Every byte on disk: keys, records, and the version of the format.

A store is a folder. `data.mdb` and `lock.mdb` are LMDB's. `barrier` is our own (see
`processes.barrier`). `snapshots` notes which processes hold snapshots (see
`processes.snapshot_notes`); it may be missing or removed. `data.mdb` holds these named databases:

| database   | key                        | value                             | LMDB flags        |
|------------|----------------------------|-----------------------------------|-------------------|
| `timeline` | timeline key (16 bytes)    | the record                        |                   |
| `ids`      | text key of the event's id | timeline key, checksum            |                   |
| `flags`    | text key of the flag       | timeline keys: the posting set    | DUPSORT, DUPFIXED |
| `commits`  | local id (8 bytes)         | timestamp (8 bytes), checksum     |                   |
| `signatures` | first key of a run       | a filter, and the run's end       |                   |
| `meta`     | `format`, `next`, …        | numbers: see below                |                   |

**Numbers** are unsigned, 8 bytes, big-endian.

**Timestamp** (8 bytes): the IEEE-754 bits of the seconds, big-endian. The sign bit is flipped for
positive numbers and all bits for negative ones, so that byte order is the order of numbers. -0.0 is
never written.

    -1.0                 400fffffffffffff
    0.0                  8000000000000000
    1.5                  bff8000000000000
    1509989630.674905    c1d680273fab31a5

**Local id**: a number given to an event when it is saved, in the order of commits, from 1 on and
below 2 ** 62, and never used again. So `commits` lists all events in the order they were saved.

**Timeline key**: the timestamp, then the local id. Timestamp 1.5 and local id 7:

    bff80000000000000000000000000007

**Record**: the header, one newline, and the content in UTF-8, to the end. The header is the id, the
source, the timestamp and the tags as the items of a JSON array, `"id","source",timestamp,["tag"]`,
without its brackets, in UTF-8, without a raw newline. A record is complete in itself: everything
else can be rebuilt from `timeline`.
Event(id="a", source="s", timestamp=1.5, tags=["x", "y"], content="hi\n"):

    2261222c2273222c312e352c5b2278222c2279225d0a68690a

**Checksum** (4 bytes, big-endian): the CRC-32 of the record, as in ISO 3309 and gzip (RFC 1952); it
is c704a7a0 for the record above. It is stored where an event is looked up, and not where the
timeline is scanned, because it would slow the scan down. It is stored twice: if a record and its
two checksums disagree, this shows which one was damaged.

**Text key**: LMDB takes keys of 1 to 511 bytes. A text of 1 to 510 bytes of UTF-8 is its own key.
Any other text (a longer one, or the empty one, which a flag may be) has a key of exactly 511 bytes:
its first 479 bytes, padded with zero bytes, then its BLAKE2b digest of 32 bytes (RFC 7693, without
key). The record holds the whole text. The key of the empty text is 479 zero bytes and

    0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8

**Run**: neighbouring events of the timeline, 512 or fewer, with a filter over their contents (see
`patterns.signature`). It extends from its first timeline key to its end, the first key that is not
in it, and runs do not overlap. A run that is before all others when it is made begins at the lowest
possible key. The value is the filter and then the end (16 bytes). An event saved into a run removes
the run. `signatures` can be emptied at any time, and contains nothing about events that are in no
run. `signed` is a local id that avoids a scan of the timeline: after the last run there are at most
as many events as were given local ids from `signed` on, except the events of a last run that was
removed.

**Meta**: `format` is the version, a checked number; `next` is the next local id; `signed` is
described above. `identity` is 16 random bytes, and their checksum: they are made with the store,
and kept when it is compacted or repaired. A backup is another store, with an identity of its own.

**Transaction**: each write stores the number of its LMDB transaction, as a checked number, under
the key `transaction`, next to the names of the databases, in the page that LMDB's meta page points
to. A damaged meta page can point to such a page of a former state. That state has events that were
deleted since, and all of it is sound in itself; only this number reveals it. So a state that notes
an older number is refused.

**Checked number** (12 bytes): a number, and its checksum. Checked, 7 is

    0000000000000007fb464aca

**Versions**: 5, the only one so far (1 to 4 were never released). A store of another version is
refused.
"""

from __future__ import annotations

import struct
from itertools import repeat
from operator import add, itemgetter, methodcaller, neg
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

import orjson

from lmdbstore.contract.event import Event
from lmdbstore.contract.query import LOCAL_IDS
from lmdbstore.errors import StoreDamaged, shown

from .keys import (
    CHECKSUM,
    FIRST_KEY,
    IDENTITY_SIZE,
    KEY,
    LAST_KEY,
    LONG_KEY,
    NO_LOCAL_ID,
    TIME,
    TextKeys,
    after_key,
    before_key,
    below_watermark,
    checksum,
    checksum_in_commit,
    checksum_in_id,
    decode_checked,
    decode_identity,
    decode_key,
    decode_number,
    decode_time,
    encode_checked,
    encode_identity,
    encode_number,
    encode_time,
    filter_length,
    first_key,
    id_entry,
    is_local_id,
    is_timeline_key,
    join_key,
    key_in,
    last_key,
    local_id_of,
    run_end,
    run_value,
    text_key,
    time_in_commit,
    time_of,
    timeline_key,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from lmdbstore.contract.checking import Columns

__all__ = [
    "COMMITS",
    "FIRST_KEY",
    "FLAGS",
    "FORMAT",
    "IDENTITY",
    "IDENTITY_SIZE",
    "IDS",
    "LAST_KEY",
    "LOCAL_IDS",
    "META",
    "NEXT",
    "NO_LOCAL_ID",
    "RECORD_JOINT",
    "SIGNATURES",
    "SIGNED",
    "TIMELINE",
    "TRANSACTION",
    "VERSION",
    "Row",
    "Rows",
    "TextKeys",
    "after_key",
    "before_key",
    "below_watermark",
    "checksum",
    "checksum_in_commit",
    "checksum_in_id",
    "content_of",
    "contents_of",
    "decode",
    "decode_checked",
    "decode_found",
    "decode_identity",
    "decode_key",
    "decode_number",
    "decode_one",
    "decode_time",
    "encode",
    "encode_all",
    "encode_checked",
    "encode_identity",
    "encode_number",
    "encode_time",
    "filter_length",
    "first_key",
    "flag_name",
    "id_entry",
    "is_local_id",
    "is_timeline_key",
    "join_key",
    "key_in",
    "last_key",
    "local_id_of",
    "run_end",
    "run_value",
    "text_key",
    "text_needle",
    "time_in_commit",
    "time_of",
    "timeline_key",
]

VERSION = 5
TIMELINE, IDS, FLAGS, COMMITS, META = b"timeline", b"ids", b"flags", b"commits", b"meta"
SIGNATURES = b"signatures"
FORMAT, IDENTITY, NEXT, SIGNED = b"format", b"identity", b"next", b"signed"  # the keys of META
TRANSACTION = b"transaction"  # next to the names of the databases
RECORD_JOINT = b"\n"  # joins records to be searched at once: no header holds one

HEADER_FIELDS = 4  # id, source, timestamp and tags

_DOUBLE = struct.Struct(">d")

_new = tuple.__new__
_split, _third = methodcaller("partition", b"\n"), itemgetter(2)


class Row(NamedTuple):
    """An event as it is written, except the local id, which the write transaction gives it."""

    time: bytes
    id_key: bytes
    flag_keys: list[bytes]
    record: bytes
    checksum: bytes

    def placed(self, local_id: bytes) -> tuple[bytes, bytes, bytes]:
        """Return its timeline key, and what is written in `ids` and in `commits`."""
        time, _, _, _, record_checksum = self
        key = time + local_id
        return key, key + record_checksum, time + record_checksum


class Rows(NamedTuple):
    """The same for many events, field by field."""

    times: list[bytes]
    id_keys: list[bytes]
    flag_keys: list[list[bytes]]
    records: list[bytes]
    checksums: list[bytes]

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Rows:
        """Turn rows into columns."""
        return cls(*map(list, zip(*rows, strict=True)))

    def at(self, places: Sequence[int]) -> Rows:
        """Return the rows at these places."""
        columns: Any = ([field[place] for place in places] for field in self)
        return Rows(*columns)

    def id_entries(self, keys: Iterable[bytes]) -> list[bytes]:
        """Return the values of `ids` for events at these timeline keys."""
        return list(map(add, keys, self.checksums))

    def commits(self, keys: Iterable[bytes]) -> list[tuple[bytes, bytes]]:
        """Return the entries of `commits` for events at these timeline keys."""
        entries = map(add, self.times, self.checksums)
        return [(key[TIME:], entry) for key, entry in zip(keys, entries, strict=True)]


def encode(event: Event, flag_keys: TextKeys) -> Row:
    """Encode an event that `checked` has accepted.

    `flag_keys` keeps the keys of flags between the events of a batch.
    """
    id_, source, timestamp, tags, content = event
    record = b"%b\n%b" % (orjson.dumps((id_, source, timestamp, tags))[1:-1], content.encode())
    row: Row = _new(
        Row,
        (
            # The bits of a positive number with the sign flipped are those of its negation.
            _DOUBLE.pack(-timestamp) if timestamp >= 0 else encode_time(timestamp),
            text_key(id_),
            [flag_keys[tag] for tag in tags],
            record,
            checksum(record),
        ),
    )
    return row


def encode_all(columns: Columns, flag_keys: TextKeys) -> Rows:
    """Encode many events, as `encode` does each of them."""
    ids, sources, timestamps, tags, contents = columns
    headers = map(orjson.dumps, zip(ids, sources, timestamps, tags, strict=True))
    records = [
        b"%b\n%b" % (header[1:-1], content.encode())
        for header, content in zip(headers, contents, strict=True)
    ]
    keys = [[flag_keys[tag] for tag in each] for each in tags]
    checksums = list(map(checksum, records))
    return Rows(_encode_times(timestamps), list(map(text_key, ids)), keys, records, checksums)


def _encode_times(timestamps: list[float]) -> list[bytes]:
    if min(timestamps) < 0:
        return list(map(encode_time, timestamps))
    # The bits of a positive number with the sign flipped are those of its negation.
    packed = struct.pack(f">{len(timestamps)}d", *map(neg, timestamps))
    return [packed[at : at + 8] for at in range(0, len(packed), 8)]


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


def decode_found(entry: bytes, record: bytes, event_id: str) -> Event:
    """Decode the record that an entry of `ids` points to.

    Raises:
        StoreDamaged: it is not the record that was written for this id.
    """
    if crc32(record).to_bytes(CHECKSUM, "big") == entry[KEY:]:
        event = decode_one(record)
        if event.id == event_id:
            return event
    raise StoreDamaged(
        f"the record of the event {shown(event_id)} is not what was written: it does not agree "
        "with its checksum"
    )


def content_of(record: bytes) -> bytes:
    """Return the content of a record in UTF-8."""
    return record.partition(b"\n")[2]


def contents_of(records: Iterable[bytes]) -> list[bytes]:
    """Return the contents of records in UTF-8."""
    return list(map(_third, map(_split, records)))


def text_needle(text: str) -> bytes:
    """Return bytes that are in every record with the text as a flag or as its source.

    They may be in other records too: a hit must be confirmed by decoding.
    """
    return orjson.dumps(text)


def flag_name(key: bytes, record: Callable[[], bytes | None]) -> str:
    """Return the flag that has the key `key`.

    `record` returns any record that carries the flag; it is called only if the key is not the text
    itself.

    Raises:
        StoreDamaged: the record does not carry it, or the key is not that of a flag.
    """
    try:
        if len(key) < LONG_KEY:
            return key.decode()
        for tag in decode_one(record() or b"").tags:
            if type(tag) is str and text_key(tag) == key:
                return tag
    except ValueError as error:
        raise StoreDamaged(
            f"the posting set {shown(key)} is not that of a flag: {error}"
        ) from error
    raise StoreDamaged(f"the posting set {shown(key)} names a record that does not carry its flag")
