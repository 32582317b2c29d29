"""What a save, a save of many and a delete do to the databases, inside a write transaction.

Rules: a change keeps all indexes in step with the records. Everything that the caller can be told
to be wrong is found before its first change (`apply` returns it), except by `SaveMany`, which is
always alone in its transaction. What `apply` raises ends the transaction.
"""

from __future__ import annotations

from collections import defaultdict, deque
from itertools import groupby
from operator import add
from typing import TYPE_CHECKING, ClassVar, cast

from lmdbstore.contract.event import checked, checked_columns
from lmdbstore.disk import format as fmt
from lmdbstore.errors import DuplicateEvent, EventNotFound, EventStoreException, StoreDamaged, shown
from lmdbstore.read.runs import RUN

from .sign import sign, unsign, unsigned_since

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lmdbstore.contract.event import Event

    from .transaction import WriteTransaction

__all__ = ["Change", "Delete", "Save", "SaveMany", "Sign", "Turn", "apply_all", "erase"]

PART = 10_000  # events that `SaveMany` sorts and writes at once
WORTH_APPENDING = (
    8  # postings of one flag: appending fills their pages, and costs a look at the end
)


class Change:
    """One caller's change, made and checked in the caller's thread."""

    alone: ClassVar[bool] = False  # whether it wants a transaction of its own
    frees: ClassVar[bool] = False  # whether it makes room, and so may use what is kept for that

    def apply(self, txn: WriteTransaction) -> EventStoreException | None:
        """Carry it out; return why it cannot be done, with nothing changed."""
        raise NotImplementedError


class Save(Change):
    """Save one event."""

    def __init__(self, event: object) -> None:
        """Check and encode the event; raises InvalidEvent."""
        valid = checked(event)
        self.id = valid.id
        self.row = fmt.encode(valid, fmt.TextKeys())

    def apply(self, txn: WriteTransaction) -> EventStoreException | None:
        """See `Change.apply`."""
        key = self.row.time + fmt.encode_number(txn.next_local_id)
        if not txn.claim(txn.databases.ids, self.row.id_key, key + self.row.checksum):
            return _duplicate(self.id)
        self.put(txn, key, self.row)
        txn.next_local_id += 1
        return None

    @staticmethod
    def put(txn: WriteTransaction, key: bytes, row: fmt.Row, *, append: bool = True) -> None:
        """Write all but the id, which is written; `append`: the local id is the highest so far."""
        time, _, flag_keys, record, checksum = row
        databases = txn.databases
        txn.put(databases.timeline, key, record)
        unsign(txn, [key])
        for flag_key in flag_keys:
            txn.put(databases.flags, flag_key, key)
        txn.put(databases.commits, key[8:], time + checksum, append=append)


