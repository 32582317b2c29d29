"""The index of ids as bytes: id keys, their entries, and groups of entries; see `disk.format`."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

from xxhash import xxh3_64_digest, xxh3_64_hexdigest

from lmdbstore.disk.keys import text_bytes
from lmdbstore.errors import StoreDamaged, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "ENTRY",
    "GROUP",
    "ID_KEY",
    "LAST_GROUP",
    "entries_in",
    "entry_at",
    "groups_of",
    "id_entry",
    "id_key",
    "id_keys",
    "id_keys_in",
    "key_at",
    "keys_in",
    "local_ids_in",
    "place_in",
]

ID_KEY = 7  # bytes of the key of an id
ENTRY = ID_KEY + 14  # bytes of an entry: with a timeline key, without the two highest of its 16
GROUP = 31 * ENTRY  # bytes of a group, at most; six of them fill a page of 4 KiB
LAST_GROUP = b"\xff" * ID_KEY  # the key of the last group
UUID_TEXT = 36  # characters
OF_LINE, FILE = 24, 16  # characters of the id of a line, and of those that name its file
NUMBER = 4  # bytes of the number of a line


def id_key(event_id: str, seed: int) -> bytes:
    """Return the key of an id, in the store with this seed."""
    if len(event_id) == UUID_TEXT and event_id[14] == "7":
        try:
            chance = xxh3_64_hexdigest(event_id.encode(), seed)
            key = bytes.fromhex(event_id[3:8] + event_id[9:13] + chance[:5])
        except ValueError:  # not a UUID
            key = b""
        if len(key) == ID_KEY:  # it passes over spaces
            return key
    if len(event_id) == OF_LINE:
        try:
            file = xxh3_64_digest(event_id[:FILE].encode(), seed)[:3]
            key = file + bytes.fromhex(event_id[FILE:])
        except ValueError:  # other text
            key = b""
        if len(key) == ID_KEY:
            return key
    text = event_id.encode() if event_id.isascii() else text_bytes(event_id)
    return xxh3_64_digest(text, seed)[:ID_KEY]


def id_keys(ids: Sequence[str], seed: int) -> list[bytes]:
    """Return the keys of many ids, as `id_key` does each of them."""
    return _keys_of_lines(ids, seed) or [id_key(event_id, seed) for event_id in ids]


def _keys_of_lines(ids: Sequence[str], seed: int) -> list[bytes]:
    """Return the keys of ids of lines of one file; nothing if some are others."""
    if set(map(len, ids)) != {OF_LINE}:
        return []
    joined, file = "".join(ids), ids[0][:FILE]
    if any(joined[n::OF_LINE] != file[n] * len(ids) for n in range(FILE)):
        return []
    try:
        numbers = bytes.fromhex("".join([event_id[FILE:] for event_id in ids]))
    except ValueError:  # other text
        return []
    if len(numbers) != NUMBER * len(ids):  # it passes over spaces
        return []
    key = xxh3_64_digest(file.encode(), seed)[: ID_KEY - NUMBER]
    return [key + numbers[at : at + NUMBER] for at in range(0, len(numbers), NUMBER)]


def id_entry(id_key: bytes, key: bytes) -> bytes:
    """Return the entry that leads from the key of an id to a timeline key."""
    return id_key + key[:8] + key[10:]


def key_at(group: bytes, place: int) -> bytes:
    """Return the timeline key in the entry at a place of a group."""
    return group[place + 7 : place + 15] + b"\0\0" + group[place + 15 : place + 21]


def place_in(group: bytes, begins: bytes, after: int = 0) -> int:
    """Return the first place in a group, from `after` on, of an entry that begins so, or -1."""
    place = group.find(begins, after)
    while place > 0 and place % ENTRY:
        place = group.find(begins, place + 1)
    return place


def keys_in(group: bytes, id_key: bytes) -> list[bytes]:
    """Return the timeline keys to which the entries of an id key lead."""
    keys, place = list[bytes](), place_in(group, id_key)
    while place >= 0:
        if len(group) >= place + ENTRY:
            keys.append(key_at(group, place))
        place = place_in(group, id_key, place + ENTRY)
    return keys


def entry_at(group: bytes, place: int) -> bytes:
    """Return the entry at a place of a group."""
    return group[place : place + ENTRY]


def entries_in(group: bytes) -> list[bytes]:
    """Return the entries of a group; raises StoreDamaged if one is cut off."""
    if len(group) % ENTRY:
        raise StoreDamaged(f"entries of ids are cut off: {shown(group)}")
    return [group[place : place + ENTRY] for place in range(0, len(group), ENTRY)]


def id_keys_in(group: bytes) -> list[bytes]:
    """Return the id keys of the entries of a group, which may be cut off."""
    return [group[place : place + ID_KEY] for place in range(0, len(group), ENTRY)]


def local_ids_in(group: bytes) -> list[int]:
    """Return the local ids of the entries of a group, which may be cut off."""
    places = range(0, len(group) - ENTRY + 1, ENTRY)
    return [int.from_bytes(group[place + ENTRY - 6 : place + ENTRY]) for place in places]


def groups_of(last: bytes, entries: Iterable[bytes]) -> list[tuple[bytes, bytes]]:
    """Divide entries into groups; `last` is the key of the last one.

    At the end of the index they are full, as keys that rise in time are added there.
    """
    rest = sorted(entries)
    size = GROUP // ENTRY
    if last != LAST_GROUP:
        size = -(-len(rest) // -(-len(rest) // size))
    groups: list[tuple[bytes, bytes]] = []
    begin = 0
    while begin < len(rest):
        stop = min(begin + size, len(rest))
        if stop < len(rest):
            stop = _between_keys(rest, begin, stop)
        key = last if stop == len(rest) else rest[stop - 1][:ID_KEY]
        groups.append((key, b"".join(rest[begin:stop])))
        begin = stop
    return groups


def _between_keys(entries: list[bytes], begin: int, stop: int) -> int:
    """Return `stop`, or the nearest place where another id key begins: one group has all of one."""
    id_key = entries[stop][:ID_KEY]
    low = bisect_left(entries, id_key, begin)
    if low > begin:
        return low
    return bisect_right(entries, id_key + b"\xff" * ENTRY, stop)
