"""Deleting events, live or sealed, with everything that refers to them, in one transaction.

Rules: an event of a run is marked as deleted. A run is written again without such events when they
are one in `SHARE`, and removed when no other is left. The caller gives timeline keys in order.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import repeat
from typing import TYPE_CHECKING, NamedTuple

from lmdbstore.disk.keys import local_ids_of
from lmdbstore.errors import EventNotFound, StoreDamaged, shown
from lmdbstore.processes.write_set import one_removed, united
from lmdbstore.records.events import live_events
from lmdbstore.records.ids import id_entry, id_key
from lmdbstore.records.pack import bitmap
from lmdbstore.records.record import decode_headers

from .change import Change
from .ids import remove_entries
from .live import take_live
from .runs import Runs

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lmdbstore.errors import EventStoreException
    from lmdbstore.records.run import Run

    from .transaction import WriteTransaction

__all__ = ["SHARE", "Delete", "DeleteMany", "Erased", "erase"]

MANY = 16  # keys in a run: then all of its keys are read at once
SHARE = 8  # a run is written again when one of so many of its events is deleted


class Erased(NamedTuple):
    """What `erase` removed."""

    keys: list[bytes]
    bytes: int  # of the records


class Delete(Change):
    """Delete one event."""

    frees = True

    def __init__(self, event_id: str) -> None:
        """Delete the event with this id."""
        self._id = event_id
        self._tried = False
        self.writes = one_removed(event_id)

    def apply(self, txn: WriteTransaction) -> EventStoreException | None:
        """See `Change.apply`."""
        key = txn.located(self._id)
        if key is None:
            return EventNotFound(f"there is no event with the id {shown(self._id)}")
        # To write a run again takes many free pages in a row: a full disk may not have them.
        rewrite, self._tried = not self._tried, True
        erase(txn, [key], rewrite=rewrite)
        return None


class DeleteMany(Change):
    """Delete the events with some ids, of those that there are."""

    alone = True
    frees = True

    def __init__(self, ids: Sequence[str]) -> None:
        """Delete the events with these ids: at least one, each once."""
        self._ids = ids
        self._tried = False
        self.writes = united(list(map(one_removed, ids)))
        self.deleted = 0  # events; known when this is committed

    def apply(self, txn: WriteTransaction) -> EventStoreException | None:
        """See `Change.apply`."""
        keys = sorted(filter(None, map(txn.located, self._ids)))
        rewrite, self._tried = not self._tried, True  # as `Delete` does
        self.deleted = len(erase(txn, keys, rewrite=rewrite).keys) if keys else 0
        return None


def erase(txn: WriteTransaction, keys: Sequence[bytes], *, rewrite: bool = True) -> Erased:
    """Delete the events with these timeline keys, in order; those that are gone are passed over.

    Without `rewrite` runs are only marked, or removed: that needs less free space.

    Raises:
        StoreDamaged: an event is not what was written.
    """
    erased, size = list[bytes](), 0
    live: list[tuple[bytes, bytes]] = []
    ids = _Ids(txn.databases.seed)  # of sealed events
    runs = Runs(txn)
    share = SHARE if rewrite else 0
    place = 0
    while place < len(keys):
        run = runs.of(keys[place])
        stop = len(keys) if run is None else bisect_right(keys, run.end, place)
        sealed: dict[bytes, int] = {}
        if run is not None:
            run.check_front()
            deleted = runs.deleted(run)
            found = _slots(run, keys[place:stop])
            sealed = {key: slot for key, slot in found if slot >= 0 and slot not in deleted}
            if sealed:
                size += _erase_sealed(runs, run, deleted, sealed, ids, share)
                erased += sealed
        for key in keys[place:stop] if len(sealed) < stop - place else ():
            value = None if key in sealed else txn.get(txn.databases.live, key)
            if value is not None:
                live.append((key, value))
        place = stop
    runs.finish()
    ids.remove(txn)
    if live:
        size += _erase_live(txn, live)
        erased = sorted([*erased, *(key for key, _ in live)])
    return Erased(erased, size)


class _Ids:
    """The ids of deleted events, whose entries are removed together."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._ids: list[str] = []
        self._entries: list[bytes] = []

    def note(self, ids: Sequence[str], keys: Iterable[bytes]) -> None:
        """Note events with these ids and timeline keys."""
        self._ids += ids
        self._entries += map(id_entry, map(id_key, ids, repeat(self._seed)), keys)

    def remove(self, txn: WriteTransaction) -> None:
        """Remove the entries; raises StoreDamaged if one is not there."""
        missing = remove_entries(txn, sorted(self._entries))
        if missing is not None:
            wrong = shown(self._ids[self._entries.index(missing)])
            raise StoreDamaged(f"the id {wrong} does not lead to its event")


def _slots(run: Run, keys: Sequence[bytes]) -> Iterable[tuple[bytes, int]]:
    """Return the slot of each event of a run, or -1."""
    if len(keys) < MANY:
        return [(key, run.slot_of(key)) for key in keys]
    if len(keys) == run.events and local_ids_of(keys) == list(run.local_ids()):
        return zip(keys, range(run.events), strict=True)  # no other event has its local ids
    slots = {key: slot for slot, key in enumerate(run.keys())}
    return [(key, slots.get(key, -1)) for key in keys]


def _erase_live(txn: WriteTransaction, items: list[tuple[bytes, bytes]]) -> int:
    events = live_events(items, Runs(txn).known)
    ids = _Ids(txn.databases.seed)
    ids.note(decode_headers(events.headers).ids, events.keys)
    ids.remove(txn)
    take_live(txn, events)
    return sum(map(len, events.headers)) + sum(map(len, events.contents)) + len(items)


def _erase_sealed(  # noqa: PLR0913, PLR0917  a run and its events
    runs: Runs,
    run: Run,
    deleted: set[int],
    sealed: dict[bytes, int],
    ids: _Ids,
    share: int,
) -> int:
    """Delete events of a run, by key and slot, and note their ids; return the bytes of records.

    The run is written again when one in `share` of its events is deleted; 0: it is not.
    """
    txn, slots = runs.txn, list(sealed.values())
    gone = deleted.union(slots)
    if len(gone) == run.events:
        return _erase_run(runs, run, sealed, ids)
    events = run.select(slots)
    ids.note([event.id for event in events], sealed)
    runs.count([runs.known.of(event.source, event.tags) for event in events], -len(events))
    if len(gone) * share >= run.events:
        runs.rewrite(run, gone)
    else:
        txn.set(txn.databases.dead, run.end, bitmap(gone, run.events))
        summary = runs.summary(run.end)
        left = summary._replace(events=run.events - len(gone))
        txn.set(txn.databases.summaries, run.end, left.encode())
    return sum(map(run.record_size, slots))


def _erase_run(runs: Runs, run: Run, sealed: dict[bytes, int], ids: _Ids) -> int:
    """Delete the events that are left in a run, and the run."""
    fields, slots = run.fields(), sealed.values()
    whole = len(sealed) == run.events
    ids.note(fields.ids if whole else [fields.ids[slot] for slot in slots], sealed)
    terms = runs.known.distinct(fields.sources, fields.tags)
    if whole:
        runs.remove(run, terms, delete=True)
        return run.records_size()
    of_events = list(map(runs.known.of, fields.sources, fields.tags))
    runs.count([of_events[slot] for slot in slots], -len(sealed))
    runs.remove(run, terms)
    return sum(map(run.record_size, slots))
