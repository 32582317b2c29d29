"""Choosing events by their terms and contents, live and sealed, in time order, in a transaction.

Rules: one call reads a span: whole runs where that is possible, so that a piece of a purge removes
runs at once. The front of a run is checked before it is used.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, NamedTuple

from lmdbstore.disk import format as fmt
from lmdbstore.errors import StoreDamaged, shown
from lmdbstore.read.cursor import duplicates, entries, leap, merged, number
from lmdbstore.read.run_match import RunMatcher
from lmdbstore.read.totals import total_of
from lmdbstore.records.layout import digest
from lmdbstore.records.record import checked_record, content_of, record_in
from lmdbstore.records.run import Run, positions
from lmdbstore.threads.re2_gate import run_engine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmdb import Cursor, Transaction

    from lmdbstore.disk.databases import Databases
    from lmdbstore.patterns.pattern import Pattern

__all__ = ["Chosen", "Span", "record_bytes"]

SPAN = 1024  # keys that one read transaction reads; of runs, a few more
SPAN_RUNS = 64  # that it reads
Keys = list[bytes]


class Span(NamedTuple):
    """Some of the chosen events."""

    keys: Keys
    following: bytes | None  # the key at which to continue; None: there are no more


class Chosen:
    """The events that have all of some terms, none of others, one of others, and match."""

    def __init__(
        self,
        terms: tuple[bytes, ...],
        keep_flags: tuple[bytes, ...],
        any_flags: tuple[bytes, ...] = (),
        pattern: Pattern | None = None,
    ) -> None:
        """Choose by the keys of terms and flags; no `any_flags`, and no pattern: by the others."""
        self._terms = terms
        self._keep_flags = keep_flags
        self._any_flags = any_flags
        self._pattern = pattern
        self._matcher = None if pattern is None else RunMatcher(pattern)
        self._all = not (terms or keep_flags or any_flags or pattern)

    def span(self, txn: Transaction[Any], databases: Databases, low: bytes) -> Span:
        """Read the next keys, from `low` on."""
        sealed = self._sealed(txn, databases, low)
        high = fmt.LAST_KEY if sealed.following is None else fmt.before_key(sealed.following)
        live = self._live(txn, databases, low, high)
        if live.following is None:
            return Span(sorted(sealed.keys + live.keys), sealed.following)
        inside = sealed.keys[: bisect_right(sealed.keys, fmt.before_key(live.following))]
        return Span(sorted(inside + live.keys), live.following)

    def spans(
        self, txn: Transaction[Any], databases: Databases, first: bytes = fmt.FIRST_KEY
    ) -> Iterator[Span]:
        """Read all keys from `first` on."""
        low: bytes | None = first
        while low is not None:
            span = self.span(txn, databases, low)
            yield span
            low = span.following

    def runs(self, txn: Transaction[Any], databases: Databases) -> Iterator[tuple[int, bytes]]:
        """Yield how many events are in each run or wait for it, and its end: without reading it.

        If not all events are chosen, it yields nothing.
        """
        if not self._all:
            return
        with txn.cursor(db=databases.live) as live, txn.cursor(db=databases.summaries) as summaries:
            keys = map(bytes, live.iternext(values=False))
            waiting = next(keys, fmt.LAST_KEY)
            for end, summary in summaries.iternext():
                number = fmt.decode_summary(summary).events
                while waiting <= end:
                    number += 1
                    waiting = next(keys, fmt.LAST_KEY)
                yield number, bytes(end)

    # -- live events ------------------------------------------------------------------------------

    def _live(self, txn: Transaction[Any], databases: Databases, low: bytes, high: bytes) -> Span:
        with txn.cursor(db=databases.postings) as cursor:
            if self._terms:
                rarest, *others = sorted(self._terms, key=partial(number, cursor))
                low, high = leap(cursor, others, low, high, descending=False)
                keys = duplicates(cursor, rarest, low, high, SPAN, descending=False)
            else:
                others = []
                with txn.cursor(db=databases.live) as live:
                    found = entries(live, low, high, descending=False, values=False)
                    keys = list(map(bytes, islice(found, SPAN)))
            following = fmt.after_key(keys[-1]) if len(keys) == SPAN else None
            del keys[bisect_right(keys, high) :]
            keys = merged(cursor, [(flag, True) for flag in others], keys)
            for flag in self._keep_flags:
                kept = set(merged(cursor, [(flag, True)], keys))
                keys = [key for key in keys if key not in kept]
            if self._any_flags:
                with_each = [merged(cursor, [(flag, True)], keys) for flag in self._any_flags]
                some = set(chain.from_iterable(with_each))
                keys = [key for key in keys if key in some]
        if self._pattern is not None:
            keys = _matching(txn, databases, self._pattern, keys)
        return Span(keys, following if following is not None and following <= high else None)

    # -- runs -------------------------------------------------------------------------------------

    def _sealed(self, txn: Transaction[Any], databases: Databases, low: bytes) -> Span:
        keys, last = list[bytes](), low
        with txn.cursor(db=databases.runs) as cursor:
            for read, run in enumerate(self._runs(txn, databases, cursor, low)):
                most = SPAN - run.events if self._all else SPAN  # then nearly all are chosen
                if read >= SPAN_RUNS or (keys and len(keys) > most):
                    return Span(keys, fmt.after_key(last))
                found = self._keys(txn, databases, run, low)
                keys += found
                last = run.end
        return Span(keys, None)

    def _runs(
        self, txn: Transaction[Any], databases: Databases, cursor: Cursor[Any], low: bytes
    ) -> Iterator[Run]:
        """Yield the runs from `low` on that have the rarest term; all of them without terms."""
        if not self._terms:
            there = cursor.set_range(low)
            while there:
                yield Run(bytes(cursor.key()), cursor.value())
                there = cursor.next()
            return
        rarest = min(self._terms, key=partial(total_of, txn, databases))
        with txn.cursor(db=databases.run_postings) as postings:
            there = postings.set_range_dup(rarest, low)
            while there:
                end = fmt.posting_key(postings.value())
                if not cursor.set_key(end):
                    raise StoreDamaged("an index names a run that is not there")
                yield Run(end, cursor.value())
                there = postings.next_dup()

    def _keys(self, txn: Transaction[Any], databases: Databases, run: Run, low: bytes) -> Keys:
        """Return the keys of the chosen events of a run."""
        run.check_front()
        bits = txn.get(run.end, db=databases.dead)
        gone = set() if bits is None else set(positions(bytes(bits)))
        for flag in self._keep_flags:
            gone.update(_slots(run, flag))
        keys = run.keys()
        if self._all and keys[0] >= low and not gone:
            return keys
        slots = set(range(bisect_left(keys, low), run.events)) - gone
        for term in self._terms:
            slots.intersection_update(_slots(run, term))
        if self._any_flags:
            some = chain.from_iterable(_slots(run, flag) for flag in self._any_flags)
            slots.intersection_update(some)
        chosen = sorted(slots)
        if chosen and self._matcher is not None:
            chosen = run_engine(self._matcher.matching, run, chosen)
        return [keys[slot] for slot in chosen]


def _matching(txn: Transaction[Any], databases: Databases, pattern: Pattern, keys: Keys) -> Keys:
    """Return those of some live events whose contents match."""
    found = []
    for key in keys:
        value = txn.get(key, db=databases.live)
        if value is None:
            raise StoreDamaged(f"a term names an event at {shown(key)} that is not there")
        if run_engine(pattern.matches, content_of(checked_record(value))):
            found.append(key)
    return found


def _slots(run: Run, term: bytes) -> list[int]:
    found = run.find(digest(term).to_bytes(8, "little"))
    return run.slots(found) if found >= 0 else []


def record_bytes(txn: Transaction[Any], databases: Databases, keys: Keys) -> int:
    """Return the bytes of the records of events by their keys, in time order."""
    size, run = 0, None
    with txn.cursor(db=databases.runs) as cursor:
        for key in keys:
            if (run is None or run.end < key) and cursor.set_range(key):
                run = Run(bytes(cursor.key()), cursor.value())
                run.check_front()
            slot = -1 if run is None else run.slot_of(key)
            if run is not None and slot >= 0:
                size += run.record_size(slot)
            else:
                value = txn.get(key, db=databases.live)
                size += 0 if value is None else len(record_in(value))
    return size
