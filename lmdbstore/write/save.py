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
from lmdbstore.contract.types import SaveResult
from lmdbstore.disk import format as fmt
from lmdbstore.errors import DuplicateEvent, StoreDamaged, shown
from lmdbstore.patterns.made import RUN
from lmdbstore.processes.write_set import all_added, all_replaced, one_added, united
from lmdbstore.records.events import new_events
from lmdbstore.records.ids import id_entry, id_key, id_keys, key_at
from lmdbstore.records.named import NamedText, encode_named
from lmdbstore.records.record import Rows, TermKeys, encode, encode_all

from .change import Change
from .damage import place_or_keep, seal_unless_damaged
from .delete import erase
from .ids import add_entries

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from lmdbstore.contract.types import OnDuplicate
    from lmdbstore.errors import EventStoreException
    from lmdbstore.processes.write_set import Fields
    from lmdbstore.records.events import Events

    from .transaction import WriteTransaction

    Taken = dict[int, EventStoreException]  # by the places of events that are not written

__all__ = ["SAVES", "Batch", "Replace", "Save", "SaveMany", "apply_all"]

BATCH_EVENTS = 20 * RUN  # events that `SaveMany` sorts and writes at once


class Batch:
    """Events that are written at once."""

    def __init__(self, rows: Rows, seed: int) -> None:
        """Hold the encoded rows of the events; `seed` is that of the store."""
        self.rows = rows
        # Sorted before the write lock is taken, because others wait for that.
        self._sort_ids(seed)
        self._by_time: list[int] | None = None  # if they are in another order
        self._in_order = rows
        if not all(map(le, rows.times, rows.times[1:])):
            self._by_time = sorted(range(len(rows.times)), key=rows.times.__getitem__)
            self._in_order = rows.at(self._by_time)

    def _sort_ids(self, seed: int) -> None:
        """Sort by id key and then by place: of two events with the same id the first gets it."""
        self._seed = seed
        keys = id_keys(self.rows.ids, seed)
        self._by_id = sorted(range(len(keys)), key=keys.__getitem__)
        self._id_keys = list(map(keys.__getitem__, self._by_id))

    def write_set(self) -> Fields:
        """Return the write set of the events."""
        rows = self.rows
        terms = set(chain.from_iterable(rows.terms))
        return all_added(rows.ids, min(rows.seconds), max(rows.seconds), terms)

    def keys(self, txn: WriteTransaction) -> list[bytes]:
        """Return the timeline keys that the events will get; no local id is used up yet."""
        first, times = txn.next_local_id, self.rows.times
        return list(map(add, times, fmt.encode_numbers(range(first, first + len(times)))))

    def events(self, keys: list[bytes]) -> Events:
        """Return the events with these timeline keys, in time order."""
        if self._by_time is not None:
            keys = list(map(keys.__getitem__, self._by_time))
        return new_events(self._in_order, keys)

    def write(self, txn: WriteTransaction, keys: list[bytes]) -> Taken:
        """Write the events with a free id at these keys; return the others."""
        taken = self.claim(txn, keys)
        if not taken:
            place_or_keep(txn, self.events(keys))
        elif len(taken) < len(keys):
            free = [place for place in range(len(keys)) if place not in taken]
            place_or_keep(txn, new_events(self.rows.at(free), [keys[place] for place in free]))
        return taken

    def claim(self, txn: WriteTransaction, keys: list[bytes]) -> Taken:
        """Write the free ids; return the others."""
        claims = _Claims(txn, self.rows.ids, keys)
        add_entries(txn, self._entries(txn, keys), claims.may_add)
        return claims.taken

    def take_over(self, txn: WriteTransaction, keys: list[bytes]) -> list[bytes]:
        """Write all ids, each once in the batch; return the keys of stored events that have them.

        The caller erases those.
        """
        ids = dict(zip(keys, self.rows.ids, strict=True))
        stored: list[bytes] = []

        def note(entry: bytes, _: list[bytes]) -> bool:
            key = txn.located(ids[key_at(entry, 0)])
            if key is not None:
                stored.append(key)
            return True

        add_entries(txn, self._entries(txn, keys), note)
        return sorted(stored)

    def _entries(self, txn: WriteTransaction, keys: list[bytes]) -> list[bytes]:
        if txn.databases.seed != self._seed:  # repaired since, with this process forked in between
            self._sort_ids(txn.databases.seed)
        return list(map(id_entry, self._id_keys, map(keys.__getitem__, self._by_id)))


