"""Numbers, keys and the entries of indexes as they are on disk; `disk.format` documents them."""

from __future__ import annotations

import struct
import sys
from array import array
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

from lmdbstore.contract.commits.position import Branch, Lineage
from lmdbstore.contract.query import LOCAL_IDS, Position
from lmdbstore.errors import EventStoreException, StoreDamaged, shown
from lmdbstore.threads.reentry import half_imported

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "CHECKSUM",
    "FIRST_KEY",
    "IDENTITY_SIZE",
    "KEY",
    "LAST_KEY",
    "LONG_KEY",
    "NO_LOCAL_ID",
    "SIGNATURE_AT",
    "RunPosting",
    "Summary",
    "after_key",
    "before_key",
    "checksum",
    "commit_entry",
    "decode_checked",
    "decode_commit",
    "decode_identity",
    "decode_key",
    "decode_lineage",
    "decode_number",
    "decode_summary",
    "decode_time",
    "encode_checked",
    "encode_lineage",
    "encode_number",
    "encode_numbers",
    "encode_time",
    "first_key",
    "flag_key",
    "has_slots",
    "is_flag",
    "is_local_id",
    "is_timeline_key",
    "is_whole",
    "join_key",
    "key_prefix",
    "last_key",
    "local_id_of",
    "local_ids_of",
    "posting_key",
    "run_posting",
    "slots_in",
    "source_key",
    "split_postings",
    "term_in",
    "text_bytes",
    "text_key",
    "time_of",
    "timeline_key",
]

TIME = 8  # bytes of a timestamp
KEY = 16  # bytes of a timeline key
FIRST_KEY, LAST_KEY = bytes(KEY), b"\xff" * KEY  # no event has either
NO_LOCAL_ID = bytes(8)
LONG_KEY = 511  # bytes; LMDB's limit for keys and for values of DUPSORT databases
DIGEST = 32  # bytes
CHECKSUM = 4  # bytes
IDENTITY_SIZE = 16  # bytes, without its checksum

_DOUBLE = struct.Struct(">d")
_NUMBER = struct.Struct(">Q")
_SIGN = 1 << 63
_ALL = (1 << 64) - 1
_HIGHEST = (1 << 128) - 1
_SUMMARY = struct.Struct(">HQ")
SIGNATURE_AT = _SUMMARY.size  # in a value of `summaries`
_SLOTS = struct.Struct(">4H")
NOTED = 4  # slots of a run that fit into a posting
NO_SLOT = (1 << 16) - 1  # no run has so many events
FLAG, SOURCE = "f", "s"  # what the key of a term begins with
_EMPTY = (NO_SLOT,) * NOTED
_NO_SLOTS = _SLOTS.pack(*_EMPTY)
_postings = struct.Struct(f">{KEY}s4H").iter_unpack


def checksum(data: bytes) -> bytes:
    """Return the checksum of a record, or of a number."""
    return crc32(data).to_bytes(CHECKSUM, "big")


def encode_number(number: int) -> bytes:
    """Encode a number."""
    return _NUMBER.pack(number)


def encode_numbers(numbers: Sequence[int]) -> list[bytes]:
    """Encode many numbers, as `encode_number` does each of them."""
    packed = struct.pack(f">{len(numbers)}Q", *numbers)
    return [packed[at : at + 8] for at in range(0, len(packed), 8)]


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
    number = data[:8]
    return int.from_bytes(number) if data[8:] == checksum(number) else None


def encode_lineage(lineage: Lineage) -> bytes:
    """Encode the identity of a store, and the stores of which it is a copy."""
    branches = (branch.identity + encode_number(branch.last) for branch in lineage.branches)
    data = lineage.identity + b"".join(branches)
    return data + checksum(data)


def decode_lineage(data: bytes) -> Lineage | None:
    """Decode the identity of a store, and the stores of which it is a copy; None: it is damaged."""
    identity, rest = data[:IDENTITY_SIZE], data[IDENTITY_SIZE:-CHECKSUM]
    branches = tuple(
        Branch(rest[at : at + IDENTITY_SIZE], int.from_bytes(rest[at + IDENTITY_SIZE :][:8]))
        for at in range(0, len(rest), IDENTITY_SIZE + 8)
    )
    lineage = Lineage(identity, branches)
    return lineage if len(identity) == IDENTITY_SIZE and data == encode_lineage(lineage) else None


