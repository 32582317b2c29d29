"""Reading live events: a scan of `live`, or a walk of posting sets, inside a read transaction.

Rules: the transaction reads views; nothing that is returned refers to them. Keys are timeline keys,
both bounds are inclusive, and a range is given in time order for both directions. What is shown is
checked. `patterns.many_texts` explains why a page of records may be searched as one text; a record
has a header, which the pattern must not match.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from lmdbstore.disk import format as fmt
from lmdbstore.disk.databases import next_local_id
from lmdbstore.errors import StoreDamaged, shown
from lmdbstore.patterns.charset import JOINT
from lmdbstore.patterns.many_texts import search_page
from lmdbstore.records.record import JOINT as RECORD_JOINT
from lmdbstore.records.record import (
    checked_record,
    checked_records,
    content_of,
    contents_of,
    decode_live,
    decode_one,
)
from lmdbstore.threads.re2_gate import run_engine

from .cursor import duplicates, entries, leap, merged, seek

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmdb import Cursor, Transaction

    from lmdbstore.contract.event import Event
    from lmdbstore.contract.left_out import Losses
    from lmdbstore.disk.databases import Databases
    from lmdbstore.patterns.pattern import Pattern

    from .plan import Plan

__all__ = ["Live", "LiveReader", "matching_records"]

CHUNK_BYTES = 4 << 20  # about as many are read at once


class Live(NamedTuple):
    """Live events that were read, in the requested order."""

    keys: list[bytes]
    events: list[Event]  # unless they are only counted
    reached: bytes | None  # the last key that was read; None at the end of the range


class LiveReader:
    """Reads the live events of a query."""

    def __init__(self, plan: Plan, watermark: bytes, losses: Losses | None) -> None:
        """Read for `plan`; events with a local id from `watermark` on are left out.

        Damaged ones are noted in `losses`; without it, they raise StoreDamaged.
        """
        self._terms = [(term.key, plan.looked_up(term)) for term in plan.walk]
        query = plan.query
        self._some = [term.key for term in plan.some] if plan.some else []
        self._by_some = plan.by_some
        self._without = [fmt.flag_key(flag) for flag in query.not_flags] if query.not_flags else []
        self._pattern, self._where = query.pattern, query.where
        self.reads_contents = plan.reads_contents
        # Whether there may be other events between two that are read.
        self._leaps = bool(self._terms or self._some or self._without)
        self._descending = plan.query.descending
        self._watermark = watermark
        self._losses = losses

    def first(
        self, txn: Transaction[Any], databases: Databases, low: bytes, high: bytes
    ) -> bytes | None:
        """Return a key before which, in the requested order, no event matches; None: none does."""
        if self._by_some:
            keys, _ = self._gathered(txn, databases, low, high, 1)
            return keys[0] if keys else None
        if self._terms:
            with txn.cursor(db=databases.postings) as postings:
                terms = [term for term, _ in self._terms]
                low, high = leap(postings, terms, low, high, descending=self._descending)
            return None if low > high else high if self._descending else low
        with txn.cursor(db=databases.live) as cursor:
            if not seek(cursor, low, high, descending=self._descending):
                return None
            key = bytes(cursor.key())
            return key if low <= key <= high else None

    def read(  # noqa: PLR0913  a range, and how much of it
        self,
        txn: Transaction[Any],
        databases: Databases,
        low: bytes,
        high: bytes,
        most: int,
        *,
        counting: bool = False,
    ) -> Live:
        """Read up to `most` events of a range, and return those that match."""
        with txn.cursor(db=databases.live) as cursor:
            if self._by_some:
                keys, reached = self._gathered(txn, databases, low, high, most)
            elif self._terms:
                keys, reached = self._walked(txn, databases, low, high, most)
            else:
                keys, reached = self._scanned(cursor, low, high, most)
            if self._some or self._without:
                keys = self._kept(txn, databases, keys)
            if counting and not self.reads_contents:
                return Live(self._before_watermark(txn, databases, keys), [], reached)
            values = self._values(txn, databases, cursor, low, high, keys)
        if len(values) < len(keys):
            keys = keys[: len(values)]
            reached = keys[-1]
        old = self._before_watermark(txn, databases, keys)
        if len(old) < len(keys):
            kept = set(old)
            values = [value for key, value in zip(keys, values, strict=True) if key in kept]
        if self._losses is not None:
            old, values = _whole(old, values, self._losses)
        if self._pattern is not None and old:
            # All are checked: a flipped bit could make one that matches seem not to.
            chosen = run_engine(matching_records, self._pattern, checked_records(values))
            old, values = [old[n] for n in chosen], [values[n] for n in chosen]
        if self._where is not None and old:
            contents = contents_of(checked_records(values))
            chosen = [n for n, content in enumerate(contents) if self._where.matches(content)]
            old, values = [old[n] for n in chosen], [values[n] for n in chosen]
        return Live(old, [] if counting else decode_live(values), reached)

    def _before_watermark(
        self, txn: Transaction[Any], databases: Databases, keys: list[bytes]
    ) -> list[bytes]:
        if next_local_id(txn, databases) == self._watermark:
            return keys
        return [key for key in keys if fmt.local_id_of(key) < self._watermark]

    def _scanned(
        self, cursor: Cursor[Any], low: bytes, high: bytes, most: int
    ) -> tuple[list[bytes], bytes | None]:
        """Return the first keys of the range."""
        descending = self._descending
        found = entries(cursor, low, high, descending=descending, values=False)
        keys = list(map(bytes, islice(found, most)))
        inside = len(keys)
        if descending and keys and keys[-1] < low:
            inside -= bisect_left(keys[::-1], low)
        elif not descending and keys and keys[-1] > high:
            inside = bisect_right(keys, high)
        if len(keys) < most or inside < len(keys):
            return keys[:inside], None
        return keys, keys[-1]

    def _values(  # noqa: PLR0913, PLR0917  a range
        self,
        txn: Transaction[Any],
        databases: Databases,
        cursor: Cursor[Any],
        low: bytes,
        high: bytes,
        keys: list[bytes],
    ) -> list[bytes]:
        """Return the values of keys; if their bytes are too many, of the first ones."""
        if not keys or self._leaps or txn.stat(databases.live)["overflow_pages"]:
            return _looked_up(cursor, keys, skip=self._losses is not None)
        # They are neighbours, and no value is large.
        found = entries(cursor, low, high, descending=self._descending, keys=False)
        return list(map(bytes, islice(found, len(keys))))

    def _walked(
        self, txn: Transaction[Any], databases: Databases, low: bytes, high: bytes, most: int
    ) -> tuple[list[bytes], bytes | None]:
        """Return the keys that are in all walked posting sets, starting from the rarest."""
        (rarest, _), *others = self._terms
        descending = self._descending
        with txn.cursor(db=databases.postings) as cursor:
            terms = [term for term, _ in others]
            low, high = leap(cursor, terms, low, high, descending=descending)
            if low > high:
                return [], None
            keys = duplicates(cursor, rarest, low, high, most, descending=descending)
            return merged(cursor, others, keys), keys[-1] if len(keys) == most else None

    def _gathered(
        self, txn: Transaction[Any], databases: Databases, low: bytes, high: bytes, most: int
    ) -> tuple[list[bytes], bytes | None]:
        """Return the first keys that are in any of the sets walked side by side."""
        found: set[bytes] = set()
        with txn.cursor(db=databases.postings) as cursor:
            for term in self._some:
                found.update(duplicates(cursor, term, low, high, most, descending=self._descending))
        keys = sorted(found, reverse=self._descending)[:most]
        return keys, keys[-1] if len(keys) == most else None

    def _kept(self, txn: Transaction[Any], databases: Databases, keys: list[bytes]) -> list[bytes]:
        """Return those of the keys whose events have one of some flags, and none of others."""
        with txn.cursor(db=databases.postings) as cursor:
            if self._by_some:
                keys = merged(cursor, [(term, True) for term, _ in self._terms], keys)
            elif self._some:
                keys = [k for k in keys if any(cursor.set_key_dup(t, k) for t in self._some)]
            for term in self._without:
                gone = set(merged(cursor, [(term, True)], keys))
                keys = [key for key in keys if key not in gone]
        return keys


def _looked_up(cursor: Cursor[Any], keys: list[bytes], *, skip: bool) -> list[bytes]:
    """Read the values of some keys, until their bytes are too many.

    With `skip`, one that is missing is empty, as no record is.
    """
    values, size = list[bytes](), 0
    for key in keys:
        value = cursor.get(key, b"" if skip else None)
        if value is None:
            raise StoreDamaged(f"a term names an event at {shown(key)} that is not there")
        values.append(bytes(value))
        size += len(value)
        if size >= CHUNK_BYTES:
            break
    return values


def _whole(
    keys: list[bytes], values: list[bytes], losses: Losses
) -> tuple[list[bytes], list[bytes]]:
    """Return the entries that are what was written; note the others."""
    whole = []
    for entry in zip(keys, values, strict=True):
        try:
            decode_one(checked_record(entry[1]))
        except StoreDamaged:
            losses.add_event(entry[0])
        else:
            whole.append(entry)
    return [key for key, _ in whole], [value for _, value in whole]


def matching_records(pattern: Pattern, records: Sequence[bytes]) -> list[int]:
    """Return the numbers of the records whose content has a match, in order.

    A page without a hit costs joining it and one search. If it has many hits, or hits in headers,
    only the contents are searched; if those have many hits, each is tested. A pattern that is one
    literal text is then searched for in each content.
    """
    found: list[int] = []
    done = 0
    if pattern.by_page:
        done = search_page(pattern, records, RECORD_JOINT, content_of, found)
        if done == len(records):
            return found
    contents = contents_of(records[done:] if done else records)
    if (literal := pattern.literal) is not None:  # a sixth of the time of RE2
        return found + [n for n, content in enumerate(contents, done) if literal in content]
    if pattern.by_page:
        more: list[int] = []
        passed = search_page(pattern, contents, JOINT, bytes, more)
        found.extend(map(done.__add__, more))
        contents, done = contents[passed:], done + passed
    test = pattern.test
    return found + [n for n, content in enumerate(contents, done) if test(content)]
