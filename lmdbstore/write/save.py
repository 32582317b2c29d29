"""Saving events: one event, those of several callers together, or many at once.

Rules: a batch is sorted by index, so that pages fill in order and few calls of LMDB are needed:
each call releases the interpreter's lock, and must wait for it when other threads are busy. The ids
are written first: they show which ids are taken, and nothing else of those events is written. A
single event is put key by key, because a batch of one takes a third more instructions.
"""

from __future__ import annotations

from collections import deque
from itertools import chain, groupby
from operator import add, le
from typing import TYPE_CHECKING, cast

from lmdbstore.contract.checking import checked, checked_columns
from lmdbstore.disk import format as fmt
from lmdbstore.errors import DuplicateEvent, shown
from lmdbstore.processes.write_set import all_added, one_added, united
from lmdbstore.records.events import new_events
from lmdbstore.records.named import NamedText, encode_named
from lmdbstore.records.record import Rows, TermKeys, decode_headers, encode, encode_all

from .change import Change
from .damage import place_or_keep, seal_unless_damaged

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from lmdbstore.errors import EventStoreException
    from lmdbstore.processes.write_set import Fields
    from lmdbstore.records.events import Events

    from .transaction import WriteTransaction

__all__ = ["Batch", "Save", "SaveMany", "apply_all"]

BATCH_EVENTS = 10_000  # events that `SaveMany` sorts and writes at once


class Batch:
    """Events that are written at once."""

    def __init__(self, rows: Rows) -> None:
        """Hold the encoded rows of the events."""
        self.rows = rows
        # Sorted before the write lock is taken, because others wait for that.
        self._by_id = sorted(range(len(rows.times)), key=rows.id_keys.__getitem__)
        self._ids = list(map(rows.id_keys.__getitem__, self._by_id))
        self._by_time: list[int] | None = None  # if they are in another order
        self._in_order = rows
        if not all(map(le, rows.times, rows.times[1:])):
            self._by_time = sorted(range(len(rows.times)), key=rows.times.__getitem__)
            self._in_order = rows.at(self._by_time)

    def write_set(self) -> Fields:
        """Return the write set of the events."""
        rows = self.rows
        terms = set(chain.from_iterable(rows.terms))
        return all_added(rows.id_keys, min(rows.seconds), max(rows.seconds), terms)

    def keys(self, txn: WriteTransaction) -> list[bytes]:
        """Return the timeline keys that the events will get; no local id is used up yet."""
        first, times = txn.next_local_id, self.rows.times
        return list(map(add, times, map(fmt.encode_number, range(first, first + len(times)))))

    def events(self, keys: list[bytes]) -> Events:
        """Return the events with these timeline keys, in time order."""
        if self._by_time is not None:
            keys = list(map(keys.__getitem__, self._by_time))
        return new_events(self._in_order, keys)

    def write(self, txn: WriteTransaction, keys: list[bytes]) -> set[int]:
        """Write the events with a free id at these keys; return the places of the others."""
        taken = self.claim(txn, keys)
        if not taken:
            place_or_keep(txn, self.events(keys))
        elif len(taken) < len(keys):
            free = [place for place in range(len(keys)) if place not in taken]
            place_or_keep(txn, new_events(self.rows.at(free), [keys[place] for place in free]))
        return taken

    def claim(self, txn: WriteTransaction, keys: list[bytes]) -> set[int]:
        """Write the free ids; return the places of the taken ones."""
        ids, id_keys = txn.databases.ids, self.rows.id_keys
        # By id and then by place, so that of two events with the same id the first gets it.
        items = list(zip(self._ids, map(keys.__getitem__, self._by_id), strict=True))
        if txn.put_many(ids, items) == len(items):
            return set()
        return {
            place
            for place, (id_key, key) in enumerate(zip(id_keys, keys, strict=True))
            if txn.get(ids, id_key) != key
        }