def decode_identity(data: bytes) -> bytes | None:
    """Decode the identity of a store alone; None if it is damaged."""
    whole = len(data) >= IDENTITY_SIZE + CHECKSUM
    return (
        data[:IDENTITY_SIZE] if whole and data[-CHECKSUM:] == checksum(data[:-CHECKSUM]) else None
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


def local_ids_of(keys: Sequence[bytes]) -> list[int]:
    """Return the local ids in timeline keys."""
    if set(map(len, keys)) != {KEY}:  # none, or damage
        return [int.from_bytes(key[TIME:]) for key in keys]
    numbers = array("Q", b"".join(keys))
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers[1::2].tolist()


def is_local_id(data: bytes) -> bool:
    """Whether an encoded number is a local id that an event can have."""
    return len(data) == len(NO_LOCAL_ID) and 0 < decode_number(data) < LOCAL_IDS


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


def text_bytes(text: str) -> bytes:
    """Encode a text. A lone surrogate is never stored, so it is never found."""
    return text.encode() if text.isascii() else text.encode("utf-8", "surrogatepass")


def text_key(text: str) -> bytes:
    """Encode a text as a key."""
    data = text_bytes(text)
    return data if 0 < len(data) < LONG_KEY else _long_key(data)


def key_prefix(text: str) -> bytes:
    """Return how the keys begin of all texts that begin with this one; those of others may too."""
    return text_bytes(text)[: LONG_KEY - DIGEST]


def _long_key(data: bytes) -> bytes:
    try:
        from hashlib import blake2b  # it loads OpenSSL, and few texts need it
    except ImportError as error:
        raise half_imported(EventStoreException, f"the long text {shown(data)}", error) from error
    digest = blake2b(data, digest_size=DIGEST).digest()
    return data[: LONG_KEY - DIGEST].ljust(LONG_KEY - DIGEST, b"\0") + digest


def flag_key(flag: str) -> bytes:
    """Encode a flag as the key of a term."""
    return text_key(FLAG + flag)


def source_key(source: str) -> bytes:
    """Encode a source as the key of a term."""
    return text_key(SOURCE + source)


def is_flag(key: bytes) -> bool:
    """Whether the key of a term is that of a flag."""
    return key.startswith(FLAG.encode())


def is_whole(key: bytes) -> bool:
    """Whether the key of a term tells the whole term."""
    return len(key) < LONG_KEY


def term_in(key: bytes) -> str:
    """Return the flag or the source in the key of a term that is not a long one.

    Raises ValueError.
    """
    text = key.decode()
    if not text.startswith((FLAG, SOURCE)):
        raise ValueError("it does not begin as the key of a flag or of a source does")
    return text[1:]


# -- the entries of indexes ------------------------------------------------------------------------


def is_timeline_key(key: bytes) -> bool:
    """Whether a key has the length of a timeline key."""
    return len(key) == KEY


def run_posting(end: bytes, slots: Sequence[int]) -> bytes:
    """Return the value of `run_postings` for a run in which a term has these slots."""
    number = len(slots)
    if number > NOTED:
        return end + _NO_SLOTS
    return end + _SLOTS.pack(*slots, *_EMPTY[number:])


def posting_key(posting: bytes | memoryview) -> bytes:
    """Return the timeline key, or the end of a run, in a posting."""
    return bytes(posting[:KEY])


RunPosting = tuple[bytes, int, int, int, int]  # the end of a run, and slots of a term in it


def split_postings(postings: Iterable[bytes | memoryview]) -> list[RunPosting]:
    """Split values of `run_postings`; raises StoreDamaged if they are cut off."""
    try:
        return list(_postings(b"".join(postings)))
    except struct.error as error:
        raise StoreDamaged("postings of runs are cut off") from error


def has_slots(posting: RunPosting) -> bool:
    """Whether a posting has the slots of its term."""
    return posting[1] != NO_SLOT


def slots_in(posting: RunPosting) -> tuple[int, ...]:
    """Return the slots in a posting; none: they are more than fit."""
    _, first, second, _, last = posting
    if second == NO_SLOT != first:  # most have one
        return (first,)
    slots = posting[1:]
    return slots if last != NO_SLOT else slots[: slots.index(NO_SLOT)]


class Summary(NamedTuple):
    """What `summaries` notes of a run."""

    events: int  # that are not deleted
    highest: int  # a local id that is not below any in the run
    signature: bytes | memoryview

    def encode(self) -> bytes:
        """Return the value of `summaries`."""
        return _SUMMARY.pack(self.events, self.highest) + bytes(self.signature)


def decode_summary(value: bytes | memoryview) -> Summary:
    """Decode a value of `summaries`; raises StoreDamaged if it is cut off."""
    try:
        events, highest = _SUMMARY.unpack_from(value)
    except struct.error as error:
        raise StoreDamaged(f"{shown(bytes(value))} is not the summary of a run") from error
    return Summary(events, highest, value[_SUMMARY.size :])


def commit_entry(lowest: int, end: bytes) -> bytes:
    """Return the value of `commits` for a run with this lowest local id and this key."""
    return encode_number(lowest) + end


def decode_commit(value: bytes) -> tuple[int, bytes]:
    """Return the lowest local id and the key of a run, from a value of `commits`."""
    return decode_number(value[:TIME]), value[TIME:]
