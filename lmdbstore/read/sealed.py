"""Reading sealed events: from run to run in either direction, inside a read transaction.

Rules: the transaction reads views. Runs are skipped that have no slot for a term of the query, or
whose signature excludes its pattern. The front of a run is checked before it is used, and what is
shown or searched is checked too. One call reads at most `MOST_RUNS` runs.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from lmdbstore.contract.query import Position
from lmdbstore.disk import format as fmt
from lmdbstore.errors import StoreDamaged
from lmdbstore.records.decoding import decode_part, decode_parts, part_of
from lmdbstore.records.layout import digest
from lmdbstore.records.run import Run, Slots, positions
from lmdbstore.threads.re2_gate import run_engine

from .cursor import seek_duplicate
from .plan import Term
from .postings import meeting
from .run_match import matching_slots

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lmdb import Cursor, Transaction

    from lmdbstore.contract.event import Event
    from lmdbstore.disk.databases import Databases

    from .plan import Plan

__all__ = ["Sealed", "SealedReader"]

MOST_RUNS = 64
ENTRIES = 16  # signatures that are looked at before it is checked whether the range has ended
FEW = 16  # events of a run; so few are decoded with those of other runs


class Sealed(NamedTuple):
    """Sealed events that were read, in the requested order."""

    events: list[Event]
    local_ids: list[Sequence[int]]  # of the events, in parts
    number: int  # of events, if they are only counted
    reached: bytes | None  # everything up to this key was read; None at the end of the range


class SealedReader:
    """Reads the sealed events of a query."""

    def __init__(self, plan: Plan, watermark: int) -> None:
        """Read for `plan`; events with a local id from `watermark` on are left out."""
        # The runs of the rarest term are read, and of terms that are not much more frequent, those
        # that all of these have in common; the directory of each run decides on the others.
        self._leading = [term.key for term in plan.walk if not plan.looked_up(term)]
        self._rarest = plan.walk[0] if plan.walk else Term("")
        self._flags = frozenset(plan.query.flags)
        self._source = plan.query.source
        self._digests = [digest(term.key).to_bytes(8, "little") for term in plan.walk]
        self._pattern = plan.query.pattern
        self._probe = None if not plan.probes or self._pattern is None else self._pattern.probe
        self._descending = plan.query.descending
        self._watermark = watermark

    def read(  # noqa: PLR0913, PLR0917  a range, and how much of it
        self,
        txn: Transaction[Any],
        databases: Databases,
        low: bytes,
        high: bytes,
        most: int,
        live_at: bytes | None,
        *,
        counting: bool,
        exact: bool,
    ) -> Sealed:
        """Read about `most` events of a range, if there are as many; not more, if `exact`.

        `live_at` is the first live event in the requested order: what comes before the runs is
        left to the caller.
        """
        with txn.cursor(db=databases.runs) as cursor:
            if self._descending and live_at is not None:
                last = bytes(cursor.key()) if cursor.last() else b""
                if last < live_at:
                    return Sealed([], [], 0, fmt.after_key(last) if last >= low else None)
            found = _Found(most, counting=counting, exact=exact)
            return self._read(_Range(txn, databases, cursor, low, high), found)

    def _read(self, part: _Range, found: _Found) -> Sealed:
        if len(self._leading) == 1:
            reached = self._read_term(part, found)
        else:
            reached = self._read_runs(part, found)
        low, high = part.low, part.high
        if reached is not None and (reached <= low if self._descending else reached >= high):
            reached = None
        events, local_ids, number = found.all()
        return Sealed(events, local_ids, number, reached)

    def _read_runs(self, part: _Range, found: _Found) -> bytes | None:
        for run in self._runs(part):
            if reached := self._take(part, run, found):
                return reached
        return None

    def _take(self, part: _Range, run: Run, found: _Found) -> bytes | None:
        """Take the events of a run; return the key up to which was read, if that was enough."""
        found.runs += 1
        run.check_front()
        slots = self._slots(part, run)
        if slots and (reached := found.take(run, slots[::-1] if self._descending else slots)):
            return reached
        if found.full:
            return run.key(0) if self._descending else run.end
        return None

    def _read_term(self, part: _Range, found: _Found) -> bytes | None:
        """Read the runs of the rarest term; where it has one event, only that event."""
        first, last = part.bounds()
        descending = self._descending
        with part.txn.cursor(db=part.databases.run_postings) as cursor:
            step = cursor.prev_dup if descending else cursor.next_dup
            there = seek_duplicate(cursor, self._leading[0], first, last, descending=descending)
            while there:
                posting = cursor.value()
                end, slot = fmt.posting_key(posting), fmt.slot_in(posting)
                if not first <= end <= last:
                    break
                if slot == fmt.SEVERAL or not self._take_one(part, end, slot, found):
                    if reached := self._take(part, part.run(end), found):
                        return reached
                elif found.full:
                    return fmt.timeline_key(found.last) if descending else end
                there = step()
        return None

    def _take_one(self, part: _Range, end: bytes, slot: int, found: _Found) -> bool:
        """Take the event of a slot, if it matches; False if the run has to be read."""
        read = part_of(part.value(end), slot)
        if read is None:
            return False
        header, content, seconds, local_id = read
        found.runs += 1
        found.last = Position(seconds, local_id)
        event = decode_part(header, content)
        if not self._leads(event):
            return False
        if (
            local_id < self._watermark
            and ((seconds > part.low_time and end <= part.high) or part.has(seconds, local_id))
            and self._flags.issubset(event.tags)
            and self._source in (None, event.source)
            and not (part.has_dead and part.is_dead(end, slot))
            and (self._pattern is None or run_engine(self._pattern.matches, content))
        ):
            found.add(event, local_id)
        return True

    def _leads(self, event: Event) -> bool:
        """Whether an event has the rarest term."""
        term = self._rarest
        return event.source == term.text if term.is_source else term.text in event.tags

    # -- which runs -------------------------------------------------------------------------------

    def _runs(self, part: _Range) -> Iterator[Run]:
        """Yield the runs that may have events in the range."""
        if not self._leading and self._probe is None:
            return self._all_runs(part)
        first, last = part.bounds()
        ends = (
            self._ends_by_signature(part, first, last)
            if self._probe is not None
            else self._ends_of_terms(part, first, last)
        )
        return map(part.run, ends)

    def _all_runs(self, part: _Range) -> Iterator[Run]:
        cursor, low, high = part.cursor, part.low, part.high
        if self._descending:
            there = cursor.set_range(high) or cursor.last()
            while there and (end := bytes(cursor.key())) >= low:
                yield Run(end, cursor.value())
                there = cursor.prev()
        else:
            there = cursor.set_range(low)
            while there:
                end = bytes(cursor.key())
                yield Run(end, cursor.value())
                there = end < high and cursor.next()

    def _ends_of_terms(self, part: _Range, first: bytes, last: bytes) -> Iterator[bytes]:
        """Yield the runs that have all of the leading terms."""
        descending = self._descending
        with part.txn.cursor(db=part.databases.run_postings) as postings:
            while end := meeting(postings, self._leading, first, last, descending=descending):
                yield end
                if end == (first if descending else last):  # it may be the lowest key of all
                    return
                if descending:
                    last = fmt.before_key(end)
                else:
                    first = fmt.after_key(end)

    def _ends_by_signature(self, part: _Range, first: bytes, last: bytes) -> Iterator[bytes]:
        probe = self._probe
        assert probe is not None  # noqa: S101  see `_runs`
        may_match, signature_in = probe.may_match, fmt.signature_in
        with part.txn.cursor(db=part.databases.summaries) as index:
            entries = self._summaries(index, first, last)
            while some := list(islice(entries, ENTRIES)):
                for key, value in some:
                    signature = signature_in(value)
                    if may_match(signature, len(signature)):
                        end = bytes(key)
                        if not first <= end <= last:
                            return
                        yield end
                if not first <= bytes(some[-1][0]) <= last:
                    return

    def _summaries(
        self, index: Cursor[Any], first: bytes, last: bytes
    ) -> Iterator[tuple[memoryview, memoryview]]:
        if self._descending:
            return iter(index.iterprev()) if index.set_key(last) else iter(())
        return iter(index.iternext()) if index.set_range(first) else iter(())

    # -- which events -----------------------------------------------------------------------------

    def _slots(self, part: _Range, run: Run) -> Slots:
        """Return the slots of the events of a run that match, rising."""
        inside = part.holds(run)
        slots: Slots = range(run.events) if inside else run.span(part.low, part.high)
        if self._digests:
            numbers = list(map(run.find, self._digests))
            common = run.common(numbers) if min(numbers) >= 0 else []
            slots = common if inside else _both(common, slots)
        if part.has_dead and (bits := part.dead(run)):
            gone = set(positions(bits))
            slots = [slot for slot in slots if slot not in gone]
        if run.highest >= self._watermark:
            old = zip(slots, run.local_ids_at(slots), strict=True)
            slots = [slot for slot, local_id in old if local_id < self._watermark]
        if slots and self._pattern is not None:
            return run_engine(matching_slots, self._pattern, run, slots)
        return slots

    # -- counting ---------------------------------------------------------------------------------

    def count(self, txn: Transaction[Any], databases: Databases, low: bytes, high: bytes) -> int:
        """Return the number of events in a range, for a query that has only a range."""
        total = 0
        with (
            txn.cursor(db=databases.summaries) as index,
            txn.cursor(db=databases.runs) as cursor,
        ):
            part = _Range(txn, databases, cursor, low, high)
            there, inside = index.set_range(low), False
            while there:
                end, summary = bytes(index.key()), fmt.decode_summary(index.value())
                if inside and end <= high and summary.highest < self._watermark:
                    total += summary.events
                else:
                    run = part.run(end)
                    run.check_front()
                    total += len(self._slots(part, run))
                inside = True
                there = end < high and index.next()
        return total


def _both(slots: list[int], span: Slots) -> list[int]:
    """Return those of the slots that are in a range of them."""
    if not span:
        return []
    return slots[bisect_left(slots, span[0]) : bisect_left(slots, span[-1] + 1)]


class _Range:
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
        self.low_time = fmt.decode_key(low).timestamp  # may be NaN, which is below no time

    def bounds(self) -> tuple[bytes, bytes]:
        """Return the first and the last end of the runs that the range touches."""
        cursor = self.cursor
        if not cursor.set_range(self.low):
            return fmt.LAST_KEY, fmt.FIRST_KEY
        first = bytes(cursor.key())
        return first, bytes(cursor.key()) if cursor.set_range(self.high) or cursor.last() else first

    def value(self, end: bytes) -> memoryview:
        """Return the value of a run by its end."""
        if not self.cursor.set_key(end):
            raise StoreDamaged("an index names a run that is not there")
        return memoryview(self.cursor.value())

    def run(self, end: bytes) -> Run:
        """Return a run by its end."""
        return Run(end, self.value(end))

    def has(self, seconds: float, local_id: int) -> bool:
        """Whether an event is in the range."""
        return self.low <= fmt.timeline_key(Position(seconds, local_id)) <= self.high

    def is_dead(self, end: bytes, slot: int) -> bool:
        """Whether an event of a run was deleted."""
        bits = self.txn.get(end, db=self.databases.dead)
        return bits is not None and slot in positions(bytes(bits))

    def holds(self, run: Run) -> bool:
        """Whether all events of a run are in the range; False: not certain."""
        return run.end <= self.high and run.begins_after(self.low_time)

    def dead(self, run: Run) -> bytes:
        """Return the bitmap of the deleted events of a run; empty if there is none."""
        return bytes(self.txn.get(run.end, b"", db=self.databases.dead))


class _Found:
    """Events that are collected from runs."""

    def __init__(self, most: int, *, counting: bool, exact: bool) -> None:
        self._most = most
        # A run is not read twice to make pages of one size, unless there is a limit.
        self._enough = most if exact else most * 3 // 4
        self._longest = most if exact else most * 5 // 4
        self._counting = counting
        self._number = 0
        self.runs = 0  # that were read
        self.last = Position(0.0, 0)  # of the last event that was read alone
        self._events: list[Event] = []
        self._local_ids: list[Sequence[int]] = []
        self._parts: list[tuple[memoryview, memoryview]] = []  # not decoded yet

    def add(self, event: Event, local_id: int) -> None:
        """Add one event."""
        self._number += 1
        if not self._counting:
            self._flush()
            self._events.append(event)
            self._local_ids.append((local_id,))

    @property
    def full(self) -> bool:
        """Whether no more runs should be read."""
        return self._number >= self._enough or self.runs >= MOST_RUNS

    def take(self, run: Run, slots: Slots) -> bytes | None:
        """Take events in the order of the slots; return the last key if some are left."""
        left = self._most - self._number
        reached = None
        if self._number + len(slots) > self._longest:
            slots = slots[:left]
            reached = run.key(slots[-1])
        self._number += len(slots)
        if slots and not self._counting:
            self._local_ids.append(run.local_ids_at(slots))
            self._decode(run, slots)
        return reached

    def _decode(self, run: Run, slots: Slots) -> None:
        if len(slots) < FEW:
            self._parts += map(run.part, slots)
            return
        self._flush()
        rising = slots[0] < slots[-1]
        events = run.select(slots if rising else slots[::-1])
        self._events += events if rising else reversed(events)

    def _flush(self) -> None:
        if self._parts:
            self._events += decode_parts(self._parts)
            self._parts = []

    def all(self) -> tuple[list[Event], list[Sequence[int]], int]:
        """Return the events, their local ids in parts, and their number."""
        self._flush()
        return self._events, self._local_ids, self._number