class _Claims:
    """Decides about events whose id key is in the index already, by the ids themselves."""

    def __init__(self, txn: WriteTransaction, ids: Sequence[str], keys: Sequence[bytes]) -> None:
        """Decide about events with these ids and timeline keys, which are not written yet."""
        self.taken: Taken = {}
        self._txn = txn
        self._ids = ids
        self._keys = keys
        self._places: dict[bytes, int] = {}  # by timeline key; made when the first one is needed

    def may_add(self, entry: bytes, others: list[bytes]) -> bool:
        """Whether the event of an entry may be written, although its id key leads to others."""
        if not self._places:
            self._places = {key: place for place, key in enumerate(self._keys)}
        place = self._places[key_at(entry, 0)]
        event_id = self._ids[place]
        try:
            if not self._is_there(event_id, others):
                return True
            self.taken[place] = _duplicate(event_id)
        except StoreDamaged as error:  # its frames refer to LMDB's transaction
            self.taken[place] = StoreDamaged(*error.args)
        return False

    def _is_there(self, event_id: str, others: list[bytes]) -> bool:
        places = [self._places[key] for key in others if key in self._places]
        if event_id in [self._ids[place] for place in places]:
            return True
        return len(places) < len(others) and self._txn.located(event_id) is not None


class Save(Change):
    """Save one event."""

    def __init__(self, event: object) -> None:
        """Check and encode the event; raises InvalidEvent."""
        valid = checked(event)
        self.row = row = encode(valid, TermKeys())
        self._value = row.value
        self.writes = one_added(row.id, row.seconds, row.terms)

    def apply(self, txn: WriteTransaction) -> EventStoreException | None:
        """See `Change.apply`."""
        databases = txn.databases
        key = fmt.join_key(self.row.time, fmt.encode_number(txn.next_local_id))
        claims = _Claims(txn, [self.row.id], [key])
        entry = id_entry(id_key(self.row.id, databases.seed), key)
        add_entries(txn, [entry], claims.may_add)
        if claims.taken:
            return claims.taken[0]
        txn.put(databases.live, key, self._value)
        for term in self.row.terms:
            txn.put(databases.postings, term, key)
        txn.next_local_id += 1
        seal_unless_damaged(txn)
        return None


class Replace(Change):
    """Save one event in the place of the one with its id, if there is one."""

    def __init__(self, event: object) -> None:
        """Check and encode the event; raises InvalidEvent."""
        self._save = Save(event)
        self.writes = all_replaced(self._save.writes)

    def apply(self, txn: WriteTransaction) -> EventStoreException | None:
        """See `Change.apply`."""
        stored = txn.located(self._save.row.id)
        if stored is not None:
            erase(txn, [stored])
        return self._save.apply(txn)


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
    batch = Batch(Rows.of([save.row for save in saves]), txn.databases.seed)
    taken = batch.write(txn, batch.keys(txn))
    if len(taken) < len(saves):  # the local ids of refused events are skipped
        txn.next_local_id += len(saves)
    return list(map(taken.get, range(len(saves))))


