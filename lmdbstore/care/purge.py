"""Purging: choosing the events that are too old, too many or too large together, and deleting them.

Rules: `care.retention` says which events may be deleted; of these the oldest are deleted, in time
order. The reach of a purge is measured once, in one read
transaction; only the bytes are measured again as events are deleted. So events saved in the
meantime stay, and of two purges at the same time neither deletes the events for which the other
has made room. The keys of a piece are read before its write transaction, so that no writer waits
for the reading. This is safe: an event never changes and a local id is not used again,
so at most the event of a key was deleted in between, and that key is skipped. Each piece is
complete in itself, and the next one begins at its end. A piece has whole runs where that is
possible: to remove a run costs less than to write it again without some of its events. Where only
the bytes are too many, a part of a run is deleted that is large enough for it to be written again.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from lmdbstore.disk import format as fmt
from lmdbstore.disk.databases import bytes_in_use, next_local_id, number_of_events
from lmdbstore.disk.keys import local_ids_of
from lmdbstore.errors import EventWriteException, StoreDamaged
from lmdbstore.feed.cursors import held_after
from lmdbstore.read.totals import total_of
from lmdbstore.write.change import Change, EmptyCommit
from lmdbstore.write.delete import SHARE, erase

from .choice import record_bytes
from .pieces import Pieces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lmdb import Transaction

    from lmdbstore.check.walk import Progress
    from lmdbstore.disk.databases import Databases, Reads
    from lmdbstore.engine.session import Session
    from lmdbstore.errors import EventStoreException
    from lmdbstore.write.transaction import WriteTransaction

    from .choice import Span
    from .retention import Retention

__all__ = ["Purged", "purge"]

PURGE_EVENTS = 8192  # that one transaction deletes, at most
PURGE_BYTES = 4 << 20  # of records and runs; the one that reaches this is the last of its piece


class Purged(NamedTuple):
    """The events that a purge deleted, or would delete."""

    events: int
    bytes: int  # of their records
    oldest: float | None  # timestamps of the first and the last of them, in seconds
    newest: float | None
    left: int  # remaining events that `max_events` counts, whether they may be deleted or not
    bytes_left: int  # in the pages of all databases
    held: int = 0  # events passed over because a named cursor holds them: see `EventStore.cursor`


class _Reach(NamedTuple):
    """The reach of a purge, in one state of the store."""

    following: int  # the next local id
    watermark: int  # no event from this local id on is deleted: it came later, or a cursor holds it
    end: bytes  # events before this key are deleted, regardless of `max_bytes`
    events: int  # their number
    guess: int  # events that `max_bytes` will probably delete, including these; 0 for none
    mean: float  # bytes of pages for each event


# -- reading: inside of a transaction --------------------------------------------------------------


def _measure(txn: Transaction[Any], databases: Databases, retention: Retention) -> _Reach:
    following = fmt.decode_number(next_local_id(txn, databases))
    held = held_after(txn.cursor(db=databases.cursors))
    watermark = following if held is None else min(held + 1, following)
    surplus = 0
    if retention.max_events is not None:
        surplus = _counted(txn, databases, retention) - retention.max_events
    end, events = fmt.FIRST_KEY, 0
    for found, last in retention.chosen.runs(txn, databases):
        if last >= retention.before and events + found > surplus:
            break
        end, events = fmt.after_key(last), events + found
    if retention.before > end or surplus > events:
        for keys, low in retention.chosen.spans(txn, databases, end):
            inside = max(bisect_left(keys, retention.before), min(surplus - events, len(keys)))
            if inside:
                events += inside
                end = fmt.after_key(keys[inside - 1])
            if low is not None and low >= retention.before and events >= surplus:
                break
    stored = number_of_events(txn, databases)
    in_use = _bytes(txn, databases)
    mean = in_use / max(stored, 1)
    guess = 0
    if retention.max_bytes is not None and in_use > retention.max_bytes:
        guess = min(stored, int((in_use - retention.max_bytes) / mean) + 1)
    return _Reach(following, watermark, end, events, guess, mean)


def _counted(txn: Transaction[Any], databases: Databases, retention: Retention) -> int:
    """Return the number of events that `max_events` counts."""
    terms = retention.terms
    if len(terms) > 1 or retention.any_flags or retention.pattern is not None:
        return sum(len(keys) for keys, _ in retention.counted.spans(txn, databases))
    return total_of(txn, databases, terms[0]) if terms else number_of_events(txn, databases)


def _bytes(txn: Transaction[Any], databases: Databases) -> int:
    return sum(bytes_in_use(txn, databases).values())


# -- writing: inside of a transaction --------------------------------------------------------------


class _Erase(Change):
    """Delete events by their timeline keys, in order."""

    alone = True
    frees = True

    def __init__(
        self, keys: list[bytes], reach: _Reach, max_bytes: int, *, rewrite: bool = True
    ) -> None:
        """Delete the events before the end, and more while the pages take over `max_bytes`."""
        self._rewrite = rewrite  # see `erase`
        self._keys = keys
        self._end, self._watermark = reach.end, reach.watermark
        self._max_bytes = max_bytes
        self.handled = 0  # number of keys
        self.enough = False  # whether the other events stay
        self.erased: list[bytes] = []
        self.bytes = 0

    def apply(self, txn: WriteTransaction) -> EventStoreException | None:
        """See `Change.apply`."""
        self.handled = self.bytes = 0
        self.erased, self.enough = [], False
        held = held_after(txn.first_items(txn.databases.cursors, b""))
        if held is not None and held + 1 < self._watermark:
            return EventWriteException(
                "a named cursor began to hold events while this purge ran, so it has stopped; "
                "purge again, for what that cursor does not hold"
            )
        sure = bisect_left(self._keys, self._end)
        groups = list(_groups(txn, self._keys[:sure], PURGE_BYTES))
        if groups:
            self._erase(txn, list(chain.from_iterable(group for group, _ in groups)))
        if self.handled < sure:
            return None
        for group, size in _groups(txn, self._keys[sure:], None):
            self.enough = txn.bytes_in_use() <= self._max_bytes
            if self.enough or self.bytes >= PURGE_BYTES:
                break
            if len(group) > 1 and txn.bytes_in_use() - 2 * size <= self._max_bytes:
                # A part may suffice. It ends the transaction: LMDB gives the pages of a large
                # value back only where the value was not written in the same one.
                self._erase(txn, group[: -(-len(group) // SHARE)])
                break
            self._erase(txn, group)
        return None

    def _erase(self, txn: WriteTransaction, keys: list[bytes]) -> None:
        try:
            erased, size = erase(txn, keys, rewrite=self._rewrite)
        except StoreDamaged as error:
            times = [fmt.decode_key(keys[end]).timestamp for end in (0, -1)]
            raise StoreDamaged(
                f"{error}; nothing from the time {times[0]!r} on was purged (this piece ends at "
                f"{times[1]!r}): run `lmdbstore repair`, and purge again"
            ) from error
        self.erased += erased
        self.bytes += size
        self.handled += len(keys)


def _groups(
    txn: WriteTransaction, keys: list[bytes], most: int | None
) -> Iterator[tuple[list[bytes], int]]:
    """Yield keys of one run together, and each other key by itself, with their bytes.

    Together they have about `most` bytes, if that is given; the last one may be large.
    """
    place = size = 0
    while place < len(keys) and (most is None or size < most):
        run = txn.ceiling(txn.databases.runs, keys[place])
        if run is None:
            stop, value = place + 1, txn.get(txn.databases.live, keys[place]) or b""
        else:
            stop, value = bisect_right(keys, run[0], place), run[1]
        yield keys[place:stop], len(value)
        place, size = stop, size + len(value)


# -- the purge -------------------------------------------------------------------------------------


def purge(
    session: Session, retention: Retention, progress: Progress | None, *, dry_run: bool
) -> Purged:
    """Delete events, or with `dry_run` only count them; see `LMDBEventStore.purge`."""
    if not dry_run:
        session.check_writable()
    session.after_writes()
    work = _Purge(session.read, session.write_freeing, retention, progress, session.path)
    if dry_run:
        return work.rehearse()
    purged = work.run()
    if purged.events and _is_nearly_full(session):
        session.write_freeing(EmptyCommit())  # else the next write could not use the free pages
    return purged


def _is_nearly_full(session: Session) -> bool:
    """Whether the file takes up the map."""
    info, page = session.current().ask(lambda lmdb: (lmdb.info(), lmdb.stat()["psize"]))
    left: int = info["map_size"] - info["last_pgno"] * page
    return left < PURGE_BYTES


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
        self._events = self._bytes = self._held = 0
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
            self._note(keys, self._reads(lambda txn, dbs: record_bytes(txn, dbs, keys)))  # noqa: B023  called at once
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
            local_ids = local_ids_of(keys)
            if max(local_ids, default=0) >= reach.watermark:
                held = range(reach.watermark, reach.following)
                self._held += sum(local_id in held for local_id in local_ids)
                keys = [key for key in keys if _local_id(key) < reach.watermark]
            if piece and len(piece) + len(keys) > PURGE_EVENTS:
                yield piece
                piece = []
            piece += keys
            while len(piece) >= PURGE_EVENTS:
                yield piece[:PURGE_EVENTS]
                piece = piece[PURGE_EVENTS:]
        if piece:
            yield piece

    def _measure(self, txn: Transaction[Any], databases: Databases) -> _Reach:
        return _measure(txn, databases, self._retention)

    def _span(self, low: bytes) -> Span:
        chosen = self._retention.chosen
        return self._reads(lambda txn, databases: chosen.span(txn, databases, low), views=True)

    def _erase(self, keys: list[bytes], reach: _Reach) -> bool:
        """Delete a piece, in smaller ones if it does not fit; False if the rest stays."""
        size = self._sizes
        while keys:
            change = _Erase(
                keys[: size.size],
                reach,
                self._retention.max_bytes or 0,
                rewrite=size.size >= PURGE_EVENTS,
            )
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

    def _left(self, txn: Transaction[Any], databases: Databases) -> tuple[int, int]:
        return _counted(txn, databases, self._retention), _bytes(txn, databases)

    def _purged(self, left: int, bytes_left: int) -> Purged:
        oldest, newest = _time(self._first), _time(self._last)
        return Purged(self._events, self._bytes, oldest, newest, left, bytes_left, self._held)


def _local_id(key: bytes) -> int:
    return fmt.decode_number(fmt.local_id_of(key))


def _time(key: bytes | None) -> float | None:
    return None if key is None else fmt.decode_key(key).timestamp
