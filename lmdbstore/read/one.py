"""Reading one event by its timeline key, inside a read transaction, checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lmdbstore.records.decoding import event_in
from lmdbstore.records.record import checked_record, decode_one
from lmdbstore.records.run import Run, positions

if TYPE_CHECKING:
    from lmdb import Transaction

    from lmdbstore.contract.event import Event
    from lmdbstore.disk.databases import Databases

__all__ = ["event_at"]


def event_at(txn: Transaction[Any], databases: Databases, key: bytes) -> Event | None:
    """Return the event at a timeline key, live or sealed; None if there is none.

    The record of the event is checked, and the front of its run where its slot is looked for.

    Raises:
        StoreDamaged: it is not what was written.
    """
    cursor = txn.cursor(databases.runs)
    if cursor.set_range(key):
        end, value = bytes(cursor.key()), cursor.value()
        # A damaged index of ids may lead to an event that was deleted.
        dead = txn.get(end, db=databases.dead)
        if dead is None and (event := event_in(value, key)) is not None:
            return event
        run = Run(end, value)
        run.check_front()
        slot = run.slot_of(key)
        if slot >= 0:
            gone = dead is not None and slot in positions(bytes(dead))
            return None if gone else run.event(slot)
    value = txn.get(key, db=databases.live)
    return None if value is None else decode_one(checked_record(value))
