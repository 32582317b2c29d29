"""The write set: what the write in progress may change, so that other strict reads do not wait.

Before a writer makes the byte of the barrier odd, it publishes beside the byte what its transaction
may change: whether it may remove events, the range of their timestamps, and two Bloom filters, of
ids, and of flags and sources. It knows this: a transaction carries out one batch, which the leader
took before. Changes that join the queue later are not in it. A read that finds an odd byte reads
the write set, begins its transaction, and does not wait if the write cannot change its answer:

- a `get` that finds its event, if the write does not remove it (a write that may replace events
  may remove those with the ids of its own); a `get` of an id that is not in the filter, found or
  not;
- a search, or a count, that no event of the write can match: their times are outside of its range,
  or none of them has a flag or the source that it asks for.

Every other read waits as before; so does every read beside a write that publishes `EVERYTHING`,
because it does not know its events. A write set may say too much, and never too little. It is about
events: where their records lie, live or in a run, may change without being in it. A checkpoint is
not in it either, so a read of one waits for every write.

Why this is correct
-------------------
Write W has the count w (the odd number that it gave to the byte), and S(w) is the state after it,
or the state before it if it fails. A read sees the count w, then the write set A of W, complete;
then it begins its transaction T, and answers from the state of T.

1. T sees every write before W. Each of them had ended (the byte was even, or the new writer had
   settled it in `begin`) when the writer of W, with the lock, published A; and the read saw A
   before T began. So every acknowledged write is seen, as after an even byte.
2. So the state of T is the one before W, or S(w), or the state after a later write. By A, the first
   two give the same answer, which is the answer after the end of W: waiting would not change it. A
   later state is one that is also seen after waiting, if the next write is quick: it was committed
   while the read ran. This is the same for a `get` that has found its event: if W does not remove
   it, the event is in the state before W and in S(w), or W has added it and is committed, because
   T sees it; LMDB shows a transaction to readers only when it is complete and flushed.
3. No write that was in progress when the read began is missed. Each write publishes before the byte
   shows it, over the write set of the one before. So if the read finds A, every write after W began
   later than the read, and the read need not see it.
4. A search answers from many transactions, as it does after an even byte: the first one gives the
   plan and the watermark, and what was saved later is left out. Events of W may be above or below
   the watermark; they do not match.

A writer that dies leaves an odd byte and its write set. Whether its transaction is committed may be
open until the next one begins: LMDB's readers may still be at the state before, although its meta
page is written. The reads that do not wait have the same answer in both. All others settle the
write, as before. A new writer that finds an odd byte begins its transaction first, which settles
that write, and publishes then: until then, the old write set describes all that may change.

What is read, and in which order
--------------------------------
The stores of a writer and the loads of a reader are copies of some 40 bytes, which no processor
makes at once. So a reading may be torn: a part from one write set, and a part from the next. It may
also be garbage, of a writer that was killed as it wrote, or from a file that was only half written
at a power cut. Therefore:

- The write set has a checksum (CRC-32) and a count of its own, which the byte repeats. A reader
  takes it only if both agree. Otherwise it takes it for `EVERYTHING`, and waits.
- The count increases with each publication, also after one whose write was interrupted before the
  byte showed it. So a write set with the count of the byte, and another one before it, are 128
  publications apart; a reader cannot read one that is so old, because there are system calls and
  locks between two writes.
- A torn reading would do no harm if it passed, which is one in 2^32: it can only be torn if the
  next writer publishes, so W had ended before, and T, which begins later, sees it.

A reader copies the byte and the write set together, and so in any order; on some processors (ARM,
not x86) the stores of the writer become visible in any order, too. If the byte of one write meets
the write set of another, the counts differ, and the reader waits. That the writes before W are seen
follows from locks: the writer of W took the lock that they released, before it published, and a
reader takes and releases locks (the interpreter's, in the call of LMDB) between reading A and
reading LMDB's number of the last transaction. After an even byte that is the same. Nothing here
relies on the order of two plain stores.

The layout, after the byte and seven unused ones: the count; 1 if the write may remove events; six
unused bytes; the lowest and the highest timestamp (IEEE-754), the two filters (8 bytes each), and
the CRC-32 of all that; all numbers are big-endian.
"""

from __future__ import annotations

import struct
from math import inf
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

from lmdbstore.disk.keys import flag_key, source_key, text_bytes

if TYPE_CHECKING:
    import mmap
    from collections.abc import Collection, Sequence

    from lmdbstore.contract.query import Query

__all__ = [
    "EVERYTHING",
    "SIZE",
    "Fields",
    "WriteSet",
    "all_added",
    "all_replaced",
    "one_added",
    "one_removed",
    "publish",
    "published",
    "united",
]

