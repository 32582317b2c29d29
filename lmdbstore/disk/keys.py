"""Numbers, keys and the entries of indexes as they are on disk; `disk.format` documents them."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING
from zlib import crc32

from lmdbstore.contract.query import LOCAL_IDS, Position
from lmdbstore.errors import EventStoreException, StoreDamaged, shown
from lmdbstore.threads.reentry import half_imported

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "CHECKSUM",
    "FIRST_KEY",
    "KEY",
    "LAST_KEY",
    "LONG_KEY",
    "NO_LOCAL_ID",
    "TextKeys",
    "after_key",
    "before_key",
    "below_watermark",
    "checksum",
    "checksum_in_commit",
    "checksum_in_id",
    "decode_checked",
    "decode_identity",
    "decode_key",
    "decode_number",
    "decode_time",
    "encode_checked",
    "encode_identity",
    "encode_number",
    "encode_time",
    "filter_length",
    "first_key",
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
    "time_in_commit",
    "time_of",
    "timeline_key",
]

TIME = 8  # bytes of a timestamp
KEY = 16  # bytes of a timeline key
FIRST_KEY, LAST_KEY = bytes(KEY), b"\xff" * KEY  # no event has either
NO_LOCAL_ID = bytes(8)
RUN_END = KEY  # bytes of the end of a run, after its filter
LONG_KEY = 511  # bytes; LMDB's limit for keys and for values of DUPSORT databases
DIGEST = 32  # bytes
CHECKSUM = 4  # bytes
IDENTITY_SIZE = 16  # bytes, without its checksum

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


def encode_identity(identity: bytes) -> bytes:
    """Encode the identity of a store."""
    return identity + checksum(identity)


def decode_identity(data: bytes) -> bytes | None:
    """Decode the identity of a store; None if it is damaged."""
    identity = data[:IDENTITY_SIZE]
    return (
        identity if len(identity) == IDENTITY_SIZE and data == encode_identity(identity) else None
    )


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
    """Encode the position of an event."""
    return encode_time(position.timestamp) + encode_number(position.local_id)


def decode_key(key: bytes) -> Position:
    """Decode a timeline key."""
    return Position(decode_time(key[:TIME]), decode_number(key[TIME:]))


def join_key(time: bytes, local_id: bytes) -> bytes:
    """Return the timeline key of an encoded timestamp and an encoded local id."""
    return time + local_id


def time_of(key: bytes) -> bytes:
    """Return the timestamp in a timeline key, encoded."""
    return key[:TIME]


def local_id_of(key: bytes) -> bytes:
    """Return the local id in a timeline key, encoded."""
    return key[TIME:]


def is_local_id(data: bytes) -> bool:
    """Whether an encoded number is a local id that an event can have."""
    return len(data) == len(NO_LOCAL_ID) and 0 < decode_number(data) < LOCAL_IDS


def below_watermark(keys: Sequence[bytes], watermark: bytes) -> list[int]:
    """Return the numbers of the timeline keys whose local id is below an encoded one."""
    return [n for n, key in enumerate(keys) if key[TIME:] < watermark]


def first_key(seconds: float) -> bytes:
    """Return the lowest timeline key that a timestamp can have."""
    return encode_time(seconds) + bytes(8)


def last_key(seconds: float) -> bytes:
    """Return the highest timeline key that a timestamp can have."""
    return encode_time(seconds) + b"\xff" * 8


def after_key(key: bytes) -> bytes:
    """Return the timeline key right after `key`; for the highest key, the key itself."""
    return min(int.from_bytes(key, "big") + 1, _HIGHEST).to_bytes(16, "big")


def before_key(key: bytes) -> bytes:
    """Return the timeline key right before `key`; for the lowest key, the key itself."""
    return max(int.from_bytes(key, "big") - 1, 0).to_bytes(16, "big")


def text_key(text: str) -> bytes:
    """Encode an id or a flag as a key of `ids` or `flags`."""
    # A lone surrogate is never stored, so it is never found.
    data = text.encode() if text.isascii() else text.encode("utf-8", "surrogatepass")
    if 0 < len(data) < LONG_KEY:
        return data
    try:
        from hashlib import blake2b  # it loads OpenSSL, and few texts need it
    except ImportError as error:
        raise half_imported(EventStoreException, f"the long text {shown(text)}", error) from error
    digest = blake2b(data, digest_size=DIGEST).digest()
    return data[: LONG_KEY - DIGEST].ljust(LONG_KEY - DIGEST, b"\0") + digest


class TextKeys(dict[str, bytes]):
    """The keys of texts that repeat, each made once."""

    def __missing__(self, text: str) -> bytes:
        """Make the key of a new text."""
        key = self[text] = text_key(text)
        return key


# -- the entries of indexes ------------------------------------------------------------------------


def id_entry(key: bytes, record_checksum: bytes) -> bytes:
    """Return the value of `ids` for a timeline key and the checksum of its record."""
    return key + record_checksum


def is_timeline_key(key: bytes) -> bool:
    """Whether a key has the length of a timeline key."""
    return len(key) == KEY


def key_in(entry: bytes) -> bytes:
    """Return the timeline key in a value of `ids`."""
    return entry[:KEY]


def checksum_in_id(entry: bytes) -> bytes:
    """Return the checksum in a value of `ids`."""
    return entry[KEY:]


def time_in_commit(entry: bytes) -> bytes:
    """Return the encoded timestamp in a value of `commits`."""
    return entry[:TIME]


def checksum_in_commit(entry: bytes) -> bytes:
    """Return the checksum in a value of `commits`."""
    return entry[TIME:]


def run_value(filter_: bytes, end: bytes) -> bytes:
    """Return the value of `signatures` for a run with this filter and this end."""
    return filter_ + end


def filter_length(value: bytes | memoryview) -> int:
    """Return the bytes of the filter, which a value of `signatures` begins with."""
    return len(value) - RUN_END


def run_end(value: bytes | memoryview) -> bytes:
    """Return the first key after a run."""
    return bytes(value[-RUN_END:])