class Save(Change):
    """Save one event."""

    def __init__(self, event: object) -> None:
        """Check and encode the event; raises InvalidEvent."""
        valid = checked(event)
        self.id = valid.id
        self.row = row = encode(valid, TermKeys())
        self._value = row.value
        self.writes = one_added(row.id_key, row.seconds, row.terms)

    def apply(self, txn: WriteTransaction) -> EventStoreException | None:
        """See `Change.apply`."""
        databases = txn.databases
        key = fmt.join_key(self.row.time, fmt.encode_number(txn.next_local_id))
        if not txn.claim(databases.ids, self.row.id_key, key):
            return _duplicate(self.id)
        txn.put(databases.live, key, self._value)
        for term in self.row.terms:
            txn.put(databases.postings, term, key)
        txn.next_local_id += 1
        seal_unless_damaged(txn)
        return None


def apply_all(txn: WriteTransaction, changes: Sequence[Change]) -> list[EventStoreException | None]:
    """Carry out the changes of several callers in their order; return the result of each `apply`.

    Consecutive saves are one batch.
    """
    outcomes: list[EventStoreException | None] = []
    for are_saves, group in groupby(changes, lambda change: isinstance(change, Save)):
        members = list(group)
        if are_saves and len(members) > 1:
            outcomes += _save_all(txn, cast("list[Save]", members))
        else:
            outcomes += [change.apply(txn) for change in members]
    return outcomes


def _save_all(txn: WriteTransaction, saves: list[Save]) -> list[EventStoreException | None]:
    batch = Batch(Rows.of([save.row for save in saves]))
    taken = batch.write(txn, batch.keys(txn))
    if len(taken) < len(saves):  # the local ids of refused events are skipped
        txn.next_local_id += len(saves)
    return [_duplicate(save.id) if place in taken else None for place, save in enumerate(saves)]


class SaveMany(Change):
    """Save many events and a checkpoint, all or nothing.

    They are written batch by batch in one transaction. A written batch is released, because its
    dirty pages take its place in memory. So this can be applied only once, except in a map that
    may grow: there it is applied again when the map has grown, and releases nothing.
    """

    alone = True

    def __init__(self, events: Iterable[object], checkpoint: tuple[str, str] | None = None) -> None:
        """Check and encode the events; raises InvalidEvent and DuplicateEvent."""
        self._checkpoint = None if checkpoint is None else NamedText(*checkpoint)
        self._batches: deque[Batch] = deque()
        self.number = 0
        seen: set[bytes] = set()
        writes: list[Fields] = []
        keys = TermKeys()  # terms repeat, so each is encoded once and shared
        for columns in checked_columns(events, BATCH_EVENTS):
            batch = Batch(encode_all(columns, keys))
            self._batches.append(batch)
            writes.append(batch.write_set())
            self.number += len(batch.rows.times)
            _check_new(seen, batch.rows.id_keys, columns.ids)
        if writes:
            self.writes = united(writes)

    def apply(self, txn: WriteTransaction) -> EventStoreException | None:
        """See `Change.apply`; raises DuplicateEvent, because some ids are written by then."""
        for batch in self._each(keep=txn.map_may_grow):
            keys = batch.keys(txn)
            for taken in batch.claim(txn, keys):
                raise _duplicate(decode_headers([batch.rows.headers[taken]]).ids[0])
            place_or_keep(txn, batch.events(keys))
            txn.next_local_id += len(keys)
        if self._checkpoint is not None:
            value = encode_named(self._checkpoint)
            txn.set(txn.databases.checkpoints, self._checkpoint.key, value)
        return None

    def _each(self, *, keep: bool) -> Iterator[Batch]:
        """Yield the batches in their order, and release each before the next unless `keep`."""
        if keep:
            yield from tuple(self._batches)
        else:
            while self._batches:
                yield self._batches.popleft()


def _check_new(seen: set[bytes], id_keys: Sequence[bytes], ids: Sequence[str]) -> None:
    """Note the ids as seen; raise DuplicateEvent if one of them was seen before."""
    before = len(seen)
    known = seen.intersection(id_keys)
    seen.update(id_keys)
    if len(seen) == before + len(id_keys):
        return
    for id_key, event_id in zip(id_keys, ids, strict=True):
        if id_key in known:
            raise DuplicateEvent(
                f"id: {shown(event_id)} occurs twice among the events; nothing was saved"
            )
        known.add(id_key)


def _duplicate(event_id: str) -> DuplicateEvent:
    return DuplicateEvent(
        f"id: {shown(event_id)} is in the store already; the stored event is untouched"
    )
