"""Reading what is left of a run that does not agree with its checksums; see `records.layout`.

Rules: pure; nothing in the value is trusted. A record is vouched for by the checksum in its row. It
is vouched for too if the headers and the contents agree with their checksums and it is certain
where it begins and ends: a header by its commas, a content by the newlines or by its neighbours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .compression import MAGIC, remains
from .layout import (
    HEAD,
    HEAD_SIZE,
    MOST_EVENTS,
    PAIR_AT,
    ROW_PAIR,
    ROW_SIZE,
    digest,
    record_checksum,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Left", "salvaged"]

FIELDS = 4  # of a header
MOST_TRIES = 1 << 12  # ends of a content that are tried
MOST_BYTES = 1 << 26  # that are read for them


class Left(NamedTuple):
    """A record of a damaged run; its slot is its place in the list."""

    local_id: int  # as its row says
    header: bytes
    content: bytes
    vouched: bool  # whether a checksum says that it is what was written

    @property
    def record(self) -> bytes:
        """The record."""
        return b"%b\n%b" % (self.header, self.content)


class _Head(NamedTuple):
    """What the head of a run says."""

    head_checksum: int
    front_checksum: int
    headers_checksum: int
    contents_checksum: int
    lowest: int  # local ids
    highest: int
    events: int
    kinds: int
    zero: int
    terms_at: int
    ends_at: int
    slots_at: int
    headers_at: int
    contents_at: int


class _Place(NamedTuple):
    """Where the parts of a run may be."""

    events: int
    headers_at: int
    contents_at: int


class _Read:
    """A run, read as if its parts were at a place."""

    def __init__(self, value: bytes, head: _Head, place: _Place) -> None:
        self.place = place
        rows = [
            ROW_PAIR.unpack_from(value, PAIR_AT + ROW_SIZE * slot) for slot in range(place.events)
        ]
        self.local_ids = [head.lowest + row[3] for row in rows]
        self.checksums: list[int] = [row[6] ^ row[3] for row in rows]
        self.header_ends: list[int] = [row[4] for row in rows]
        self.content_ends: list[int] = [row[5] for row in rows]
        self.headers = value[place.headers_at : max(place.headers_at, place.contents_at)]
        self.contents = value[place.contents_at :]
        self.headers_agree = digest(self.headers) == head.headers_checksum
        self.contents_agree = digest(self.contents) == head.contents_checksum
        if self.headers.startswith(MAGIC):
            self.headers = remains(self.headers)
        if self.contents.startswith(MAGIC):
            self.contents = remains(self.contents)

    def part(self, slot: int) -> tuple[bytes, bytes]:
        return _cut(self.headers, self.header_ends, slot), _cut(
            self.contents, self.content_ends, slot
        )

    def agrees(self, slot: int) -> bool:
        """Whether a record agrees with its checksum, and shows where the next one begins."""
        places = ((self.headers, self.header_ends), (self.contents, self.content_ends))
        inside = all(
            _begin(ends, slot) < ends[slot] <= len(section) + 1 for section, ends in places
        )
        return inside and record_checksum(b"%b\n%b" % self.part(slot)) == self.checksums[slot]

    @property
    def worth(self) -> tuple[int, int, int]:
        """How much speaks for this place."""
        agreeing = sum(map(self.agrees, range(self.place.events)))
        return self.headers_agree + self.contents_agree, agreeing, -self.place.events

    def mend(self) -> None:
        """Find the ends of headers and contents again where the rows are wrong."""
        if self.headers_agree:
            ends = _header_ends(self.headers)
            if len(ends) == self.place.events:
                self.header_ends = ends
        split = [len(content) + 1 for content in self.contents.split(b"\n")]
        if self.contents_agree and len(split) == self.place.events:
            self.content_ends = [sum(split[: slot + 1]) for slot in range(len(split))]
        for slot in range(self.place.events):
            if not self.agrees(slot):
                self._mend_content(slot)

    def _mend_content(self, slot: int) -> None:
        """Try each newline as the end of a content, until the record agrees with its checksum."""
        begin = _begin(self.content_ends, slot)
        header, _ = self.part(slot)
        end, done = begin, 0
        for _ in range(MOST_TRIES):
            found = self.contents.find(b"\n", end)
            end = len(self.contents) if found < 0 else found
            if (
                record_checksum(b"%b\n%b" % (header, self.contents[begin:end]))
                == (self.checksums[slot])
            ):
                self.content_ends[slot] = end + 1
                return
            end, done = end + 1, done + end - begin
            if found < 0 or done > MOST_BYTES:
                return

    def left(self) -> list[Left]:
        agree = list(map(self.agrees, range(self.place.events)))
        whole = self.headers_agree and self.contents_agree
        lines = self.contents.count(b"\n") == self.place.events - 1
        return [
            Left(
                self.local_ids[slot],
                *self.part(slot),
                vouched=known or (whole and (lines or _between(agree, slot))),
            )
            for slot, known in enumerate(agree)
        ]


def salvaged(value: bytes) -> list[Left]:
    """Return what is left of the records of a run; of an unreadable one nothing."""
    if len(value) < HEAD_SIZE:
        return []
    head = _Head(*HEAD.unpack_from(value))
    reads = [_Read(value, head, place) for place in dict.fromkeys(_places(value, head))]
    if not reads:
        return []
    best = max(reads, key=lambda read: read.worth)
    best.mend()
    return best.left()


def _places(value: bytes, head: _Head) -> Iterator[_Place]:
    """Yield where the parts may be, by the head and by the last row, if either is wrong."""
    room = min((len(value) - HEAD_SIZE) // ROW_SIZE - 1, MOST_EVENTS)
    for events in (head.events, (head.terms_at - HEAD_SIZE) // ROW_SIZE - 1):
        if not 0 < events <= room:
            continue
        last = ROW_PAIR.unpack_from(value, PAIR_AT + ROW_SIZE * (events - 1))
        # A compressed section shows where it begins.
        for contents_at in (head.contents_at, len(value) - last[5] + 1, value.rfind(MAGIC)):
            for headers_at in (head.headers_at, contents_at - last[4] + 1, value.find(MAGIC)):
                if 0 <= headers_at <= contents_at <= len(value):
                    yield _Place(events, headers_at, contents_at)


def _cut(section: bytes, ends: list[int], slot: int) -> bytes:
    return section[_begin(ends, slot) : max(ends[slot] - 1, 0)]


def _begin(ends: list[int], slot: int) -> int:
    return ends[slot - 1] if slot else 0


def _between(agree: list[bool], slot: int) -> bool:
    """Whether the neighbours of a record show where it begins and ends."""
    return (not slot or agree[slot - 1]) and (slot + 1 == len(agree) or agree[slot + 1])


def _header_ends(headers: bytes) -> list[int]:
    """Return where the header after each begins, found by reading them."""
    from json import JSONDecoder  # rarely needed

    decoder, ends = JSONDecoder(), list[int]()
    try:
        text = headers.decode()
        at = size = 0
        while at < len(text):
            begin = at
            for _ in range(FIELDS):
                _, at = decoder.raw_decode(text, at)
                at += 1  # a comma
            size += len(text[begin:at].encode()) + (at > len(text))
            ends.append(size)
    except ValueError:
        return []
    return ends
