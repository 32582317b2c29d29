"""The value of a run: its head, its checksums, and its sections; see `records.layout`.

Rules: a value is a view of the map, and ends with the transaction. What the front says is used only
after `check_front`, and a section only after its own check. One that is compressed is checked when
it is decompressed; that is done once for each object.
"""

from __future__ import annotations

from struct import error as struct_error

from lmdbstore.disk import format as fmt
from lmdbstore.errors import StoreDamaged

from .compression import decompressed, plain
from .layout import (
    HEAD,
    HEAD_SIZE,
    PACKED,
    PACKED_CONTENTS,
    PACKED_HEADERS,
    PAIR_AT,
    ROW_PAIR,
    ROW_SIZE,
    digest,
)

__all__ = ["RunValue"]


class RunValue:
    """The value of a run, as long as it may be read."""

    __slots__ = (
        "_checksums",
        "_contents_at",
        "_decompressed",
        "_ends_at",
        "_headers_at",
        "_slots_at",
        "_terms_at",
        "_value",
        "end",
        "events",
        "highest",
        "kinds",
        "lowest",
    )

    def __init__(self, end: bytes, value: bytes | memoryview) -> None:
        """Read the value of the run with the key `end`; raises StoreDamaged if it is too short."""
        self.end = end
        self._value = memoryview(value)
        try:
            numbers = HEAD.unpack_from(value)
        except struct_error as error:
            raise self.damaged("its head is cut off") from error
        self._checksums = numbers[:4]
        self._decompressed: dict[int, memoryview] = {}
        self.lowest, self.highest, self.events, self.kinds = numbers[4:8]
        places = numbers[9:]
        self._terms_at, self._ends_at, self._slots_at, self._headers_at, self._contents_at = places

    @property
    def is_compressed(self) -> bool:
        """Whether a part of it is compressed."""
        return bool(self.kinds & PACKED)

    def sizes(self) -> tuple[int, int]:
        """Return the bytes of the headers and of the contents, before they were compressed."""
        last = PAIR_AT + ROW_SIZE * (self.events - 1)
        _, _, _, _, header_end, content_end, _ = ROW_PAIR.unpack_from(self._value, last)
        return header_end - 1, content_end - 1

    def __len__(self) -> int:
        """Return the bytes of the value, before it was compressed."""
        headers_at: int = self._headers_at
        return headers_at + sum(self.sizes())

    def damaged(self, what: str) -> StoreDamaged:
        """Return the exception for damage to this run."""
        at = fmt.decode_key(self.end).timestamp if fmt.is_timeline_key(self.end) else self.end
        return StoreDamaged(
            f"the run of events that ends at the time {at!r} is not what was written: {what}"
        )

    # -- checks -----------------------------------------------------------------------------------

    def check_front(self) -> None:
        """Compare the checksums of the front; raises StoreDamaged."""
        value, (head, rest, _, _) = self._value, self._checksums
        if (
            digest(value[8:HEAD_SIZE]) != head
            or digest(value[HEAD_SIZE : self._headers_at]) != rest
        ):
            raise self.damaged("its front does not agree with its checksum")

    def check_headers(self) -> None:
        """Compare the checksum of the headers; raises StoreDamaged."""
        if digest(self._value[self._headers_at : self._contents_at]) != self._checksums[2]:
            raise self.damaged("its headers do not agree with their checksum")

    def check_contents(self) -> None:
        """Compare the checksum of the contents; raises StoreDamaged."""
        if digest(self._value[self._contents_at :]) != self._checksums[3]:
            raise self.damaged("its contents do not agree with their checksum")

    # -- sections ---------------------------------------------------------------------------------

    def headers(self) -> memoryview:
        """Return all headers, joined by commas; raises StoreDamaged if compressed and damaged."""
        if self.kinds & PACKED_HEADERS:
            return self._decompress(PACKED_HEADERS)
        return self._value[self._headers_at : self._contents_at]

    def contents(self) -> memoryview:
        """Return all contents, joined by newlines; raises StoreDamaged as `headers` does."""
        if self.kinds & PACKED_CONTENTS:
            return self._decompress(PACKED_CONTENTS)
        return self._value[self._contents_at :]

    def _decompress(self, kind: int) -> memoryview:
        """Decompress a section, once."""
        if kind not in self._decompressed:
            headers_size, contents_size = self.sizes()
            if kind == PACKED_HEADERS:
                self.check_headers()
                section, size = self._value[self._headers_at : self._contents_at], headers_size
            else:
                self.check_contents()
                section, size = self._value[self._contents_at :], contents_size
            try:
                self._decompressed[kind] = memoryview(decompressed(section, size))
            except StoreDamaged as error:
                raise self.damaged(str(error)) from error
        return self._decompressed[kind]

    def plain(self) -> bytes:
        """Return the value as it was before it was compressed; raises StoreDamaged."""
        if not self.is_compressed:
            return bytes(self._value)
        return plain(bytes(self._value), bytes(self.headers()), bytes(self.contents()))
