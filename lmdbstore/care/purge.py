"""Purging: choosing the events that are too old, too many or too large together, and deleting them.

Rules: an event may be deleted if it carries all of some flags and none of others; of these events
the oldest are deleted, in time order. The reach of a purge is measured once, in one read
transaction; only the bytes are measured again as events are deleted. So events saved in the
meantime stay, and of two purges at the same time neither deletes the events for which the other
has made room. The keys of a piece are read before its write transaction, so that no writer waits
for the reading. This is safe: the flags of an event never change and a local id is not used again,
so at most the event of a key was deleted in between, and that key is skipped. Each piece is
complete in itself, and the next one begins at its end.
"""

from __future__ import annotations

from bisect import bisect_left
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from lmdbstore.contract.query import checked_flags, checked_number, checked_seconds, refuse
from lmdbstore.disk import format as fmt
from lmdbstore.disk.databases import bytes_in_use, next_local_id
from lmdbstore.errors import EventWriteException, StoreDamaged, shown
from lmdbstore.read.cursor import duplicates, entries
from lmdbstore.read.postings import leap, merged, number
from lmdbstore.write.change import Change
from lmdbstore.write.delete import erase
from lmdbstore.write.sign import unsign_empty

from .pieces import Pieces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lmdb import Transaction

    from lmdbstore.check.walk import Progress
    from lmdbstore.contract.event import Event
    from lmdbstore.disk.databases import Databases, Reads
    from lmdbstore.engine.session import Session
    from lmdbstore.errors import EventStoreException
    from lmdbstore.write.transaction import WriteTransaction

__all__ = ["Purged", "Retention", "checked_retention", "purge"]

PURGE_EVENTS = 1000  # that one transaction deletes, at most
PURGE_BYTES = 4 << 20  # of their records; the record that reaches this is the last of its piece
SPAN = 1000  # keys that one read transaction reads


class Purged(NamedTuple):
    """The events that a purge deleted, or would delete."""

    events: int
    bytes: int  # of their records
    oldest: float | None  # timestamps of the first and the last of them, in seconds
    newest: float | None
    left: int  # remaining events that `max_events` counts, whether they may be deleted or not
    bytes_left: int  # in the pages of all databases


class Retention(NamedTuple):
    """The limits of a purge, and which events it may delete."""

    before: bytes  # the first timeline key that is not too old
    max_events: int | None
    max_bytes: int | None
    flags: tuple[bytes, ...]  # the keys of flags
    keep_flags: tuple[bytes, ...]


def checked_retention(  # noqa: PLR0913  the arguments of a purge
    before: object,
    max_events: object,
    max_bytes: object,
    flags: object,
    keep_flags: object,
    *,
    dry_run: object,
    progress: object,
) -> Retention:
    """Check the arguments of a purge; raises InvalidQuery."""
    if before is None and max_events is None and max_bytes is None:
        refuse(
            "before", None, "pass before=, max_events= or max_bytes= to say which events to delete"
        )
    if type(dry_run) is not bool:
        refuse("dry_run", dry_run, "pass True or False")
    if progress is not None and not callable(progress):
        refuse("progress", progress, "pass a function of two numbers")
    return Retention(
        fmt.FIRST_KEY if before is None else fmt.first_key(checked_seconds("before", before)),
        checked_number("max_events", max_events),
        checked_number("max_bytes", max_bytes),
        tuple(map(fmt.text_key, checked_flags("flags", flags))),
        tuple(map(fmt.text_key, checked_flags("keep_flags", keep_flags))),
    )


class _Reach(NamedTuple):
    """The reach of a purge, in one state of the store."""

    watermark: bytes  # the next local id
    end: bytes  # events before this key are deleted, regardless of `max_bytes`
    events: int  # their number
    guess: int  # events that `max_bytes` will probably delete, including these; 0 for none
    mean: float  # bytes of pages for each event


# -- reading: inside of a transaction --------------------------------------------------------------


def _span(
    txn: Transaction[bytes],
    databases: Databases,
    flags: tuple[bytes, ...],
    keep_flags: tuple[bytes, ...],
    low: bytes,
) -> tuple[list[bytes], bytes | None]:
    """Read the next keys, from `low` on.

    Returns the keys of events that carry all of `flags` and none of `keep_flags`, and the key at
    which to continue (None: there are no more).
    """
    with txn.cursor(db=databases.flags) as cursor:
        if flags:
            rarest, *others = sorted(flags, key=partial(number, cursor))
            low, high = leap(cursor, others, low, fmt.LAST_KEY, descending=False)
            keys = duplicates(cursor, rarest, low, high, SPAN, descending=False)
        else:
            others = []
            with txn.cursor(db=databases.timeline) as timeline:
                found = entries(timeline, low, fmt.LAST_KEY, descending=False, values=False)
                keys = list(islice(found, SPAN))
        following = fmt.after_key(keys[-1]) if len(keys) == SPAN else None
        keys = merged(cursor, [(flag, True) for flag in others], keys)
        for flag in keep_flags:
            kept = set(merged(cursor, [(flag, True)], keys))
            keys = [key for key in keys if key not in kept]
    return keys, following


