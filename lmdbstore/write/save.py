"""Saving events: one event, those of several callers together, or many at once.

Rules: a batch is sorted by index, so that pages fill in order and few calls of LMDB are needed:
each call releases the interpreter's lock, and must wait for it when other threads are busy. The ids
are written first: they show which ids are taken, and nothing else of those events is written. A
single event is put key by key, because a batch of one takes a third more instructions.
"""

from __future__ import annotations

from collections import defaultdict, deque
from itertools import groupby
from operator import add
from typing import TYPE_CHECKING, cast

from lmdbstore.contract.checking import checked, checked_columns
from lmdbstore.disk import format as fmt
from lmdbstore.errors import DuplicateEvent, StoreDamaged, shown
from lmdbstore.processes.write_set import all_added, one_added, united
from lmdbstore.read.runs import RUN

from .change import Change
from .sign import sign, unsign, unsigned_since

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lmdbstore.contract.checking import Columns
    from lmdbstore.errors import EventStoreException
    from lmdbstore.processes.write_set import Fields

    from .transaction import WriteTransaction

__all__ = ["Batch", "Save", "SaveMany", "apply_all"]

BATCH_EVENTS = 10_000  # events that `SaveMany` sorts and writes at once
# Records, or postings of one flag: appending this many fills their pages, and costs one seek.
WORTH_APPENDING = 8


class Batch:
    """Events that are sorted and written at once."""

    def __init__(self, rows: fmt.Rows) -> None:
        """Hold the encoded rows of the events."""
        self.rows = rows
        # All of these are made before the write lock is taken, because others wait for that: the
        # places of the events by id and by time, what is written in these orders, and for each flag
        # the places of the events that carry it. Local ids rise, so they change no order.
        self._by_id = sorted(range(len(rows.times)), key=rows.id_keys.__getitem__)
        self._ids = list(map(rows.id_keys.__getitem__, self._by_id))
        self._sort(rows.times)

    def _sort(self, keys: Sequence[bytes]) -> None:
        """Put records and postings into the order of the keys."""
        rows = self.rows
        self._by_time = sorted(range(len(keys)), key=keys.__getitem__)
        self._records = list(map(rows.records.__getitem__, self._by_time))
        self._postings: defaultdict[bytes, list[int]] = defaultdict(list)
        for place in self._by_time:
            for flag_key in rows.flag_keys[place]:
                self._postings[flag_key].append(place)

    def write_set(self, columns: Columns) -> Fields:
        """Return the write set of the events, whose fields these are."""
        first, last = self._by_time[0], self._by_time[-1]
        low, high = columns.timestamps[first], columns.timestamps[last]
        return all_added(self.rows.id_keys, low, high, set(columns.sources), self._postings)

    def keys(self, txn: WriteTransaction) -> list[bytes]:
        """Return the timeline keys that the events will get; no local id is used up yet."""
        first, times = txn.next_local_id, self.rows.times
        return list(map(add, times, map(fmt.encode_number, range(first, first + len(times)))))

    def write(self, txn: WriteTransaction, keys: list[bytes], *, append: bool = True) -> set[int]:
        """Write the events with a free id at these keys; return the places of the others.

        `append`: the local ids rise, and are the highest so far.
        """
        taken = self.claim(txn, keys)
        free = [place for place in range(len(keys)) if place not in taken] if taken else []
        if free:
            Batch(self.rows.at(free)).index(txn, [keys[place] for place in free], append=append)
        elif not taken:
            self.index(txn, keys, append=append)
        return taken

    def claim(self, txn: WriteTransaction, keys: list[bytes]) -> set[int]:
        """Write the free ids; return the places of the taken ones."""
        ids, id_keys = txn.databases.ids, self.rows.id_keys
        # By id and then by place, so that of two events with the same id the first gets it.
        entries = map(self.rows.id_entries(keys).__getitem__, self._by_id)
        items = list(zip(self._ids, entries, strict=True))
        if txn.put_many(ids, items) == len(items):
            return set()
        return {
            place
            for place, (id_key, key) in enumerate(zip(id_keys, keys, strict=True))
            if fmt.key_in(txn.get(ids, id_key) or b"") != key
        }

    def index(self, txn: WriteTransaction, keys: list[bytes], *, append: bool) -> None:
        """Write everything except the ids, which are written already."""
        if not append:  # local ids in any order decide between events of one time
            self._sort(keys)
        timeline = txn.databases.timeline
        in_order = map(keys.__getitem__, self._by_time)
        records = list(zip(in_order, self._records, strict=True))
        at_end = len(records) >= WORTH_APPENDING and records[0][0] > txn.last_key(timeline)
        _all_new(records, txn.put_many(timeline, records, append=at_end))
        unsign(txn, [key for key, _ in records])
        self._put_postings(txn, keys)
        commits = self.rows.commits(keys)
        _all_new(commits, txn.put_many(txn.databases.commits, commits, append=append))

    def _put_postings(self, txn: WriteTransaction, keys: list[bytes]) -> None:
        flags = txn.databases.flags
        few: list[tuple[bytes, bytes]] = []
        for flag_key, places in sorted(self._postings.items()):
            items = [(flag_key, keys[place]) for place in places]
            if len(items) < WORTH_APPENDING:
                few += items
            else:
                at_end = items[0][1] > txn.last_posting(flag_key)
                _all_new(items, txn.put_many(flags, items, append=at_end))
        _all_new(few, txn.put_many(flags, few))


