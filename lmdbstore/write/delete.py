"""Deleting events: from the timeline and from every index, in one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmdbstore.disk import format as fmt
from lmdbstore.errors import EventNotFound, StoreDamaged, shown
from lmdbstore.processes.write_set import one_removed

from .change import Change

if TYPE_CHECKING:
    from lmdbstore.contract.event import Event
    from lmdbstore.errors import EventStoreException

    from .transaction import WriteTransaction

__all__ = ["Delete", "erase"]


class Delete(Change):
    """Delete one event."""

    frees = True

    def __init__(self, event_id: str) -> None:
        """Delete the event with this id."""
        self._id = event_id
        self._id_key = fmt.text_key(event_id)
        self.writes = one_removed(self._id_key)

    def apply(self, txn: WriteTransaction) -> EventStoreException | None:
        """See `Change.apply`."""
        databases = txn.databases
        entry = txn.get(databases.ids, self._id_key)
        if entry is None:
            return EventNotFound(f"there is no event with the id {shown(self._id)}")
        key = fmt.key_in(entry)
        record = txn.take(databases.timeline, key)
        if record is None:
            raise StoreDamaged(f"the id {shown(self._id)} is in an index, but its event is not")
        erase(txn, key, fmt.decode_found(entry, record, self._id))
        return None


def erase(txn: WriteTransaction, key: bytes, event: Event) -> None:
    """Remove an event from all indexes; its record is removed already."""
    databases = txn.databases
    txn.remove(databases.ids, fmt.text_key(event.id))
    for tag in event.tags:
        txn.remove(databases.flags, fmt.text_key(tag), key)
    txn.remove(databases.commits, fmt.local_id_of(key))