def apply_all(txn: WriteTransaction, changes: Sequence[Change]) -> list[EventStoreException | None]:
    """Carry out the changes of several callers in their order; return what each `apply` would.

    Saves that follow each other are written together, in a few long calls: each call of LMDB gives
    the interpreter's lock away, and has to wait for it where threads are busy.
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
    rows = [save.row for save in saves]
    part = _Part(
        fmt.Rows(
            [row.time for row in rows],
            [row.id_key for row in rows],
            [row.flag_keys for row in rows],
            [row.record for row in rows],
            [row.checksum for row in rows],
        )
    )
    keys = part.keys(txn)
    taken = part.claim(txn, keys)
    if not taken:
        part.index(txn, keys)
    for place, save in enumerate(saves if taken else ()):
        if place not in taken:
            save.put(txn, keys[place], save.row)
    if len(taken) < len(saves):  # the local ids of those that are refused are left out
        txn.next_local_id += len(saves)
    return [_duplicate(save.id) if place in taken else None for place, save in enumerate(saves)]


class _Part:
    """Events that are sorted and written at once."""

    def __init__(self, rows: fmt.Rows) -> None:
        self.times, self.id_keys, flag_keys, self.records, self.checksums = rows
        # For each flag the events that carry it, by their place in the part.
        self.postings: defaultdict[bytes, list[int]] = defaultdict(list)
        for place, keys in enumerate(flag_keys):
            for flag_key in keys:
                self.postings[flag_key].append(place)

    def keys(self, txn: WriteTransaction) -> list[bytes]:
        """Return the timeline keys that the events get; they are not given out yet."""
        first = txn.next_local_id
        local_ids = map(fmt.encode_number, range(first, first + len(self.times)))
        return list(map(add, self.times, local_ids))

    def claim(self, txn: WriteTransaction, keys: list[bytes]) -> set[int]:
        """Write the ids that are free; return the places of those that are taken."""
        ids = txn.databases.ids
        # Sorted by id and then by key, so that of two equal ones the first gets it.
        entries = map(add, keys, self.checksums)
        items = sorted(zip(self.id_keys, entries, strict=True))
        if txn.put_many(ids, items) == len(items):
            return set()
        pairs = enumerate(zip(self.id_keys, keys, strict=True))
        return {
            place
            for place, (id_key, key) in pairs
            if fmt.key_in(txn.get(ids, id_key) or b"") != key
        }

    def index(self, txn: WriteTransaction, keys: list[bytes]) -> None:
        """Write all but the ids, which are written."""
        timeline = txn.databases.timeline
        records = sorted(zip(keys, self.records, strict=True))
        append = records[0][0] > txn.last_key(timeline)
        _all_new(records, txn.put_many(timeline, records, append=append))
        unsign(txn, [key for key, _ in records])
        self._put_postings(txn, keys)
        times = map(add, self.times, self.checksums)
        commits = [(key[8:], time) for key, time in zip(keys, times, strict=True)]
        _all_new(commits, txn.put_many(txn.databases.commits, commits, append=True))

    def _put_postings(self, txn: WriteTransaction, keys: list[bytes]) -> None:
        flags = txn.databases.flags
        few: list[tuple[bytes, bytes]] = []
        for flag_key, places in sorted(self.postings.items()):
            members = sorted([keys[place] for place in places])
            items = [(flag_key, key) for key in members]
            if len(items) < WORTH_APPENDING:
                few += items
            else:
                append = members[0] > txn.last_posting(flag_key)
                _all_new(items, txn.put_many(flags, items, append=append))
        _all_new(few, txn.put_many(flags, few))


class SaveMany(Change):
    """Save many events, all or none.

    They are written part by part in one transaction, each part sorted by index so that pages are
    filled in order. What is written is let go of: the pages that it makes dirty take its place in
    memory. So it can be applied once.
    """

    alone = True

    def __init__(self, events: Iterable[object], *, signed: bool = True) -> None:
        """Check and encode the events; raises InvalidEvent and DuplicateEvent.

        `signed` says that runs which they complete shall get signatures.
        """
        self._signed = signed
        self._parts: deque[_Part] = deque()
        self.number = 0
        seen: set[bytes] = set()
        flag_keys = fmt.TextKeys()  # flags repeat: each is encoded once, and shared
        for columns in checked_columns(events, PART):
            part = _Part(fmt.encode_all(columns, flag_keys))
            self._parts.append(part)
            self.number += len(part.times)
            _check_new(seen, part.id_keys, columns.ids)

    def apply(self, txn: WriteTransaction) -> EventStoreException | None:
        """See `Change.apply`; a duplicate is found when some ids are written, so this raises it."""
        lowest = min((min(part.times) for part in self._parts), default=b"")
        while self._parts:
            part = self._parts.popleft()
            keys = part.keys(txn)
            for place in part.claim(txn, keys):
                raise _duplicate(fmt.decode_one(part.records[place]).id)
            part.index(txn, keys)
            txn.next_local_id += len(keys)
        if self._signed and lowest and unsigned_since(txn) >= RUN:
            # What others left unsigned is done bit by bit: so this takes as long as its own events.
            sign(txn, lowest, 2 * self.number + RUN, whole=False)
        return None


def _check_new(seen: set[bytes], id_keys: Sequence[bytes], ids: Sequence[str]) -> None:
    """Note the ids as seen; raise DuplicateEvent if one of them was."""
    before = len(seen)
    known = seen.intersection(id_keys)
    seen.update(id_keys)
    if len(seen) == before + len(id_keys):
        return
    for id_key, event_id in zip(id_keys, ids, strict=True):
        if id_key in known:
            raise DuplicateEvent(
                f"id: {shown(event_id)} comes twice among the events; nothing was saved"
            )
        known.add(id_key)


class Sign(Change):
    """Sign what has no signature, a bounded piece each time that it is applied."""

    alone = True

    def __init__(self, *, rebuild: bool) -> None:
        """Sign from the beginning; `rebuild` says to forget all signatures first."""
        self._rebuild = rebuild
        self.signed = 0
        self.next_key: bytes | None = fmt.FIRST_KEY  # None when all is done

    def apply(self, txn: WriteTransaction) -> EventStoreException | None:
        """See `Change.apply`."""
        if self._rebuild:
            txn.clear(txn.databases.signatures)
        done = sign(txn, self.next_key or fmt.FIRST_KEY, PART, whole=True)
        self._rebuild = False
        self.signed += done.events
        self.next_key = done.next_key
        return None


class Delete(Change):
    """Delete one event."""

    frees = True

    def __init__(self, event_id: str) -> None:
        """Delete the event with this id."""
        self._id = event_id
        self._id_key = fmt.text_key(event_id)

    def apply(self, txn: WriteTransaction) -> EventStoreException | None:
        """See `Change.apply`."""
        databases = txn.databases
        entry = txn.get(databases.ids, self._id_key)
        if entry is None:
            return EventNotFound(f"there is no event with the id {shown(self._id)}")
        key = fmt.key_in(entry)
        record = txn.take(databases.timeline, key)
        if record is None:
            raise StoreDamaged(f"the id {shown(self._id)} stands in an index, but not its event")
        erase(txn, key, fmt.decode_found(entry, record, self._id))
        return None


class Turn(Change):
    """Change nothing, and commit: then what the transaction before freed may be used."""

    alone = True
    frees = True

    def apply(self, txn: WriteTransaction) -> EventStoreException | None:
        """See `Change.apply`."""
        txn.changed = True
        return None


def erase(txn: WriteTransaction, key: bytes, event: Event) -> None:
    """Remove an event, whose record is removed, from all indexes."""
    databases = txn.databases
    txn.remove(databases.ids, fmt.text_key(event.id))
    for tag in event.tags:
        txn.remove(databases.flags, fmt.text_key(tag), key)
    txn.remove(databases.commits, key[8:])


def _duplicate(event_id: str) -> DuplicateEvent:
    return DuplicateEvent(
        f"id: {shown(event_id)} is in the store already; the stored event is untouched"
    )


def _all_new(items: list[tuple[bytes, bytes]], added: int) -> None:
    if added != len(items):
        raise StoreDamaged(
            f"{len(items) - added:,} of {len(items):,} new entries stand in an index already"
        )
