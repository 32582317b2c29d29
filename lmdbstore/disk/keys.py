"""Numbers and keys as they are on disk: see `lmdbstore.disk.format`, which documents them."""

from __future__ import annotations

import struct
from zlib import crc32

from lmdbstore.contract.query import Position
from lmdbstore.errors import EventStoreException, StoreDamaged, shown

__all__ = [
    "CHECKSUM",
    "FIRST_KEY",
    "KEY",
    "LONG_KEY",
    "TextKeys",
    "after_key",
    "before_key",
    "checksum",
    "decode_checked",
    "decode_key",
    "decode_number",
    "decode_time",
    "encode_checked",
    "encode_number",
    "encode_time",
    "first_key",
    "last_key",
    "text_key",
    "timeline_key",
]

FIRST_KEY = bytes(16)  # no event has it
KEY = 16  # bytes of a timeline key
LONG_KEY = 511  # bytes; LMDB's limit for keys and for values of DUPSORT databases
DIGEST = 32  # bytes
CHECKSUM = 4  # bytes

_DOUBLE = struct.Struct(">d")
_NUMBER = struct.Struct(">Q")
_SIGN = 1 << 63
_ALL = (1 << 64) - 1
_HIGHEST = (1 << 128) - 1


def checksum(data: bytes) -> bytes:
    """Return the checksum of a record, or of a number."""
    return crc32(data).to_bytes(CHECKSUM, "big")


def encode_number(number: int) -> bytes:
    """Encode a number."""
    return _NUMBER.pack(number)


def decode_number(data: bytes) -> int:
    """Decode a number.

    Raises:
        StoreDamaged: `data` is not 8 bytes.
    """
    try:
        number: int = _NUMBER.unpack(data)[0]
    except struct.error as error:
        raise StoreDamaged(f"{shown(data)} is not a number of 8 bytes") from error
    return number


def encode_checked(number: int) -> bytes:
    """Encode a checked number."""
    data = encode_number(number)
    return data + checksum(data)


def decode_checked(data: bytes) -> int | None:
    """Decode a checked number; None if it is damaged."""
    number = int.from_bytes(data[:8])
    return number if data == encode_checked(number) else None


def encode_time(seconds: float) -> bytes:
    """Encode a timestamp so that byte order is the order of numbers; infinities are allowed."""
    (bits,) = _NUMBER.unpack(_DOUBLE.pack(seconds))
    return _NUMBER.pack(bits ^ (_SIGN if bits < _SIGN else _ALL))


def decode_time(data: bytes) -> float:
    """Decode a timestamp."""
    bits = decode_number(data)
    seconds: float = _DOUBLE.unpack(_NUMBER.pack(bits ^ (_SIGN if bits >= _SIGN else _ALL)))[0]
    return seconds


def timeline_key(position: Position) -> bytes:
    """Encode where an event stands."""
    return encode_time(position.timestamp) + encode_number(position.local_id)


def decode_key(key: bytes) -> Position:
    """Decode a timeline key."""
    return Position(decode_time(key[:8]), decode_number(key[8:]))


def first_key(seconds: float) -> bytes:
    """Return the lowest timeline key that a timestamp can have."""
    return encode_time(seconds) + bytes(8)


def last_key(seconds: float) -> bytes:
    """Return the highest timeline key that a timestamp can have."""
    return encode_time(seconds) + b"\xff" * 8


def after_key(key: bytes) -> bytes:
    """Return the timeline key right behind `key`; the highest one has none but itself."""
    return min(int.from_bytes(key, "big") + 1, _HIGHEST).to_bytes(16, "big")


def before_key(key: bytes) -> bytes:
    """Return the timeline key right before `key`; the lowest one has none but itself."""
    return max(int.from_bytes(key, "big") - 1, 0).to_bytes(16, "big")


def text_key(text: str) -> bytes:
    """Encode an id or a flag as a key of `ids` or `flags`."""
    # A lone surrogate is never stored, so it is not found.
    data = text.encode() if text.isascii() else text.encode("utf-8", "surrogatepass")
    if 0 < len(data) < LONG_KEY:
        return data
    try:
        from hashlib import blake2b  # it loads OpenSSL, and few texts need it
    except ImportError as error:
        raise EventStoreException(
            f"{shown(text)}: a text of this length cannot be used now: {error}; from a signal "
            "handler that has interrupted the first use of one, use it when that has returned"
        ) from error
    digest = blake2b(data, digest_size=DIGEST).digest()
    return data[: LONG_KEY - DIGEST].ljust(LONG_KEY - DIGEST, b"\0") + digest


class TextKeys(dict[str, bytes]):
    """The keys of texts that come again and again, each made once."""

    def __missing__(self, text: str) -> bytes:
        """Make the key of a text that is new."""
        key = self[text] = text_key(text)
        return key
