"""What a save, a save of many and a delete do to the databases, inside a write transaction.

Rules: a change keeps all indexes in step with the records. Everything that the caller can be told
to be wrong is found before the first change (`apply` returns it), except by `SaveMany`, which is
always alone in its transaction. What `apply` raises ends the transaction.
"""

from __future__ import annotations

from collections import defaultdict, deque
from operator import add
from typing import TYPE_CHECKING, ClassVar

from . import format as fmt
from .errors import DuplicateEvent, EventNotFound, EventStoreException, StoreDamaged, shown
from .event import checked, checked_all

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .transaction import WriteTransaction

__all__ = ["Change", "Delete", "Save", "SaveMany"]

PART = 10_000  # events that `SaveMany` sorts and writes at once


class Change:
    """One caller's change, made and checked in the caller's thread."""

    alone: ClassVar[bool] = False  # whether it wants a transaction of its own

    def apply(self, txn: WriteTransaction) -> EventStoreException | None:
        """Carry it out; return why it cannot be done, with nothing changed."""
        raise NotImplementedError


class Save(Change):
    """Save one event."""

    def __init__(self, event: object) -> None:
        """Check and encode the event; raises InvalidEvent."""
        valid = checked(event)
        self._id = valid.id
        self._row = fmt.encode(valid, fmt.TextKeys())

    def apply(self, txn: WriteTransaction) -> EventStoreException | None:
        """See `Change.apply`."""
        time, id_key, flag_keys, record = self._row
        databases = txn.databases
        local_id = fmt.encode_number(txn.next_local_id)
        key = time + local_id
        if not txn.claim(databases.ids, id_key, key):
            return _duplicate(self._id)
        txn.put(databases.timeline, key, record)
        for flag_key in flag_keys:
            txn.put(databases.flags, flag_key, key)
        txn.put(databases.commits, local_id, time, append=True)
        txn.next_local_id += 1
        return None


class _Part:
    """Events of a `SaveMany` that are sorted and written at once."""

    def __init__(self) -> None:
        self.times: list[bytes] = []
        self.id_keys: list[bytes] = []
        self.records: list[bytes] = []
        # For each flag the events that carry it, by their place in the part.
        self.postings: defaultdict[bytes, list[int]] = defaultdict(list)

    def add(self, row: fmt.Row) -> None:
        time, id_key, flag_keys, record = row
        for flag_key in flag_keys:
            self.postings[flag_key].append(len(self.times))
        self.times.append(time)
        self.id_keys.append(id_key)
        self.records.append(record)

    def save(self, txn: WriteTransaction) -> None:
        first = txn.next_local_id
        local_ids = [fmt.encode_number(first + n) for n in range(len(self.times))]
        keys = list(map(add, self.times, local_ids))
        self._put_ids(txn, keys)
        self._put_records(txn, keys)
        self._put_postings(txn, keys)
        commits = list(zip(local_ids, self.times, strict=True))
        _all_new(commits, txn.put_many(txn.databases.commits, commits, append=True))
        txn.next_local_id = first + len(keys)

    def _put_ids(self, txn: WriteTransaction, keys: list[bytes]) -> None:
        items = sorted(zip(self.id_keys, keys, strict=True))
        if txn.put_many(txn.databases.ids, items) == len(items):
            return
        for id_key, key, record in zip(self.id_keys, keys, self.records, strict=True):
            if txn.get(txn.databases.ids, id_key) != key:
                raise _duplicate(fmt.decode_one(record).id)

    def _put_records(self, txn: WriteTransaction, keys: list[bytes]) -> None:
        items = sorted(zip(keys, self.records, strict=True))
        timeline = txn.databases.timeline
        append = items[0][0] > txn.last_key(timeline)
        _all_new(items, txn.put_many(timeline, items, append=append))

    def _put_postings(self, txn: WriteTransaction, keys: list[bytes]) -> None:
        for flag_key, places in sorted(self.postings.items()):
            members = sorted([keys[place] for place in places])
            append = members[0] > txn.last_posting(flag_key)
            items = [(flag_key, key) for key in members]
            _all_new(items, txn.put_many(txn.databases.flags, items, append=append))


class SaveMany(Change):
    """Save many events, all or none.

    They are written part by part in one transaction, each part sorted by index so that pages are
    filled in order. What is written is let go of: the pages that it makes dirty take its place in
    memory. So it can be applied once.
    """

    alone = True

    def __init__(self, events: Iterable[object]) -> None:
        """Check and encode the events; raises InvalidEvent and DuplicateEvent."""
        self._parts: deque[_Part] = deque()
        self.number = 0
        seen: set[bytes] = set()
        flag_keys = fmt.TextKeys()  # flags repeat: each is encoded once, and shared
        for valid in checked_all(events):
            row = fmt.encode(valid, flag_keys)
            seen.add(row[1])
            if len(seen) == self.number:
                raise DuplicateEvent(
                    f"id: {shown(valid.id)} comes twice among the events; nothing was saved"
                )
            if self.number % PART == 0:
                self._parts.append(_Part())
            self._parts[-1].add(row)
            self.number += 1

    def apply(self, txn: WriteTransaction) -> EventStoreException | None:
        """See `Change.apply`; a duplicate is found when some ids are written, so this raises it."""
        while self._parts:
            self._parts.popleft().save(txn)
        return None


class Delete(Change):
    """Delete one event."""

    def __init__(self, event_id: str) -> None:
        """Delete the event with this id."""
        self._id = event_id
        self._id_key = fmt.text_key(event_id)

    def apply(self, txn: WriteTransaction) -> EventStoreException | None:
        """See `Change.apply`."""
        databases = txn.databases
        if txn.get(databases.ids, self._id_key) is None:
            return EventNotFound(f"there is no event with the id {shown(self._id)}")
        key = txn.take(databases.ids, self._id_key) or b""
        record = txn.take(databases.timeline, key)
        if record is None:
            raise StoreDamaged(f"the id {shown(self._id)} stands in an index, but not its event")
        for tag in fmt.decode_one(record).tags:
            txn.remove(databases.flags, fmt.text_key(tag), key)
        txn.remove(databases.commits, key[8:])
        return None


def _duplicate(event_id: str) -> DuplicateEvent:
    return DuplicateEvent(
        f"id: {shown(event_id)} is in the store already; the stored event is untouched"
    )


def _all_new(items: list[tuple[bytes, bytes]], added: int) -> None:
    if added != len(items):
        raise StoreDamaged(
            f"{len(items) - added:,} of {len(items):,} new entries stand in an index already"
        )
