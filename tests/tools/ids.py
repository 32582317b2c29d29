"""The index of ids as tests read and damage it: one entry at a time, by the id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lmdbstore.check import comparison, damaged_file, strays
from lmdbstore.read import one
from lmdbstore.records.ids import ID_KEY, LAST_GROUP, entries_in, id_entry, id_key, key_at, keys_in
from lmdbstore.write import delete, save

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pytest

    from lmdbstore.disk.databases import Databases

__all__ = ["all_entries", "drop_entry", "entry_of", "put_entry", "share_keys"]

USERS = save, delete, one, comparison, damaged_file, strays  # of id keys


def all_entries(groups: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return all id keys, with the timeline keys to which they lead."""
    entries = [entry for _, group in groups for entry in entries_in(group)]
    return sorted((entry[:ID_KEY], key_at(entry, 0)) for entry in entries)


def _group(txn: Any, databases: Databases, event_id: str) -> tuple[bytes, bytes, bytes]:
    wanted = id_key(event_id, databases.seed)
    with txn.cursor(db=databases.ids) as cursor:
        key, group = cursor.item() if cursor.set_range(wanted) else (LAST_GROUP, b"")
    return wanted, bytes(key), bytes(group)


def entry_of(txn: Any, databases: Databases, event_id: str) -> bytes | None:
    """Return the timeline key to which an id leads."""
    wanted, _, group = _group(txn, databases, event_id)
    return next(iter(keys_in(group, wanted)), None)


def drop_entry(txn: Any, databases: Databases, event_id: str) -> None:
    """Remove the entries of an id."""
    wanted, key, group = _group(txn, databases, event_id)
    if not group:
        return
    left = b"".join(entry for entry in entries_in(group) if not entry.startswith(wanted))
    assert txn.put(key, left, db=databases.ids) if left else txn.delete(key, db=databases.ids)


def put_entry(txn: Any, databases: Databases, event_id: str, where: bytes | None) -> None:
    """Let an id lead to a timeline key, or to the cut one, and nowhere else."""
    assert where is not None
    drop_entry(txn, databases, event_id)
    wanted, key, group = _group(txn, databases, event_id)
    entry = id_entry(wanted, where)
    assert txn.put(key, group + entry, db=databases.ids)


def share_keys(patch: pytest.MonkeyPatch, keys: int = 2) -> None:
    """Let all ids have one of so few id keys."""

    def few(event_id: str, seed: int) -> bytes:
        return (id_key(event_id, seed)[-1] % keys).to_bytes(ID_KEY, "big")

    for module in USERS:
        patch.setattr(module, "id_key", few)
    patch.setattr("tests.tools.indexes.id_key", few)
    patch.setattr(save, "id_keys", lambda ids, seed: [few(event_id, seed) for event_id in ids])