_FIELDS = struct.Struct(">B?6xddQQ")
_BEGIN, _CHECKSUM = 8, 4  # bytes: before the write set, and at its end
_END = _BEGIN + _FIELDS.size
SIZE = _END + _CHECKSUM  # bytes of the side file

ANY = (1 << 64) - 1  # a filter that excludes nothing
MOST = 16  # texts in a filter; more of them would exclude little


class WriteSet(NamedTuple):
    """What a write may change."""

    removes: bool  # whether it may remove events; else it adds events only
    low: float  # seconds; the lowest timestamp of its events
    high: float
    ids: int  # a Bloom filter, with two bits for each
    labels: int  # one of flags and sources, with one bit for each: it is made in every save

    def may_add(self, event_id: str) -> bool:
        """Whether the write may add an event with this id."""
        bits = _bits(event_id)
        return self.ids & bits == bits

    def may_remove(self, event_id: str) -> bool:
        """Whether the write may remove the event with this id."""
        return self.removes and self.may_add(event_id)

    def may_change(self, query: Query) -> bool:
        """Whether the write may change what a search finds."""
        low, high = query.ts_start, query.ts_end
        if query.after is not None:
            at = query.after.timestamp
            low, high = (low, min(high, at)) if query.descending else (max(low, at), high)
        if low > self.high or high < self.low:
            return False
        labels = 0 if query.source is None else _bit(source_key(query.source))
        for flag in query.flags:
            labels |= _bit(flag_key(flag))
        some = [_bit(flag_key(flag)) & self.labels for flag in query.any_flags]
        return self.labels & labels == labels and (not some or any(some))


Fields = tuple[bool, float, float, int, int]  # those of a WriteSet; quicker to make
EVERYTHING = WriteSet(removes=True, low=-inf, high=inf, ids=ANY, labels=ANY)


def one_added(event_id: str, time: float, terms: list[bytes]) -> Fields:
    """Return the write set of one new event; `terms` are the keys of its flags and its source."""
    number = crc32(
        event_id.encode()
    )  # as in `_bits`, without calls, as this is done for each event
    labels = 0
    for label in map(crc32, terms):
        labels |= 1 << (label & 63)
    return False, time, time, 1 << (number & 63) | 1 << (number >> 16 & 63), labels


def all_added(ids: Collection[str], low: float, high: float, terms: Collection[bytes]) -> Fields:
    """Return the write set of new events with these fields."""
    id_bits = labels = ANY
    if len(ids) <= MOST:
        id_bits = 0
        for event_id in ids:
            id_bits |= _bits(event_id)
    if len(terms) <= MOST:
        labels = 0
        for key in terms:
            labels |= _bit(key)
    return False, low, high, id_bits, labels


def all_replaced(added: Fields) -> Fields:
    """Return the write set of events with these ids that each may replace another one.

    Of the replaced events only the ids are known: they may be at any time.
    """
    return EVERYTHING._replace(ids=added[3])


def one_removed(event_id: str) -> Fields:
    """Return the write set of the removal of one event, of which only the id is known."""
    return EVERYTHING._replace(ids=_bits(event_id))


def united(sets: Sequence[Fields]) -> Fields:
    """Return the write set of all of these writes together; there is at least one."""
    removes, low, high, ids, labels = sets[0]
    for removes_too, lower, higher, more_ids, more_labels in sets[1:]:
        removes |= removes_too
        low, high = min(low, lower), max(high, higher)
        ids |= more_ids
        labels |= more_labels
    return removes, low, high, ids, labels


def _bits(event_id: str) -> int:
    number = crc32(text_bytes(event_id))
    return 1 << (number & 63) | 1 << (number >> 16 & 63)


def _bit(key: bytes) -> int:
    return 1 << (crc32(key) & 63)


# -- in the side file -----------------------------------------------------------------------------


def publish(side: mmap.mmap, writes: Fields) -> int:
    """Publish a write set, with the next count, an odd number; the byte must be set to it.

    The lock of the barrier is held.
    """
    count = (side[_BEGIN] + 1 | 1) & 0xFF
    fields = _FIELDS.pack(count, *writes)
    side[_BEGIN:SIZE] = fields + crc32(fields).to_bytes(_CHECKSUM, "big")
    return count


def published(data: bytes) -> WriteSet | None:
    """Return the write set in a copy of the side file; None if the byte shows no write.

    It is `EVERYTHING` if it cannot be read, or does not belong to the byte.
    """
    if not data[0] & 1:
        return None
    fields, checksum = data[_BEGIN:_END], data[_END:SIZE]
    if crc32(fields).to_bytes(_CHECKSUM, "big") == checksum:
        count, *found = _FIELDS.unpack(fields)
        if count == data[0]:
            return WriteSet(*found)
    return EVERYTHING