def _spans(
    txn: Transaction[bytes],
    databases: Databases,
    flags: tuple[bytes, ...],
    keep_flags: tuple[bytes, ...],
) -> Iterator[tuple[list[bytes], bytes | None]]:
    """Read all keys; yields the results of `_span`."""
    low: bytes | None = fmt.FIRST_KEY
    while low is not None:
        keys, low = _span(txn, databases, flags, keep_flags, low)
        yield keys, low


def _measure(txn: Transaction[bytes], databases: Databases, retention: Retention) -> _Reach:
    watermark = next_local_id(txn, databases)
    surplus = 0
    if retention.max_events is not None:
        surplus = _counted(txn, databases, retention) - retention.max_events
    end, events = fmt.FIRST_KEY, 0
    for keys, low in _spans(txn, databases, retention.flags, retention.keep_flags):
        inside = max(bisect_left(keys, retention.before), min(surplus - events, len(keys)))
        if inside:
            events += inside
            end = fmt.after_key(keys[inside - 1])
        if low is not None and low >= retention.before and events >= surplus:
            break
    stored = txn.stat(databases.timeline)["entries"]
    in_use = _bytes(txn, databases)
    mean = in_use / max(stored, 1)
    guess = 0
    if retention.max_bytes is not None and in_use > retention.max_bytes:
        guess = min(stored, int((in_use - retention.max_bytes) / mean) + 1)
    return _Reach(watermark, end, events, guess, mean)


def _counted(txn: Transaction[bytes], databases: Databases, retention: Retention) -> int:
    """Return the number of events that `max_events` counts."""
    if not retention.flags:
        return txn.stat(databases.timeline)["entries"]
    if len(retention.flags) == 1:
        with txn.cursor(db=databases.flags) as cursor:
            return number(cursor, retention.flags[0])
    return sum(len(keys) for keys, _ in _spans(txn, databases, retention.flags, ()))


def _bytes(txn: Transaction[bytes], databases: Databases) -> int:
    return sum(bytes_in_use(txn, databases).values())


def _size(keys: list[bytes], txn: Transaction[bytes], databases: Databases) -> int:
    """Return the bytes of the records of these events."""
    return sum(len(txn.get(key, b"", db=databases.timeline)) for key in keys)


# -- writing: inside of a transaction --------------------------------------------------------------


class _Erase(Change):
    """Delete events by their timeline keys, in order, and remove the signatures of empty runs."""

    alone = True
    frees = True

    def __init__(self, keys: list[bytes], end: bytes, max_bytes: int) -> None:
        """Delete the events before `end`, and more while the pages take over `max_bytes`."""
        self._keys = keys
        self._end = end
        self._max_bytes = max_bytes
        self.handled = 0  # number of keys
        self.enough = False  # whether the other events stay
        self.erased: list[bytes] = []
        self.bytes = 0

    def apply(self, txn: WriteTransaction) -> EventStoreException | None:
        """See `Change.apply`."""
        handled, size, enough = 0, 0, False
        erased: list[bytes] = []
        for key in self._keys:
            enough = key >= self._end and txn.bytes_in_use() <= self._max_bytes
            if enough or size >= PURGE_BYTES:
                break
            handled += 1
            record = txn.take(txn.databases.timeline, key)
            if record is None:
                _check_deleted(txn, key)
                continue
            erase(txn, key, _event(txn, key, record))
            erased.append(key)
            size += len(record)
        unsign_empty(txn, erased)
        self.handled, self.enough, self.erased, self.bytes = handled, enough, erased, size
        return None


def _event(txn: WriteTransaction, key: bytes, record: bytes) -> Event:
    """Decode a record; raises StoreDamaged if its entry in `ids` disagrees with it."""
    try:
        event = fmt.decode_one(record)
        entry = txn.get(txn.databases.ids, fmt.text_key(event.id))
        if entry == fmt.id_entry(key, fmt.checksum(record)):
            return event
        what = f"the event {shown(event.id)}"
    except StoreDamaged:
        what = "an event"
    raise _damaged(f"the record of {what}", key)


