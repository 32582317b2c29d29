"""Reading a run: events by slot, by key, by term and by pattern; see `records.layout`.

Rules: a value is a view of the map, and ends with the transaction; nothing that is returned refers
to it. What the front says is used only after `check_front`, and a section only after its own check;
one event alone is checked by the checksum of its record instead. Slots are given rising.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left, bisect_right
from itertools import accumulate, chain, compress, count, pairwise
from operator import itemgetter, xor
from typing import TYPE_CHECKING, Any

from lmdbstore.disk import format as fmt

from .decoding import decode_events, decode_parts
from .events import Events
from .layout import (
    ASCENDING,
    ASCII,
    FIRST_TIME,
    HEAD_SIZE,
    LOCAL_ID_SPAN,
    MOST_EVENTS,
    ONE_LINE,
    PACKED,
    PAIR_AT,
    ROW_PAIR,
    ROW_SIZE,
    record_checksum,
)
from .record import decode_headers, encode_times
from .run_value import RunValue

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lmdbstore.contract.event import Event

    from .pack import Directory
    from .record import Headers, TermKeys

__all__ = ["Run", "Slots", "positions"]

Slots = range | list[int]

COLUMNS = ROW_SIZE // 4  # numbers of 4 bytes in a row
FEW, FEW_NEIGHBOURS = 16, 64  # one of so many events is read alone, not with all of its section
DENSE = 4  # if one of so many neighbours is read, what concerns all of them is read at once

_DIGITS = bytes.maketrans(b"\0\1", b"01")
_EXPANDED = [bytes(byte >> slot & 1 for slot in range(8)) for byte in range(256)]
_NUMBERS = tuple(range(1024))  # made once


def positions(bits: bytes) -> list[int]:
    """Return the slots in a bitmap."""
    numbers = chain(_NUMBERS, count(len(_NUMBERS)))
    return list(compress(numbers, b"".join(map(_EXPANDED.__getitem__, bits))))


class Run(RunValue):
    """A sealed run, as long as its value may be read."""

    __slots__ = ()

    # -- places -----------------------------------------------------------------------------------

    def _numbers(self) -> Any:
        """Return the rows as numbers of 4 bytes."""
        rows = self._value[HEAD_SIZE + ROW_SIZE : self._terms_at]
        return _cast("I", rows)

    def seconds(self) -> Any:
        """Return the timestamps, as a sequence."""
        rows = self._value[HEAD_SIZE + ROW_SIZE : self._terms_at]
        return _cast("d", rows)[:: ROW_SIZE // 8]

    def seconds_at(self, slots: Slots) -> Any:
        """Return the timestamps of some events, as a sequence."""
        seconds = self.seconds()
        if isinstance(slots, range):
            return seconds[slots.start : slots.stop]
        return [seconds[slot] for slot in slots]

    def local_ids(self) -> Sequence[int]:
        """Return the local ids."""
        if self.kinds & ASCENDING:
            return range(self.lowest, self.lowest + self.events)
        return [self.lowest + offset for offset in self._numbers()[2::COLUMNS].tolist()]

    def local_ids_at(self, slots: Slots) -> Sequence[int]:
        """Return the local ids of some events."""
        if self.kinds & ASCENDING:
            lowest = self.lowest
            if isinstance(slots, range):
                return range(lowest + slots.start, lowest + slots.stop, slots.step)
            return [lowest + slot for slot in slots]
        found = self.local_ids()
        return [found[slot] for slot in slots]

    def key(self, slot: int) -> bytes:
        """Return the timeline key of an event."""
        _, _, time, offset, _, _, _ = ROW_PAIR.unpack_from(self._value, PAIR_AT + ROW_SIZE * slot)
        return fmt.join_key(fmt.encode_time(time), fmt.encode_number(self.lowest + offset))

    def keys(self) -> list[bytes]:
        """Return all timeline keys."""
        times = encode_times(self.seconds().tolist())
        return list(map(fmt.join_key, times, fmt.encode_numbers(self.local_ids())))

    def span(self, low: bytes, high: bytes) -> range:
        """Return the slots of the events in a range of timeline keys, both ends included."""
        events = self.events
        if low <= self.key(0):
            begin = 0
        elif low > self.key(events - 1):
            return range(0)
        else:
            begin = self._place(low)
        if high >= self.end or high >= self.key(events - 1):
            return range(begin, events)
        if high < self.key(0):
            return range(0)
        stop = self._place(high)
        return range(begin, stop + (self.key(stop) == high))

    def begins_after(self, seconds: float) -> bool:
        """Whether all events are after a time."""
        first: float = FIRST_TIME.unpack_from(self._value)[0]
        return first > seconds

    def _place(self, key: bytes) -> int:
        """Return the first slot whose key is not below one that lies inside the run."""
        timestamp, local_id = fmt.decode_key(key)
        seconds = self.seconds()
        slot = bisect_left(seconds, timestamp)
        stop = bisect_right(seconds, timestamp, slot)
        if slot == stop:
            return slot
        return slot + bisect_left(self.local_ids_at(range(slot, stop)), local_id)

    def slot_of(self, key: bytes) -> int:
        """Return the slot of an event by its timeline key, or -1."""
        local_id = fmt.decode_number(fmt.local_id_of(key))
        offset = local_id - self.lowest
        if self.kinds & ASCENDING:
            return offset if 0 <= offset < self.events and self.key(offset) == key else -1
        if not 0 <= offset < LOCAL_ID_SPAN:
            return -1
        slot = bisect_left(self.seconds(), fmt.decode_time(fmt.time_of(key)))
        while slot < self.events:
            found = self.key(slot)
            if found >= key:
                return slot if found == key else -1
            slot += 1
        return -1

    # -- terms ------------------------------------------------------------------------------------

    def find(self, term: bytes) -> int:
        """Return the number of a term in the run, by the digest of its key in bytes, or -1."""
        terms = bytes(self._value[self._terms_at : self._ends_at])
        at = terms.find(term)
        while at >= 0 and at & 7:
            at = terms.find(term, at + 1)
        return at >> 3 if at >= 0 else -1

    def _cell(self, number: int) -> memoryview:
        ends, slots = self._ends_at + 4 * number, self._slots_at
        begin = int.from_bytes(self._value[ends : ends + 4], "little")
        end = int.from_bytes(self._value[ends + 4 : ends + 8], "little")
        return self._value[slots + 2 * begin : slots + 2 * end]

    def slots(self, number: int) -> list[int]:
        """Return the slots of a term by its number in the run."""
        cell = self._cell(number)
        if len(cell) * 8 >= self.events:
            return positions(bytes(cell))
        return _pairs(cell)

    def any_of(self, terms: Iterable[bytes]) -> set[int]:
        """Return the slots that have any of some terms, given by their digests."""
        numbers = [number for number in map(self.find, terms) if number >= 0]
        return set(chain.from_iterable(map(self.slots, numbers)))

    def common(self, numbers: Sequence[int]) -> list[int]:
        """Return the slots that have all of these terms."""
        if len(numbers) == 1:
            return self.slots(numbers[0])
        cells = [self._cell(number) for number in numbers]
        lists = [cell for cell in cells if len(cell) * 8 < self.events]
        maps = [cell for cell in cells if len(cell) * 8 >= self.events]
        if not lists:
            bits = int.from_bytes(maps[0], "little")
            for cell in maps[1:]:
                bits &= int.from_bytes(cell, "little")
            return positions(bits.to_bytes(len(maps[0]), "little"))
        found, *others = map(_pairs, lists)
        for other in map(set, others):
            found = [slot for slot in found if slot in other]
        for cell in maps:
            found = [slot for slot in found if cell[slot >> 3] >> (slot & 7) & 1]
        return found

    def directory(self) -> Directory:
        """Return the slots of every term, by digest."""
        value = self._value
        ends = _cast("I", value[self._ends_at : self._slots_at]).tolist()
        cells = value[self._slots_at : self._headers_at]
        pairs = _pairs(cells)
        return {
            term: positions(bytes(cells[2 * begin : 2 * end]))
            if (end - begin) * 16 >= self.events
            else pairs[begin:end]
            for term, begin, end in zip(self._digests(), ends, ends[1:], strict=False)
        }

    def numbers_of(self, slots: Slots) -> dict[int, int]:
        """Return how many of some events have each term, by digest; terms of none may be there."""
        value, events, slots_at = self._value, self.events, self._slots_at
        has = bytearray(MOST_EVENTS + 1)
        for slot in slots:
            has[slot] = 1
        asked = int(has[events - 1 :: -1].translate(_DIGITS), 2)
        pairs = _cast("H", value[slots_at : self._headers_at])
        # How many of the pairs before each are slots that are asked for; a bitmap has other pairs.
        before: Sequence[int] = range(len(pairs) + 1)
        if len(slots) < events:
            before = [0, *accumulate(map(has.__getitem__, pairs))]
        ends = _cast("I", value[self._ends_at : slots_at]).tolist()
        numbers = {}
        for term, (begin, end) in zip(self._digests(), pairwise(ends), strict=True):
            if (end - begin) * 16 < events:
                numbers[term] = before[end] - before[begin]
            else:
                cell = value[slots_at + 2 * begin : slots_at + 2 * end]
                numbers[term] = (int.from_bytes(cell, "little") & asked).bit_count()
        return numbers

    def _digests(self) -> Any:
        """Return the digests of the terms, as a sequence."""
        return _cast("Q", self._value[self._terms_at : self._ends_at])

    # -- events -----------------------------------------------------------------------------------

    def part(self, slot: int) -> tuple[memoryview, memoryview]:
        """Return the header and the content of an event, after a check of its record."""
        value = self._value
        header_at, content_at, _, offset, header_end, content_end, checksum = ROW_PAIR.unpack_from(
            value, PAIR_AT + ROW_SIZE * slot
        )
        if self.kinds & PACKED:
            header = self.headers()[header_at : header_end - 1]
            content = self.contents()[content_at : content_end - 1]
        else:  # the same, in less time
            header = value[self._headers_at + header_at : self._headers_at + header_end - 1]
            content = value[self._contents_at + content_at : self._contents_at + content_end - 1]
        if record_checksum(b"\n".join((header, content))) != checksum ^ offset:
            raise self.damaged(f"event {slot} of it does not agree with its checksum")
        return header, content

    def record_size(self, slot: int) -> int:
        """Return the bytes of the record of an event."""
        header_at, content_at, _, _, header_end, content_end, _ = ROW_PAIR.unpack_from(
            self._value, PAIR_AT + ROW_SIZE * slot
        )
        size: int = header_end - header_at + content_end - content_at - 1
        return size

    def records_size(self) -> int:
        """Return the bytes of all records; each section has a joint less than events."""
        events: int = self.events
        return sum(self.sizes()) + 2 - events

    def event(self, slot: int) -> Event:
        """Decode one event; raises StoreDamaged."""
        return decode_parts([self.part(slot)])[0]

    def select(self, slots: Slots) -> list[Event]:
        """Decode events; raises StoreDamaged."""
        if not slots:
            return []
        if slots[-1] - slots[0] == len(slots) - 1:
            slots = range(slots[0], slots[-1] + 1)
        if len(slots) * (FEW_NEIGHBOURS if isinstance(slots, range) else FEW) < self.events:
            return decode_parts(list(map(self.part, slots)))
        self.check_headers()
        self.check_contents()
        if isinstance(slots, range):
            return self._neighbours(slots)
        headers = self._gathered(3, self.headers(), slots)
        return decode_events(headers, self._texts(slots))

    def _gathered(self, column: int, view: memoryview, slots: list[int]) -> bytes:
        """Return the parts of some events in a section, with the joints between them."""
        last = slots[-1]
        ends = self._numbers()[column::COLUMNS]
        # Each cut has the joint after it.
        if len(slots) * DENSE < last - slots[0]:
            joined = b"".join([view[ends[slot - 1] if slot else 0 : ends[slot]] for slot in slots])
        else:
            places, pick = [0, *ends[: last + 1].tolist()], itemgetter(*slots)
            part, cuts = bytes(view[: places[-1]]), map(slice, pick(places), pick(places[1:]))
            joined = b"".join(map(part.__getitem__, cuts))
        return joined if last == self.events - 1 else joined[:-1]

    def _neighbours(self, slots: range) -> list[Event]:
        ends = self._numbers()
        first, last = slots.start, slots.stop - 1
        begin = ends[3 + COLUMNS * (first - 1)] if first else 0
        end = ends[3 + COLUMNS * last] - 1
        return decode_events(self.headers()[begin:end], self._texts(slots))

    def _texts(self, slots: Slots) -> list[str]:
        """Return the contents of some events."""
        if self.kinds & ONE_LINE:
            first, last = slots[0], slots[-1]
            if isinstance(slots, list) and len(slots) * DENSE < last - first:
                return str(self._gathered(4, self.contents(), slots), "utf-8").split("\n")
            ends = self._numbers()
            begin = ends[4 + COLUMNS * (first - 1)] if first else 0
            end = ends[4 + COLUMNS * last] - 1
            texts = str(self.contents()[begin:end], "utf-8").split("\n")
            return [texts[slot - first] for slot in slots] if isinstance(slots, list) else texts
        contents, ends = self.contents(), self._ends(4)
        if self.kinds & ASCII:
            text = str(contents, "ascii")
            return [text[ends[slot - 1] : ends[slot] - 1] for slot in slots]
        return [str(contents[ends[slot - 1] : ends[slot] - 1], "utf-8") for slot in slots]

    def _ends(self, column: int) -> list[int]:
        """Return where the part after each event begins; before the first, at -1, there is a 0."""
        return [*self._numbers()[column::COLUMNS].tolist(), 0]

    def content_places(self) -> Any:
        """Return where the content after each event begins, as a sequence for a few look-ups."""
        return self._numbers()[4::COLUMNS]

    def content_ends(self) -> list[int]:
        """Return where the content after each event begins, and 0 last: before the first one."""
        return self._ends(4)

    def each_content(self) -> list[bytes]:
        """Return the content of each event."""
        contents = bytes(self.contents())
        return contents.split(b"\n") if self.kinds & ONE_LINE else _cut(contents, self._ends(4))

    def fields(self) -> Headers:
        """Return the fields of all headers; raises StoreDamaged."""
        self.check_headers()
        return decode_headers([self.headers().tobytes()])

    def unpacked(self, known: TermKeys) -> Events:
        """Return all events, field by field; raises StoreDamaged."""
        self.check_front()
        self.check_headers()
        self.check_contents()
        section = bytes(self.headers())
        headers = _cut(section, self._ends(3))
        fields = decode_headers([section])
        numbers = self._numbers()
        checksums = list(map(xor, numbers[5::COLUMNS], numbers[2::COLUMNS]))
        return Events(
            self.keys(),
            self.seconds().tolist(),
            list(self.local_ids()),
            headers,
            self.each_content(),
            checksums,
            list(map(known.of, fields.sources, fields.tags)),
        )


def _cut(section: bytes, ends: list[int]) -> list[bytes]:
    return [section[ends[n - 1] : ends[n] - 1] for n in range(len(ends) - 1)]


def _pairs(cell: memoryview) -> list[int]:
    slots: list[int] = _cast("H", cell).tolist()
    return slots


def _cast(code: Any, data: memoryview) -> Any:
    """Return the numbers in a part of a value."""
    if sys.byteorder == "little":
        return data.cast(code)
    numbers = array(code, bytes(data))
    numbers.byteswap()
    return numbers
