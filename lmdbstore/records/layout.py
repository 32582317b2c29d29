r"""Every byte of a sealed run.

A run is up to a few hundred events that are neighbours in the timeline, in one value, in time
order. Events have numbers in it, their **slots**, from 0 on. A value has a front and two sections:

| part     | bytes                                                                        |
|----------|------------------------------------------------------------------------------|
| head     | 72, see below                                                                |
| rows     | 24 zero bytes, then 24 bytes for each event                                  |
| terms    | the digest of each term that an event of the run has had, 8 bytes each       |
| ends     | where the slots of each term begin, and where the last ones end, 4 bytes     |
|          | each, in units of two bytes                                                  |
| slots    | the slots of each term                                                       |
| headers  | the headers of the records, joined by commas: they are one JSON array        |
| contents | the contents of the records, joined by newlines: they are searched as one    |

Numbers are unsigned and little-endian, and lie side by side without padding.

**Head**: the checksums of the rest of the head, of the rest of the front (from the rows up to the
headers), of the headers and of the contents (8 bytes each); a local id that is not above any in the
run, and one that is not below any (8 each); the number of events (2); kinds (1); zero (1); where
terms, ends, slots, headers and contents begin (4 each), in bytes from the start of the value.

**Kinds**: the sum of 1 if the local id of each event is the lowest one plus its slot, 2 if no
content has a newline, 4 if the contents are ASCII, 8 if the section of headers is compressed, and
16 if that of contents is.

**Compressed** sections are one zstd frame each (RFC 8878). The checksum in the head is that of the
section as it is stored. Everything else is about the section as it was: the row of the last event
tells its size, and the checksum of a record is that of the record. Sections of more than 16 MiB
are never compressed. No section that is not compressed begins as a zstd frame does: that is not
valid in UTF-8. The word `word` and a space, 25 times each, may be compressed to

    28b52ffd207d65000028776f72642001001569d102

**Row**: the timestamp (8 bytes, IEEE 754), the local id less the lowest one, where the header of
the next event begins in its section, where the next content begins in its, and the checksum of the
record, XOR the local id less the lowest one (4 bytes each). So the place of a header is in the row
before its own; and with the head, this checksum vouches for an event and its local id.

**Term**: a flag, or a source: what postings are about. Its digest is that of its key (see
`disk.format`).

**Slots** of a term: 2 bytes each, rising; or, where that is shorter, a bitmap, with slot n in byte
`n // 8` as the bit with the value `1 << n % 8`, of as many pairs of bytes as all events need.

**Checksums and digests** are XXH3 (64 bits, without a seed); that of a record is the lowest half.

**Example**: Event(id="a", source="s", timestamp=1.5, tags=["x", "y"], content="hi\n") with the
local id 7, and Event(id="b", source="s", timestamp=2.5, tags=["x"], content="yo") with 9:

    head      b14338b029889a3b 15aef49f3fc6840d ce50a5576c1e3050 8f9c1002c755fab3
              0700000000000000 0900000000000000 0200 04 00
              90000000 a8000000 b8000000 be000000 e5000000
    rows      000000000000000000000000000000000000000000000000
              000000000000f83f 00000000 16000000 04000000 cdb5ce04
              0000000000000440 02000000 28000000 07000000 a051b1c5
    terms     21c148efc76d8558 7f28b51555d25cf1 48fd3fb6ed0ecd81
    ends      00000000 01000000 02000000 03000000
    slots     0300 0300 0100
    headers   2261222c2273222c312e352c5b2278222c2279225d
              2c 2262222c2273222c322e352c5b2278225d
    contents  68690a 0a 796f
"""

from __future__ import annotations

from struct import Struct

from xxhash import xxh3_64_intdigest as digest

__all__ = [
    "ASCENDING",
    "ASCII",
    "CHECKED_HEAD",
    "FIRST_TIME",
    "HEAD",
    "HEAD_OF_ONE",
    "HEAD_SIZE",
    "LOCAL_ID_SPAN",
    "LOW_HALF",
    "MOST_EVENTS",
    "ONE_LINE",
    "PACKED",
    "PACKED_CONTENTS",
    "PACKED_HEADERS",
    "PAIR_AT",
    "ROW",
    "ROW_PAIR",
    "ROW_SIZE",
    "bitmap_size",
    "digest",
    "digest_of",
    "record_checksum",
]

HEAD = Struct("<6QHBB5I")
HEAD_SIZE = HEAD.size
# Of the head: the lowest local id, the events, their kinds, where headers and contents begin.
HEAD_OF_ONE = Struct("<32xQ8xHB13x2I")
# Of the head: its checksum, the lowest local id, kinds, where headers and contents begin.
CHECKED_HEAD = Struct("<Q24xQ10xB13x2I")
FIRST_TIME = Struct("<96xd")  # of the first row
ROW = Struct("<d4I")
ROW_SIZE = ROW.size
# The end of the row before an event's own (where its header and its content begin), and its row.
ROW_PAIR = Struct("<2I4xd4I")
PAIR_AT = HEAD_SIZE + 12  # of slot 0

ASCENDING, ONE_LINE, ASCII, PACKED_HEADERS, PACKED_CONTENTS = 1, 2, 4, 8, 16  # kinds
PACKED = PACKED_HEADERS | PACKED_CONTENTS
MOST_EVENTS = (1 << 16) - 1  # that fit the head
LOCAL_ID_SPAN = 1 << 32  # between the lowest and the highest local id of a run
LOW_HALF = (1 << 32) - 1


def digest_of(term: bytes) -> bytes:
    """Return the digest of the key of a term, as a run has it."""
    return digest(term).to_bytes(8, "little")


def record_checksum(record: bytes) -> int:
    """Return the checksum of a record."""
    return digest(record) & LOW_HALF


def bitmap_size(events: int) -> int:
    """Return the bytes of a bitmap of slots."""
    return (events + 15) // 16 * 2