class Save(Change):
    """Save one event."""

    def __init__(self, event: object) -> None:
        """Check and encode the event; raises InvalidEvent."""
        valid = checked(event)
        self.id, source, time, _, _ = valid
        self.row = row = fmt.encode(valid, fmt.TextKeys())
        self.writes = one_added(row.id_key, time, source, row.flag_keys)

    def apply(self, txn: WriteTransaction) -> EventStoreException | None:
        """See `Change.apply`."""
        databases, local_id = txn.databases, fmt.encode_number(txn.next_local_id)
        key, id_entry, commit_entry = self.row.placed(local_id)
        if not txn.claim(databases.ids, self.row.id_key, id_entry):
            return _duplicate(self.id)
        txn.put(databases.timeline, key, self.row.record)
        unsign(txn, [key])
        for flag_key in self.row.flag_keys:
            txn.put(databases.flags, flag_key, key)
        txn.put(databases.commits, local_id, commit_entry, append=True)
        txn.next_local_id += 1
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
    batch = Batch(fmt.Rows.of([save.row for save in saves]))
    taken = batch.write(txn, batch.keys(txn))
    if len(taken) < len(saves):  # the local ids of refused events are skipped
        txn.next_local_id += len(saves)
    return [_duplicate(save.id) if place in taken else None for place, save in enumerate(saves)]


class SaveMany(Change):
    """Save many events, all or none.

    They are written batch by batch in one transaction. A written batch is released, because its
    dirty pages take its place in memory. So this can be applied only once, except in a map that
    may grow: there it is applied again when the map has grown, and releases nothing.
    """

    alone = True

    def __init__(self, events: Iterable[object], *, signed: bool = True) -> None:
        """Check and encode the events; raises InvalidEvent and DuplicateEvent.

        `signed`: the runs that they fill get signatures.
        """
        self._signed = signed
        self._batches: deque[Batch] = deque()
        self.number = 0
        seen: set[bytes] = set()
        writes: list[Fields] = []
        flag_keys = fmt.TextKeys()  # flags repeat, so each is encoded once and shared
        for columns in checked_columns(events, BATCH_EVENTS):
            batch = Batch(fmt.encode_all(columns, flag_keys))
            self._batches.append(batch)
            writes.append(batch.write_set(columns))
            self.number += len(batch.rows.times)
            _check_new(seen, batch.rows.id_keys, columns.ids)
        if writes:
            self.writes = united(writes)

    def apply(self, txn: WriteTransaction) -> EventStoreException | None:
        """See `Change.apply`; raises DuplicateEvent, because some ids are written by then."""
        lowest = min((min(batch.rows.times) for batch in self._batches), default=b"")
        keep = txn.map_may_grow
        for _ in range(len(self._batches)):
            batch = self._batches.popleft()
            if keep:
                self._batches.append(batch)
            keys = batch.keys(txn)
            for place in batch.claim(txn, keys):
                raise _duplicate(fmt.decode_one(batch.rows.records[place]).id)
            batch.index(txn, keys, append=True)
            txn.next_local_id += len(keys)
        if self._signed and lowest and unsigned_since(txn) >= RUN:
            # The limit makes the time depend on its own events: the unsigned events of others are
            # signed little by little.
            sign(txn, lowest, 2 * self.number + RUN, whole=False)
        return None


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


def _all_new(items: list[tuple[bytes, bytes]], added: int) -> None:
    if added != len(items):
        raise StoreDamaged(
            f"{len(items) - added:,} of {len(items):,} new entries are in an index already"
        )
