"""The write set: what the write in progress may change, so that other strict reads do not wait.

Before a writer makes the byte of the barrier odd, it publishes beside the byte what its transaction
may change: whether it may remove events, the range of their timestamps, and two Bloom filters, of
ids, and of flags and sources. It knows this: a transaction carries out one batch, which the leader
took before. Changes that join the queue later are not in it. A read that finds an odd byte reads
the write set, begins its transaction, and does not wait if the write cannot change its answer:

- a `get` that finds its event, if the write does not remove it (an event is never replaced: a
  second one with its id is refused); a `get` of an id that is not in the filter, found or not;
- a search, or a count, that no event of the write can match: their times are outside of its range,
  or none of them has a flag or the source that it asks for.

Every other read waits as before; so does every read beside a write that publishes `EVERYTHING`,
because it does not know its events. A write set may say too much, and never too little. It is about
events: where their records lie, and signatures, may change without being in it.

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
   while the read ran. This is the same for a `get` that has found its event: if W adds only, the
   event is in the state before W and in S(w), or W has added it and is committed, because T sees
   it; LMDB shows a transaction to readers only when it is complete and flushed.
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
The stores of a writer and the loads of a reader are copies of some 70 bytes, which no processor
makes at once. So a reading may be torn: a part from one write set, and a part from the next. It may
also be garbage, of a writer that was killed as it wrote, or from a file that was only half written
at a power cut. Therefore:

- The write set has a checksum (CRC-32) and its own count, of 64 bits, whose last eight are those of
  the byte. A reader takes it only if both agree. Otherwise it takes it for `EVERYTHING`, and waits.
- The count increases with each publication, also with one whose write was interrupted before it
  began, so no two write sets have the same count, and the byte follows it. A reading whose count
  agrees can be older than the byte by 128 writes at least, and that is impossible: between two
  writes there are system calls and locks.
- A torn reading would do no harm if it passed, which is one in 2^32: it can only be torn if the
  next writer publishes, so W had ended before, and T, which begins later, sees it.

x86 keeps the order of stores, and of loads: a reader that sees the byte sees the write set, and all
that was committed before it. Other processors (ARM) reorder both. If the byte comes before the
write set, the counts differ, and the reader waits. That W's predecessors are seen follows from the
locks: the writer of W took the lock that they released, before it published, and a reader takes and
releases locks (the interpreter's, in the call of LMDB) between reading A and reading LMDB's number
of the last transaction. An even byte relies on the same. Python's mutexes and `flock` are barriers
there; nothing here relies on the order of two plain stores.

The layout, after the byte and seven unused ones: the count, 1 if the write may remove events, seven
unused bytes, the lowest and the highest timestamp (IEEE-754), the two filters (16 bytes each), and
the CRC-32 of all that; all numbers are big-endian.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

from lmdbstore.disk.keys import text_key

if TYPE_CHECKING:
    import mmap
    from collections.abc import Collection, Sequence

    from lmdbstore.contract.query import Query

__all__ = ["EVERYTHING", "SIZE", "WriteSet", "added", "publish", "published", "removed", "united"]

_FIELDS = struct.Struct(">QB7xdd16s16s")
_COUNT, _CHECKSUM = struct.Struct(">Q"), struct.Struct(">I")
_BEGIN = 8  # the byte is before it
_END = _BEGIN + _FIELDS.size
SIZE = _END + _CHECKSUM.size  # bytes of the side file
_LARGEST = (1 << 64) - 1

BITS = 128  # of a filter; two for each text
_MASK, _SHIFT = BITS - 1, 16
ANY = (1 << BITS) - 1
MOST_TEXTS = 48  # with more, a filter would exclude little, and is not made
FLAG, SOURCE = 1, 2  # begin the checksums of texts of a kind

_new: Any = tuple.__new__


class WriteSet(NamedTuple):
    """What a write may change."""

    removes: bool  # whether it may remove events; else it adds events only
    low: float  # seconds; the lowest timestamp of its events
    high: float
    ids: int  # a Bloom filter
    labels: int  # a Bloom filter of flags and sources

    def may_add(self, event_id: str) -> bool:
        """Whether the write may add an event with this id."""
        bits = _bits(crc32(text_key(event_id)))
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
        labels = [_label(FLAG, text_key(flag)) for flag in query.flags]
        if query.source is not None:
            labels.append(_label(SOURCE, text_key(query.source)))
        return all(self.labels & bits == bits for bits in labels)


EVERYTHING = WriteSet(removes=True, low=-inf, high=inf, ids=ANY, labels=ANY)


def added(
    id_keys: Collection[bytes],
    flag_keys: Collection[bytes],
    sources: Collection[str],
    low: float,
    high: float,
) -> WriteSet:
    """Return the write set of new events with these fields; the keys are text keys."""
    ids = labels = ANY
    if len(id_keys) <= MOST_TEXTS:
        ids = 0
        for key in id_keys:
            ids |= _bits(crc32(key))
    if len(flag_keys) + len(sources) <= MOST_TEXTS:
        labels = 0
        for key in flag_keys:
            labels |= _label(FLAG, key)
        for source in sources:
            labels |= _label(SOURCE, text_key(source))
    found: WriteSet = _new(WriteSet, (False, low, high, ids, labels))
    return found


def removed(id_key: bytes) -> WriteSet:
    """Return the write set of the removal of one event, of which only the id is known."""
    return EVERYTHING._replace(ids=_bits(crc32(id_key)))


def united(sets: Sequence[WriteSet]) -> WriteSet:
    """Return the write set of all of these writes together; there is at least one."""
    if len(sets) == 1:
        return sets[0]
    removes, low, high, ids, labels = sets[0]
    for other in sets[1:]:
        removes |= other.removes
        low, high = min(low, other.low), max(high, other.high)
        ids |= other.ids
        labels |= other.labels
    return WriteSet(removes, low, high, ids, labels)


def _bits(number: int) -> int:
    return 1 << (number & _MASK) | 1 << (number >> _SHIFT & _MASK)


@lru_cache(maxsize=1024)  # flags and sources repeat
def _label(kind: int, key: bytes) -> int:
    return _bits(crc32(key, kind))


# -- in the side file -----------------------------------------------------------------------------


def publish(side: mmap.mmap, writes: WriteSet) -> int:
    """Publish a write set, with the next count; return what the byte must be set to, an odd number.

    The lock of the barrier is held.
    """
    last: int = _COUNT.unpack_from(side, _BEGIN)[0]
    count = (last + 1 | 1) & _LARGEST
    removes, low, high, ids, labels = writes
    filters = ids.to_bytes(16, "big"), labels.to_bytes(16, "big")
    fields = _FIELDS.pack(count, removes, low, high, *filters)
    side[_BEGIN:SIZE] = fields + _CHECKSUM.pack(crc32(fields))
    return count & 0xFF


def published(side: mmap.mmap, byte: int) -> WriteSet:
    """Return the write set that belongs to the byte; `EVERYTHING` if it cannot be read."""
    data = side[_BEGIN:SIZE]
    if len(data) == SIZE - _BEGIN:
        fields = data[: _FIELDS.size]
        count, removes, low, high, ids, labels = _FIELDS.unpack(fields)
        if count & 0xFF == byte and _CHECKSUM.pack(crc32(fields)) == data[_FIELDS.size :]:
            return WriteSet(
                removes > 0, low, high, int.from_bytes(ids, "big"), int.from_bytes(labels, "big")
            )
    return EVERYTHING