def _check_deleted(txn: WriteTransaction, key: bytes) -> None:
    """Raise StoreDamaged if an index still has an event that is not in the timeline."""
    if txn.get(txn.databases.commits, fmt.local_id_of(key)) is not None:
        raise _damaged("an event", key)


def _damaged(what: str, key: bytes) -> StoreDamaged:
    return StoreDamaged(
        f"{what} at the time {fmt.decode_key(key).timestamp!r} is not what was written; nothing "
        "from there on was purged: run `lmdbstore repair`, and purge again"
    )


# -- the purge -------------------------------------------------------------------------------------


def purge(
    session: Session, retention: Retention, progress: Progress | None, *, dry_run: bool
) -> Purged:
    """Delete events, or with `dry_run` only count them; see `LMDBEventStore.purge`."""
    if not dry_run:
        session.check_writable()
    session.after_writes()
    work = _Purge(session.read, session.write_freeing, retention, progress, session.path)
    return work.rehearse() if dry_run else work.run()


class _Purge:
    """One purge of a store, in many transactions."""

    def __init__(
        self,
        reads: Reads,
        write: Callable[[Change], None],
        retention: Retention,
        progress: Progress | None,
        path: str,
    ) -> None:
        """Read and write the store in `path` with these.

        `progress` gets the number deleted and about how many will be.
        """
        self._reads = reads
        self._write = write
        self._retention = retention
        self._progress = progress
        self._first: bytes | None = None  # keys of deleted events
        self._last: bytes | None = None
        self._events = self._bytes = 0
        self._sizes = Pieces(path, PURGE_EVENTS)

    def run(self) -> Purged:
        """Delete the events."""
        reach = self._reads(self._measure)
        for piece in self._pieces(reach):
            if not self._erase(piece, reach):
                break
        return self._purged(*self._reads(self._left))

    def rehearse(self) -> Purged:
        """Return the result that `run` would have; nothing is written."""
        reach = self._reads(self._measure)
        most = max(reach.events, reach.guess)
        for piece in self._pieces(reach):
            keys = piece[: most - self._events]
            self._note(keys, self._reads(partial(_size, keys)))
            if self._events == most:
                break
        left, in_use = self._reads(self._left)
        return self._purged(left - self._events, max(0, in_use - int(self._events * reach.mean)))

    def _pieces(self, reach: _Reach) -> Iterator[list[bytes]]:
        """Yield the keys of events that may be deleted, to the end of the reach, or to the last."""
        low: bytes | None = fmt.FIRST_KEY
        piece: list[bytes] = []
        while low is not None and (reach.guess or low < reach.end):
            keys, low = self._span(low)
            if not reach.guess:
                keys = keys[: bisect_left(keys, reach.end)]
            piece += [keys[n] for n in fmt.below_watermark(keys, reach.watermark)]
            if len(piece) >= PURGE_EVENTS:
                yield piece[:PURGE_EVENTS]
                piece = piece[PURGE_EVENTS:]
        if piece:
            yield piece

    def _measure(self, txn: Transaction[bytes], databases: Databases) -> _Reach:
        return _measure(txn, databases, self._retention)

    def _span(self, low: bytes) -> tuple[list[bytes], bytes | None]:
        flags, keep_flags = self._retention.flags, self._retention.keep_flags
        return self._reads(lambda txn, databases: _span(txn, databases, flags, keep_flags, low))

    def _erase(self, keys: list[bytes], reach: _Reach) -> bool:
        """Delete a piece, in smaller ones if it does not fit; False if the rest stays."""
        size = self._sizes
        while keys:
            change = _Erase(keys[: size.size], reach.end, self._retention.max_bytes or 0)
            try:
                self._write(change)
            except EventWriteException as error:
                size.shrink(error, min(size.size, len(keys)), self._events)
                continue
            size.grow()
            self._note(change.erased, change.bytes)
            if self._progress is not None:
                self._progress(self._events, max(self._events, reach.events, reach.guess))
            if change.enough:
                return False
            keys = keys[change.handled :]
        return True

    def _note(self, keys: list[bytes], size: int) -> None:
        if keys:
            self._first = self._first or keys[0]
            self._last = keys[-1]
            self._events += len(keys)
            self._bytes += size

    def _left(self, txn: Transaction[bytes], databases: Databases) -> tuple[int, int]:
        return _counted(txn, databases, self._retention), _bytes(txn, databases)

    def _purged(self, left: int, bytes_left: int) -> Purged:
        oldest, newest = _time(self._first), _time(self._last)
        return Purged(self._events, self._bytes, oldest, newest, left, bytes_left)


def _time(key: bytes | None) -> float | None:
    return None if key is None else fmt.decode_key(key).timestamp
