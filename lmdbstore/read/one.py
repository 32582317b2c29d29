"""Reading one event by its id or its timeline key, inside a transaction, checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lmdbstore.disk.keys import encode_time, time_of
from lmdbstore.errors import StoreDamaged, shown
from lmdbstore.records.decoding import event_in
from lmdbstore.records.ids import ENTRY, id_key, key_at, place_in
from lmdbstore.records.record import checked_record, decode_one
from lmdbstore.records.run import Run, positions

if TYPE_CHECKING:
    from lmdb import Transaction

    from lmdbstore.contract.event import Event
    from lmdbstore.disk.databases import Databases

__all__ = ["event_at", "key_of", "located"]


def located(
    txn: Transaction[Any], databases: Databases, event_id: str
) -> tuple[bytes, Event] | None:
    """Return the event with an id, after its timeline key; None if there is none.

    Raises:
        StoreDamaged: it is not what was written, or the index of ids is not.
    """
    wanted = id_key(event_id, databases.seed)
    cursor = txn.cursor(databases.ids)
    if not cursor.set_range(wanted):
        return None
    group = bytes(cursor.value())
    place = group.find(wanted)
    if place % ENTRY:  # a short path: almost always it is there, and not across two entries
        place = place_in(group, wanted)
    while place >= 0:
        key = key_at(group, place)
        event = event_at(txn, databases, key)
        if event is None:
            raise StoreDamaged(f"the id {shown(event_id)} is in an index, but its event is not")
        if event.id == event_id:
            return key, event
        if id_key(event.id, databases.seed) != wanted:
            raise StoreDamaged(f"the id {shown(event_id)} leads to the event {shown(event.id)}")
        place = place_in(group, wanted, place + 1)
    if len(group) % ENTRY:
        raise StoreDamaged(f"entries of ids are cut off; {shown(event_id)} was looked for there")
    return None


def key_of(txn: Transaction[Any], databases: Databases, event_id: str) -> bytes | None:
    """Return the timeline key of the event with an id, or None; raises StoreDamaged.

    `located` may find an event by the local id alone, whatever time the index of ids has.
    """
    found = located(txn, databases, event_id)
    if found is None:
        return None
    key, event = found
    if time_of(key) != encode_time(event.timestamp):
        raise StoreDamaged(f"the id {shown(event_id)} leads to another time than its event has")
    return key


def event_at(txn: Transaction[Any], databases: Databases, key: bytes) -> Event | None:
    """Return the event at a timeline key, live or sealed; None if there is none.

    The record of the event is checked, and the front of its run where its slot is looked for.

    Raises:
        StoreDamaged: it is not what was written.
    """
    cursor = txn.cursor(databases.runs)
    if cursor.set_range(key):
        end, value = cursor.item()
        # A damaged index of ids may lead to an event that was deleted.
        dead = txn.get(end, None, databases.dead)
        if dead is None and (event := event_in(value, key)) is not None:
            return event
        run = Run(bytes(end), value)
        run.check_front()
        slot = run.slot_of(key)
        if slot >= 0:
            gone = dead is not None and slot in positions(bytes(dead))
            return None if gone else run.event(slot)
    value = txn.get(key, db=databases.live)
    return None if value is None else decode_one(checked_record(value))
