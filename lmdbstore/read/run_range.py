"""A range of the timeline in a transaction: its runs, and the events that postings lead to.

Rules: the transaction reads views. `RunRange` checks nothing of what it reads. What a posting says
is not trusted: if an event cannot be read, or lacks the term, the caller reads the runs themselves.
"""

from __future__ import annotations

from itertools import compress
from typing import TYPE_CHECKING, Any, TypeVar

from lmdbstore.contract.query import Position
from lmdbstore.disk import format as fmt
from lmdbstore.errors import StoreDamaged
from lmdbstore.records.decoding import records_at
from lmdbstore.records.record import content_of, decode, in_header
from lmdbstore.records.run import Run, positions
from lmdbstore.threads.re2_gate import run_engine

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lmdb import Cursor, Transaction

    from lmdbstore.contract.event import Event
    from lmdbstore.disk.databases import Databases

    from .plan import Plan

__all__ = ["PostedReader", "RunRange"]

AnySlots = TypeVar("AnySlots", bound="Sequence[int]")


class RunRange:
    """A range of the timeline in a transaction, and the runs in it."""

    def __init__(
        self,
        txn: Transaction[Any],
        databases: Databases,
        cursor: Cursor[Any],
        low: bytes,
        high: bytes,
    ) -> None:
        self.txn = txn
        self.databases = databases
        self.cursor = cursor  # of `runs`
        self.low = low
        self.high = high
        self.has_dead = txn.stat(databases.dead)["entries"] > 0
        # They may be NaN, which is below and above no time.
        self.low_time = fmt.decode_key(low).timestamp
        self.high_time = fmt.decode_key(high).timestamp

    def bounds(self) -> tuple[bytes, bytes]:
        """Return the bounds of the ends of the runs that the range touches."""
        cursor = self.cursor
        return self.low, bytes(cursor.key()) if cursor.set_range(self.high) else fmt.LAST_KEY

    def value(self, end: bytes) -> memoryview:
        """Return the value of a run by its end."""
        if not self.cursor.set_key(end):
            at = fmt.decode_key(end).timestamp
            raise StoreDamaged(f"the run of events that ends at the time {at!r} is not there")
        return memoryview(self.cursor.value())

    def run(self, end: bytes) -> Run:
        """Return a run by its end."""
        return Run(end, self.value(end))

    def begin(self, end: bytes) -> bytes:
        """Return the first key that a run may have: after the end of the run before it."""
        cursor = self.cursor
        there = cursor.prev() if cursor.set_range(end) else cursor.last()
        return fmt.after_key(bytes(cursor.key())) if there else fmt.FIRST_KEY

    def number_of_events(self, end: bytes) -> int | None:
        """Return how many events a run has, without reading it; None if that is not known."""
        try:
            return fmt.decode_summary(self.txn.get(end, b"", db=self.databases.summaries)).events
        except StoreDamaged:
            return None

    def has(self, seconds: float, local_id: int) -> bool:
        """Whether an event is in the range."""
        if self.low_time < seconds < self.high_time:
            return True
        return self.low <= fmt.timeline_key(Position(seconds, local_id)) <= self.high

    def encloses(self, one: Event, other: Event) -> bool:
        """Whether two events, and those between them, are in the range; False: not certain."""
        low, high = self.low_time, self.high_time
        return low < one.timestamp < high and low < other.timestamp < high

    def holds(self, run: Run) -> bool:
        """Whether all events of a run are in the range; False: not certain."""
        return run.end <= self.high and run.begins_after(self.low_time)

    def left(self, end: bytes, slots: AnySlots) -> AnySlots | list[int]:
        """Return those of the slots of a run whose events were not deleted."""
        bits = self.txn.get(end, db=self.databases.dead)
        if bits is None:
            return slots
        gone = set(positions(bytes(bits)))
        return [slot for slot in slots if slot not in gone]


class PostedReader:
    """Reads the events of the rarest term of a query."""

    def __init__(self, plan: Plan, watermark: int, digest: bytes) -> None:
        """Read for `plan`; events with a local id from `watermark` on are left out.

        `digest` is that of the rarest term.
        """
        query = plan.query
        self._rarest = plan.walk[0]
        self._digest = digest
        texts = [in_header(term.text) for term in plan.walk[1:]]
        self._needles = [text for text in texts if text]
        self._flags = frozenset(query.flags)
        self._source = query.source
        self._pattern = query.pattern
        self._some, self._without = frozenset(query.any_flags), frozenset(query.not_flags)
        self._where = query.where
        more = self._some or self._without or plan.reads_contents
        self._alone = len(plan.walk) == 1 and not more  # the rarest term
        self._only_flags = self._source is None and not more
        self._descending = query.descending
        self._watermark = watermark

    def read(
        self, part: RunRange, postings: Sequence[fmt.RunPosting]
    ) -> tuple[list[Event], list[int]] | None:
        """Return the events of a range that postings lead to and that match, and their local ids.

        They are in the order of the postings. None: the runs have to be read.

        Raises:
            StoreDamaged: a run is not there, or an event cannot be decoded.
        """
        found = records_at(self._places(part, postings), self._needles)
        if found is None:
            return None
        records, local_ids = found
        if not records:
            return [], []
        events = decode(records)
        if not self._lead(events):
            return None
        if max(local_ids) >= self._watermark or not part.encloses(events[0], events[-1]):
            chosen = [
                local_id < self._watermark and part.has(event.timestamp, local_id)
                for event, local_id in zip(events, local_ids, strict=True)
            ]
        elif self._alone:
            return events, local_ids
        else:
            chosen = [True] * len(events)
        if self._only_flags:
            have = self._flags.issubset
            chosen = [
                inside and have(event.tags) for inside, event in zip(chosen, events, strict=True)
            ]
        elif not self._alone:
            chosen = [
                inside and self._matches(event, record)
                for inside, event, record in zip(chosen, events, records, strict=True)
            ]
        return list(compress(events, chosen)), list(compress(local_ids, chosen))

    def _places(
        self, part: RunRange, postings: Sequence[fmt.RunPosting]
    ) -> Iterator[tuple[memoryview, Sequence[int]]]:
        """Yield the value of the run of each posting, and its slots that are not deleted.

        A value is read when its events are: then its pages are still in the processor's caches.
        """
        for posting in postings:
            end = posting[0]
            value = part.value(end)
            slots: Sequence[int] = fmt.slots_in(posting) or self._in_directory(end, value)
            if part.has_dead:
                slots = part.left(end, slots)
            yield value, slots[::-1] if self._descending else slots

    def _in_directory(self, end: bytes, value: memoryview) -> list[int]:
        """Return the slots of the rarest term in a run, if its posting does not have them."""
        run = Run(end, value)
        run.check_front()
        number = run.find(self._digest)
        return [] if number < 0 else run.slots(number)

    def _lead(self, events: list[Event]) -> bool:
        """Whether all events have the rarest term."""
        text = self._rarest.text
        if self._rarest.is_source:
            return all(event.source == text for event in events)
        return all(text in event.tags for event in events)

    def _matches(self, event: Event, record: bytes) -> bool:
        return (
            self._flags.issubset(event.tags)
            and self._source in (None, event.source)
            and (not self._some or not self._some.isdisjoint(event.tags))
            and self._without.isdisjoint(event.tags)
            and (self._where is None or self._where.matches(content_of(record)))
            and (self._pattern is None or run_engine(self._pattern.matches, content_of(record)))
        )
