"""The index of ids in a write transaction: adding entries and removing them, group by group.

Rules: the caller gives entries in the order of their id keys. An entry whose id key is in the index
is added only if the caller says so, because it knows the ids.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from lmdbstore.errors import StoreDamaged, shown
from lmdbstore.records.ids import (
    ENTRY,
    GROUP,
    ID_KEY,
    LAST_GROUP,
    entries_in,
    groups_of,
    id_keys_in,
    keys_in,
    place_in,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lmdb import Cursor

    from .transaction import WriteTransaction

    # Whether an entry may be added, although the same id key leads to these timeline keys.
    MayAdd = Callable[[bytes, list[bytes]], bool]

__all__ = ["add_entries", "remove_entries"]

MANY = 8  # new entries in a group
_HIGHEST = b"\xff" * (ENTRY - ID_KEY)
_NO_GROUP = (LAST_GROUP, b"")


def add_entries(txn: WriteTransaction, entries: Sequence[bytes], may_add: MayAdd) -> None:
    """Add entries of ids, except those that may not be added.

    Raises:
        StoreDamaged: the index is damaged.
    """
    with txn.cursor(txn.databases.ids) as cursor:
        begin, number = 0, len(entries)
        while begin < number:
            entry = entries[begin]
            key, group = cursor.item() if cursor.set_range(entry[:ID_KEY]) else _NO_GROUP
            limit, stop = key + _HIGHEST, begin + 1
            while stop < number and entries[stop] <= limit:
                stop += 1
            if stop > begin + 1:
                added = _added(group, entries[begin:stop], may_add)
            else:  # a short path, for the usual case in a large store
                clashes = entry[:ID_KEY] in group
                added = _added(group, [entry], may_add) if clashes else group + entry
            begin = stop
            if len(added) == len(group):
                continue
            txn.changed = True
            if len(added) % ENTRY:
                raise StoreDamaged(f"entries of ids are cut off: {shown(group)}")
            if len(added) <= GROUP:
                _put(cursor, key, added)
            else:
                _put_divided(cursor, key, added)


def _added(group: bytes, new: Sequence[bytes], may_add: MayAdd) -> bytes:
    """Return a group with new entries."""
    if len(new) >= MANY:  # a short path, for ids of which none is there
        id_keys = {entry[:ID_KEY] for entry in new}
        if len(id_keys) == len(new) and id_keys.isdisjoint(id_keys_in(group)):
            return group + b"".join(new)
    added, clashing = list[bytes](), list[bytes]()
    before = b""
    for entry in new:
        id_key = entry[:ID_KEY]
        (clashing if id_key == before or id_key in group else added).append(entry)
        before = id_key
    group += b"".join(added)
    for entry in clashing:
        others = keys_in(group, entry[:ID_KEY])
        if not others or may_add(entry, others):
            group += entry
    return group


def _put_divided(cursor: Cursor[bytes], key: bytes, group: bytes) -> None:
    # In rising order, without the last group: at its end LMDB fills the pages of a tree.
    if cursor.set_key(key) and not cursor.delete():
        raise StoreDamaged("entries of ids were not removed")
    for each in groups_of(key, entries_in(group)):
        _put(cursor, *each, new=True)


def _put(cursor: Cursor[bytes], key: bytes, group: bytes, *, new: bool = False) -> None:
    if not cursor.put(key, group, overwrite=not new):
        raise StoreDamaged("two groups of ids have the same key")


def remove_entries(txn: WriteTransaction, entries: Sequence[bytes]) -> bytes | None:
    """Remove entries of ids; return one that was not there, if there is one."""
    txn.changed = True
    with txn.cursor(txn.databases.ids) as cursor:
        begin, number = 0, len(entries)
        while begin < number:
            key, left = cursor.item() if cursor.set_range(entries[begin][:ID_KEY]) else _NO_GROUP
            stop = bisect_right(entries, key + _HIGHEST, begin)
            for entry in entries[begin:stop]:
                place = left.find(entry)
                if place % ENTRY and (place := place_in(left, entry)) < 0:
                    return entry
                left = left[:place] + left[place + ENTRY :]
            begin = stop
            if left:
                _put(cursor, key, left)
            elif not cursor.delete():
                raise StoreDamaged("entries of ids were not removed")
    return None