class SaveMany(Change):
    """Save many events with new ids, and checkpoints.

    A written batch is released, because its dirty pages take its place in memory. So this can be
    applied only once, except in a map that may grow: there it is applied again when the map has
    grown, and releases nothing.
    """

    alone = True

    def __init__(
        self, events: Iterable[object], seed: int, checkpoints: Mapping[str, str] | None = None
    ) -> None:
        """Check and encode the events; raises InvalidEvent, and DuplicateEvent."""
        self._checkpoints = [NamedText(*pair) for pair in (checkpoints or {}).items()]
        self._batches: deque[Batch] = deque()
        self._given = self._chosen = 0  # events
        self._known = 0  # chosen events whose ids were there, when this was applied last
        seen: set[str] = set()
        writes: list[Fields] = []
        keys = TermKeys()  # terms repeat, so each is encoded once and shared
        for columns in checked_columns(events, BATCH_EVENTS):
            batch = Batch(self._choose(encode_all(columns, keys), seen), seed)
            self._batches.append(batch)
            writes.append(batch.write_set())
            self._given += len(columns.ids)
            self._chosen += len(batch.rows.ids)
        if writes:
            self.writes = self._write_set(united(writes))

    def apply(self, txn: WriteTransaction) -> EventStoreException | None:
        """See `Change.apply`; raises it, because some ids are written by then."""
        self._known = 0
        for batch in self._each(keep=txn.map_may_grow):
            self._known += self._write(txn, batch, batch.keys(txn))
        for checkpoint in self._checkpoints:
            txn.set(txn.databases.checkpoints, checkpoint.key, encode_named(checkpoint))
        return None

    def _each(self, *, keep: bool) -> Iterator[Batch]:
        """Yield the batches in their order, and release each before the next unless `keep`."""
        if keep:
            yield from tuple(self._batches)
        else:
            while self._batches:
                yield self._batches.popleft()

    @property
    def result(self) -> SaveResult:
        """What was done; known when this is committed."""
        return SaveResult(self._given)

    @property
    def duplicates(self) -> int:
        """How many of the events given had an id that was there, in the store or before them."""
        return self._given - self._chosen + self._known

    def _choose(self, rows: Rows, seen: set[str]) -> Rows:
        """Return the events of a batch that are to be written.

        `seen` has the ids of the batches before.
        """
        _check_new(seen, rows.ids)
        return rows

    def _write_set(self, added: Fields) -> Fields:
        """Return the write set; `added` is that of the events."""
        return added

    def _write(self, txn: WriteTransaction, batch: Batch, keys: list[bytes]) -> int:
        """Write a batch at these keys; return how many of its ids were there."""
        for error in batch.claim(txn, keys).values():
            raise error
        place_or_keep(txn, batch.events(keys))
        txn.next_local_id += len(keys)
        return 0


class SaveMissing(SaveMany):
    """Save those of many events whose ids are new; of those with one id the first."""

    @property
    def result(self) -> SaveResult:
        """See `SaveMany.result`."""
        return SaveResult(self._given - self.duplicates, ignored=self.duplicates)

    def _choose(self, rows: Rows, _: set[str]) -> Rows:
        return rows  # the first event gets the id: see `Batch`

    def _write(self, txn: WriteTransaction, batch: Batch, keys: list[bytes]) -> int:
        taken = batch.write(txn, keys)
        for error in taken.values():
            if not isinstance(error, DuplicateEvent):
                raise error
        txn.next_local_id += len(keys)  # those of ignored events are skipped
        return len(taken)


class SaveOver(SaveMany):
    """Save many events, of those with one id the last; erase the stored ones with these ids."""

    @property
    def result(self) -> SaveResult:
        """See `SaveMany.result`."""
        return SaveResult(self._given - self.duplicates, replaced=self.duplicates)

    def _choose(self, rows: Rows, _: set[str]) -> Rows:
        last = {event_id: place for place, event_id in enumerate(rows.ids)}
        return rows if len(last) == len(rows.ids) else rows.at(sorted(last.values()))

    def _write_set(self, added: Fields) -> Fields:
        return all_replaced(added)

    def _write(self, txn: WriteTransaction, batch: Batch, keys: list[bytes]) -> int:
        stored = batch.take_over(txn, keys)
        if stored:
            erase(txn, stored)
        place_or_keep(txn, batch.events(keys))
        txn.next_local_id += len(keys)
        return len(stored)


SAVES: dict[OnDuplicate, type[SaveMany]] = {
    "raise": SaveMany,
    "ignore": SaveMissing,
    "replace": SaveOver,
}


def _check_new(seen: set[str], ids: Sequence[str]) -> None:
    """Note the ids as seen; raise DuplicateEvent if one of them was seen before."""
    before = len(seen)
    known = seen.intersection(ids)
    seen.update(ids)
    if len(seen) == before + len(ids):
        return
    for event_id in ids:
        if event_id in known:
            raise DuplicateEvent(
                f"id: {shown(event_id)} occurs twice among the events; nothing was saved"
            )
        known.add(event_id)


def _duplicate(event_id: str) -> DuplicateEvent:
    return DuplicateEvent(
        f"id: {shown(event_id)} is in the store already; the stored event is untouched"
    )
