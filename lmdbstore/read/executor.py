"""The executor: runs a plan, page by page.

Rules: each chunk is read in a short transaction of its own, and nothing is open when a page is
returned. The unread part is a range of timeline keys, inclusive on both sides. Each chunk shrinks
it from the side where reading began, so a search continues after the last key it read, regardless
of writes, deletes, forks and map growth in the meantime. An event saved after the search began has
a local id at or above the watermark and is left out.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from lmdbstore.contract.search import Page
from lmdbstore.disk import format as fmt
from lmdbstore.errors import StoreDamaged, shown

from .cursor import duplicates, entries
from .filter import RecordFilter, select
from .postings import leap, merged
from .runs import MOST_RUNS, RUN, next_part

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmdb import Cursor, Transaction

    from lmdbstore.contract.event import Event
    from lmdbstore.contract.query import Query
    from lmdbstore.disk.databases import Databases, Reads

    from .plan import Plan

__all__ = ["Executor"]

# Events. The first chunk is small, so that it comes at once; later ones are large, for speed.
# Decoding should not trigger the garbage collector, which CPython runs after 700 new container
# objects; an event has two. A pattern is searched for in a whole chunk, of which few are decoded.
FIRST_CHUNK, LONGEST_CHUNK, LONGEST_FILTERED = 128, 256, 1024
GROWTH = 4
KEY_CHUNK = 16_384  # keys, if no record is read
WORTH_A_PASS = 16  # if one record in this many is chosen, a pass over all keys is worth it
CHUNK_BYTES = 4 << 20  # a chunk ends with the record that reaches this size


class _Chunk(NamedTuple):
    keys: list[bytes]  # of the events that may match, in the requested order
    records: list[bytes]  # their records, unless only keys are needed
    last: bytes | None  # the last key read; None at the end of the range
    filtered: bool = False  # only records that passed the filter remain


class _Place(NamedTuple):
    """The part of a search that is still to be read.

    With signatures the range is read in parts: the range here is either one of these parts, or the
    whole unread range (`seeking`), in which the next part is still to be found.
    """

    low: bytes
    high: bytes
    left: int | None  # how many events may still be returned
    size: int  # of the next chunk
    seeking: bool
    ended: bool


class Executor:
    """The unread rest of a search."""

    def __init__(self, reads: Reads, plan: Plan, watermark: bytes) -> None:
        """Run `plan`; `watermark` is the next local id at the time of the call, encoded."""
        self._reads = reads
        self._plan = plan
        self._query = plan.query
        self._watermark = watermark
        self._counting = False  # whether only the number of events is needed
        low, high = _bounds(plan.query)
        left = plan.query.limit
        filtered = plan.reads_records or len(plan.walk) > 1
        self._longest = LONGEST_FILTERED if filtered else LONGEST_CHUNK
        size = max(FIRST_CHUNK, min(left or 0, self._longest))
        self._far = low if plan.query.descending else high  # the end of the last part
        seeking = plan.runs > 0
        self._place = _Place(low, high, left, size, seeking, ended=bool(plan.nothing))
        # The keys of the walked flags, and whether events are looked up in their sets.
        self._walk = [(fmt.text_key(flag), plan.looked_up(flag)) for flag in plan.walk]
        self._filter = RecordFilter(plan)

    def next_page(self) -> Page | None:
        """Return the next events (at least one), or None at the end.

        The place moves on as the last step before this returns: after an interrupt, the next call
        reads the same page again.
        """
        before = self._place
        try:
            while not self._place.ended:
                if self._place.seeking:
                    self._place = self._reads(self._next_part, views=True)
                    continue
                chunk = self._reads(self._next_chunk)
                keys, events = self._filter.matching(
                    chunk.keys, chunk.records, filtered=chunk.filtered
                )
                left = self._place.left
                if left is not None:
                    keys, events = keys[:left], events[:left]
                page, place = _page(keys, events), self._place_after(chunk.last, len(keys))
                self._place = place
                if events:
                    return page
        except BaseException:
            self._place = before
            raise
        return None

    def count(self) -> int:
        """Return how many events remain, to the end."""
        self._counting = True
        total, keys_only = 0, not self._plan.reads_records
        if keys_only or self._place.left is None:
            size = KEY_CHUNK if keys_only else self._longest
            self._place = self._place._replace(size=min(size, self._place.left or size))
        while not self._place.ended:
            if self._place.seeking:
                self._place = self._reads(self._next_part, views=True)
                continue
            if keys_only:
                chunk = self._reads(self._next_keys)
                found = len(chunk.keys)
            else:
                chunk = self._reads(self._next_chunk)
                found = self._count_in(chunk)
            if self._place.left is not None:
                found = min(found, self._place.left)
            total += found
            self._place = self._place_after(chunk.last, found)
        return total

    def _count_in(self, chunk: _Chunk) -> int:
        if self._filter.exact:  # no event needs decoding
            return len(chunk.records if chunk.filtered else self._filter.chosen(chunk.records))
        _, events = self._filter.matching(chunk.keys, chunk.records, filtered=chunk.filtered)
        return len(events)

    def _place_after(self, last: bytes | None, found: int) -> _Place:
        """Return the place after the last key that was read (None: the end of the range).

        `found` is the number of events found on the way there.
        """
        low, high, left, size, _, _ = self._place
        if left is not None:
            left -= found
        if self._query.descending:
            high = fmt.before_key(low if last is None else last)
        else:
            low = fmt.after_key(high if last is None else last)
        size = self._next_size(size, left, found)
        place = _Place(low, high, left, size, seeking=False, ended=left == 0)
        if low <= high:
            return place
        if self._query.descending:
            low = self._far
        else:
            high = self._far
        return place._replace(low=low, high=high, seeking=True, ended=place.ended or low > high)

    def _next_size(self, size: int, left: int | None, found: int) -> int:
        """Return the size of the chunk after one of `size` in which `found` events were found."""
        longest = max(size, self._longest)
        if found and not self._counting:  # every match in a chunk is decoded
            longest = min(longest, max(LONGEST_CHUNK, size * LONGEST_CHUNK // found))
        if left is None or not found:
            size *= GROWTH
        return min(size, longest)

    def _next_part(self, txn: Transaction[Any], databases: Databases) -> _Place:
        """Return the place at the next part that may hold a match.

        It reads the current signatures. They cover all events of the search except those deleted
        since, and may cover events saved since.
        """
        place, pattern = self._place, self._query.pattern
        assert pattern is not None, "signatures are for patterns"  # noqa: S101
        most = MOST_RUNS if place.size >= RUN else 1  # the first events come at once
        with txn.cursor(db=databases.signatures) as cursor:
            part = next_part(
                cursor,
                pattern.probe,
                place.low,
                place.high,
                most,
                descending=self._query.descending,
            )
        if part is None:
            return place._replace(ended=True)
        return place._replace(low=part[0], high=part[1], size=min(place.size, RUN), seeking=False)

    # -- reading a chunk: inside of a transaction -------------------------------------------------

    def _next_chunk(self, txn: Transaction[bytes], databases: Databases) -> _Chunk:
        size, left = self._place.size, self._place.left
        if left is not None and not self._plan.reads_records and len(self._walk) < 2:  # noqa: PLR2004
            size = min(size, left)
        with txn.cursor(db=databases.timeline) as cursor:
            bounded = bool(txn.stat(databases.timeline)["overflow_pages"])
            if self._walk:
                chunk = self._fetch(cursor, self._walked(txn, databases, size), bounded=bounded)
            elif self._query.pattern is None or bounded or self._saved_since(txn, databases):
                chunk = self._scan(cursor, size, bounded=bounded)
            else:
                return self._filtered_scan(txn, databases, cursor, size)
        return self._before_watermark(txn, databases, chunk)

    def _next_keys(self, txn: Transaction[bytes], databases: Databases) -> _Chunk:
        if self._walk:
            chunk = self._walked(txn, databases, self._place.size)
        else:
            with txn.cursor(db=databases.timeline) as cursor:
                keys = list(islice(self._entries(cursor, values=False), self._place.size))
            chunk = self._cut(keys, [], ended=len(keys) < self._place.size)
        return self._before_watermark(txn, databases, chunk)

    def _scan(self, cursor: Cursor[bytes], size: int, *, bounded: bool) -> _Chunk:
        items = islice(self._entries(cursor), size)
        found = _within_bytes(items) if bounded else list(items)
        ended = len(found) < size and not (bounded and next(items, None))
        # Four times as quick as zip(*found), which makes an iterator for each.
        keys, records = [key for key, _ in found], [record for _, record in found]
        return self._cut(keys, records, ended=ended)

    def _filtered_scan(
        self, txn: Transaction[bytes], databases: Databases, cursor: Cursor[bytes], size: int
    ) -> _Chunk:
        """Scan the records only, and find the keys of those that pass the filter.

        Reading records without their keys takes two thirds of the time.
        """
        records = list(islice(self._entries(cursor, keys=False), size))
        if not records:
            return _Chunk([], [], None)
        last = cursor.key()
        if not self._place.low <= last <= self._place.high:  # it is empty if all was read
            keys = list(islice(self._entries(cursor, values=False), size))
            return self._cut(keys, records, ended=True)
        chosen = self._filter.chosen(records)
        if self._filter.exact:
            chosen = chosen[: self._place.left]
        if self._counting and self._filter.exact:  # the keys are not needed
            return _Chunk([], [records[n] for n in chosen], last, filtered=True)
        if len(chosen) * WORTH_A_PASS < len(records):
            records = [records[n] for n in chosen]
            keys = _keys_by_id(txn, databases, records)
        else:
            keys, records = select(
                chosen, list(islice(self._entries(cursor, values=False), size)), records
            )
        return _Chunk(keys, records, last, filtered=True)

    def _entries(
        self, cursor: Cursor[bytes], *, keys: bool = True, values: bool = True
    ) -> Iterator[Any]:
        place = self._place
        return entries(
            cursor,
            place.low,
            place.high,
            descending=self._query.descending,
            keys=keys,
            values=values,
        )

    def _cut(self, keys: list[bytes], records: list[bytes], *, ended: bool) -> _Chunk:
        """Cut off everything beyond the far end of the range."""
        inside = len(keys)
        if keys and self._query.descending and keys[-1] < self._place.low:
            inside = len(keys) - bisect_left(keys[::-1], self._place.low)
        elif keys and not self._query.descending and keys[-1] > self._place.high:
            inside = bisect_right(keys, self._place.high)
        if ended or inside < len(keys):
            return _Chunk(keys[:inside], records[:inside], None)
        return _Chunk(keys, records, keys[-1])

    def _walked(self, txn: Transaction[bytes], databases: Databases, size: int) -> _Chunk:
        """Return the keys that are in all walked posting sets, starting from the rarest."""
        (rarest, _), *others = self._walk
        descending = self._query.descending
        with txn.cursor(db=databases.flags) as cursor:
            low, high = leap(
                cursor,
                [flag_key for flag_key, _ in others],
                self._place.low,
                self._place.high,
                descending=descending,
            )
            if low > high:
                return _Chunk([], [], None)
            keys = duplicates(cursor, rarest, low, high, size, descending=descending)
            last = keys[-1] if len(keys) == size else None
            return _Chunk(merged(cursor, others, keys), [], last)

    def _fetch(self, cursor: Cursor[bytes], chunk: _Chunk, *, bounded: bool) -> _Chunk:
        """Read the records of a chunk of keys."""
        keys = chunk.keys
        if bounded:
            items = _within_bytes((key, cursor.get(key, b"")) for key in keys)
        else:
            items = cursor.getmulti(keys)
        records = [record for _, record in items]
        if not all(records) or (not bounded and len(records) < len(keys)):
            raise StoreDamaged(f"a flag names an event near {shown(keys[0])} that is not there")
        if len(records) < len(keys):
            keys = keys[: len(records)]
            return _Chunk(keys, records, keys[-1])
        return _Chunk(keys, records, chunk.last)

    def _saved_since(self, txn: Transaction[bytes], databases: Databases) -> bool:
        return txn.get(fmt.NEXT, db=databases.meta) != self._watermark

    def _before_watermark(
        self, txn: Transaction[bytes], databases: Databases, chunk: _Chunk
    ) -> _Chunk:
        if not self._saved_since(txn, databases):
            return chunk
        old = fmt.below_watermark(chunk.keys, self._watermark)
        records = [chunk.records[n] for n in old] if chunk.records else []
        return _Chunk([chunk.keys[n] for n in old], records, chunk.last)


def _page(keys: list[bytes], events: list[Event]) -> Page:
    return Page(events, lambda n: fmt.decode_key(keys[n]))


def _bounds(query: Query) -> tuple[bytes, bytes]:
    low, high = fmt.first_key(query.ts_start), fmt.last_key(query.ts_end)
    if query.after is not None:
        last = fmt.timeline_key(query.after)
        if query.descending:
            high = min(high, fmt.before_key(last))
        else:
            low = max(low, fmt.after_key(last))
    return low, high


def _keys_by_id(txn: Transaction[bytes], databases: Databases, records: list[bytes]) -> list[bytes]:
    ids = [event.id for event in fmt.decode(records)]
    keys = [fmt.key_in(txn.get(fmt.text_key(event_id), b"", db=databases.ids)) for event_id in ids]
    if not all(keys):
        raise StoreDamaged(f"an event of {shown(ids)} is missing from the index of ids")
    return keys


def _within_bytes(items: Any) -> list[tuple[bytes, bytes]]:
    """Take items until their records reach CHUNK_BYTES."""
    taken, total = [], 0
    for item in items:
        taken.append(item)
        total += len(item[1])
        if total >= CHUNK_BYTES:
            break
    return taken
