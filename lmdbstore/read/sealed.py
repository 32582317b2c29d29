"""Reading sealed events: from run to run in either direction, inside a read transaction.

Rules: the transaction reads views. Runs are skipped that have no slot for a term of the query, or
whose signature excludes its pattern. The front of a run is checked before it is used, and what is
shown or searched is checked too. One call reads at most `MOST_RUNS` runs. What is damaged raises
StoreDamaged; or it is left out, and noted: an event, or a run whose front cannot be read.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import islice
from math import expm1, prod
from typing import TYPE_CHECKING, Any, NamedTuple

from lmdbstore.disk import format as fmt
from lmdbstore.errors import StoreDamaged
from lmdbstore.records.decoding import decode_parts
from lmdbstore.records.layout import digest_of
from lmdbstore.threads.re2_gate import run_engine

from .cursor import meeting, seek, seek_duplicate, side_by_side
from .found import Found
from .run_match import RunMatcher
from .run_range import PostedReader, RunRange

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lmdb import Transaction

    from lmdbstore.contract.event import Event
    from lmdbstore.contract.left_out import Losses
    from lmdbstore.disk.databases import Databases
    from lmdbstore.records.run import Run, Slots

    from .plan import Plan

__all__ = ["Sealed", "SealedReader"]

NOTED_AS_RUN = 8  # postings with slots that take as long as a run
FEW, LONGEST_CHUNK = 8, 256  # postings; and one event in so few is read alone
IN_MOST = 2  # events a run, with a term: nine of ten runs have one, if chance decides
ENTRIES = 16  # signatures that are looked at before it is checked whether the range has ended


class Sealed(NamedTuple):
    """Sealed events that were read, in the requested order."""

    events: list[Event]
    local_ids: list[Sequence[int]]  # of the events, in parts
    number: int  # of events, if they are only counted
    reached: bytes | None  # everything up to this key was read; None at the end of the range


class SealedReader:
    """Reads the sealed events of a query."""

    def __init__(self, plan: Plan, watermark: int, losses: Losses | None) -> None:
        """Read for `plan`; events with a local id from `watermark` on are left out.

        What is damaged is noted in `losses`; without it, it raises StoreDamaged.
        """
        # The runs of the rarest term are read, and of others that are not much more frequent, those
        # that all of these have in common; the directory of each run decides on the rest, and on
        # terms that are in most runs. Or the runs are read that have one of some terms.
        first = plan.walk[0] if plan.walk else None
        self._leading = [
            term.key
            for term in plan.walk
            if term is first
            or not (plan.looked_up(term) or plan.postings[term] > IN_MOST * plan.runs)
        ]
        self._side_by_side: list[bytes] = []
        if plan.by_some:
            self._leading, self._side_by_side = [], [term.key for term in plan.some]
        self._digests = [digest_of(term.key) for term in plan.walk]
        self._some = [digest_of(term.key) for term in plan.some] if plan.some else []
        without = plan.query.not_flags
        self._without = [digest_of(fmt.flag_key(flag)) for flag in without] if without else []
        self._posted = PostedReader(plan, watermark, self._digests[0]) if self._leading else None
        self._kept, self._asked = _expected(plan), 1.0  # events, of postings
        self._pattern, self._where = plan.query.pattern, plan.query.where
        self._matcher = None if self._pattern is None else RunMatcher(self._pattern)
        self._probe = None if not plan.probes or self._pattern is None else self._pattern.probe
        self._descending = plan.query.descending
        self._watermark = watermark
        self._losses = losses

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
            together = self._losses is None
            found = Found(most, counting=counting, exact=exact, together=together)
            return self._read(RunRange(txn, databases, cursor, low, high), found)

    def _read(self, part: RunRange, found: Found) -> Sealed:
        if len(self._leading) == 1:
            reached = self._read_term(part, found)
        else:
            reached = self._read_runs(part, found)
        low, high = part.low, part.high
        if reached is not None and (reached <= low if self._descending else reached >= high):
            reached = None
        events, local_ids, number = found.all()
        return Sealed(events, local_ids, number, reached)

    def _read_runs(self, part: RunRange, found: Found) -> bytes | None:
        for end in self._ends(part):
            if reached := self._take(part, end, found):
                return reached
        return None

    def _take(self, part: RunRange, end: bytes, found: Found) -> bytes | None:
        """Take the events of a run; return the key up to which was read, if that was enough."""
        found.runs += 1
        try:
            run = part.run(end)
            run.check_front()
        except StoreDamaged:
            if self._losses is None:
                raise
            self._losses.add_run(end, part.number_of_events(end))
            if not found.full:
                return None
            return part.begin(end) if self._descending else end
        chosen = self._chosen(part, run)
        try:
            slots = self._matching(run, chosen)
            reached = found.take(run, self._in_order(slots)) if slots else None
        except StoreDamaged:
            if self._losses is None:
                raise
            slots = self._whole(run, chosen, self._losses)
            reached = found.take(run, self._in_order(slots), alone=True) if slots else None
        if reached or not found.full:
            return reached
        return run.key(0) if self._descending else end

    def _in_order(self, slots: Slots) -> Slots:
        return slots[::-1] if self._descending else slots

    def _read_term(self, part: RunRange, found: Found) -> bytes | None:
        """Read the runs of the rarest term; of those with few events that have it, only these."""
        first, last = part.bounds()
        descending = self._descending
        with part.txn.cursor(db=part.databases.run_postings) as cursor:
            if not seek_duplicate(cursor, self._leading[0], first, last, descending=descending):
                return None
            every = cursor.iterprev_dup() if descending else cursor.iternext_dup()
            while chunk := fmt.split_postings(islice(every, self._chunk(found.missing))):
                inside = chunk
                if not first <= chunk[-1][0] <= last:
                    inside = [posting for posting in chunk if first <= posting[0] <= last]
                noted = sum(map(fmt.has_slots, inside))
                take = self._take_posted if 2 * noted >= len(inside) else self._take_runs
                if inside and (reached := take(part, inside, found)):
                    return reached
                if inside is not chunk:
                    return None
        return None

    def _chunk(self, missing: int) -> int:
        """Return how many postings lead to so many events, if they do as those before did."""
        least = 1 if len(self._digests) == 1 else FEW
        return max(least, min(LONGEST_CHUNK, round(missing * self._asked / self._kept)))

    def _take_posted(
        self, part: RunRange, postings: list[fmt.RunPosting], found: Found
    ) -> bytes | None:
        """Take the events of postings, of which most have their slots."""
        assert self._posted is not None  # noqa: S101  there is a term
        try:
            read = self._posted.read(part, postings)
        except StoreDamaged:  # the runs have to be read, and one is damaged
            read = None
        if read is None:
            return self._take_runs(part, postings, found)
        found.runs += len(postings) // NOTED_AS_RUN
        self._asked += len(postings)
        self._kept += len(read[0])
        if reached := found.add(*read):
            return reached
        if not found.full:
            return None
        end = postings[-1][0]
        return part.begin(end) if self._descending else end

    def _take_runs(
        self, part: RunRange, postings: list[fmt.RunPosting], found: Found
    ) -> bytes | None:
        """Take the events of the runs of postings."""
        for posting in postings:
            if reached := self._take(part, posting[0], found):
                return reached
        return None

    # -- which runs -------------------------------------------------------------------------------

    def _ends(self, part: RunRange) -> Iterator[bytes]:
        """Yield the ends of the runs that may have events in the range."""
        if not (self._leading or self._side_by_side) and self._probe is None:
            return self._all_ends(part)
        first, last = part.bounds()
        if terms := self._side_by_side:
            runs = part.txn, part.databases.run_postings
            return side_by_side(*runs, terms, first, last, descending=self._descending)
        if self._probe is not None:
            return self._ends_by_signature(part, first, last)
        return self._ends_of_terms(part, first, last)

    def _all_ends(self, part: RunRange) -> Iterator[bytes]:
        cursor, low, high = part.cursor, part.low, part.high
        if self._descending:
            there = cursor.set_range(high) or cursor.last()
            while there and (end := bytes(cursor.key())) >= low:
                yield end
                there = cursor.prev()
        else:
            there = cursor.set_range(low)
            while there:
                end = bytes(cursor.key())
                yield end
                there = end < high and cursor.next()

    def _ends_of_terms(self, part: RunRange, first: bytes, last: bytes) -> Iterator[bytes]:
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

    def _ends_by_signature(self, part: RunRange, first: bytes, last: bytes) -> Iterator[bytes]:
        probe = self._probe
        assert probe is not None  # noqa: S101  see `_ends`
        with part.txn.cursor(db=part.databases.summaries) as index:
            there = seek(index, first, last, descending=self._descending)
            move = index.iterprev if self._descending else index.iternext
            values = move(keys=False)
            while there and first <= bytes(index.key()) <= last:  # it has no key after the end
                for _ in probe.passing(islice(values, ENTRIES), fmt.SIGNATURE_AT):
                    end = bytes(index.key())
                    if not first <= end <= last:
                        return
                    yield end

    # -- which events -----------------------------------------------------------------------------

    def _chosen(self, part: RunRange, run: Run) -> Slots:
        """Return the slots of the events that meet all conditions but the pattern, rising."""
        inside = part.holds(run)
        slots: Slots = range(run.events) if inside else run.span(part.low, part.high)
        if self._digests:
            numbers = list(map(run.find, self._digests))
            common = run.common(numbers) if min(numbers) >= 0 else []
            slots = common if inside else _both(common, slots)
        if self._some:
            slots = _among(run.any_of(self._some), slots)
        if self._without and (gone := run.any_of(self._without)):
            slots = [slot for slot in slots if slot not in gone]
        if part.has_dead:
            slots = part.left(run.end, slots)
        if run.highest >= self._watermark:
            old = zip(slots, run.local_ids_at(slots), strict=True)
            slots = [slot for slot, local_id in old if local_id < self._watermark]
        return slots

    def _matching(self, run: Run, slots: Slots) -> Slots:
        """Return those of the slots whose contents match."""
        if slots and self._matcher is not None:
            slots = run_engine(self._matcher.matching, run, slots)
        if slots and (where := self._where) is not None:
            if len(slots) * FEW < run.events:
                return [slot for slot in slots if where.matches(bytes(run.part(slot)[1]))]
            run.check_contents()
            contents = run.each_content()
            return [slot for slot in slots if where.matches(contents[slot])]
        return slots

    def _whole(self, run: Run, slots: Slots, losses: Losses) -> list[int]:
        """Return those of the slots that are what was written, and match; note the others."""
        whole = []
        for slot in slots:
            try:
                header, content = run.part(slot)
                decode_parts([(header, content)])
            except StoreDamaged:
                losses.add_event(run.key(slot))
                continue
            matches = self._pattern is None or run_engine(self._pattern.matches, content)
            if matches and (self._where is None or self._where.matches(bytes(content))):
                whole.append(slot)
        return whole

    # -- counting ---------------------------------------------------------------------------------

    def found_in(self, part: RunRange, end: bytes) -> tuple[Run, Slots]:
        """Return a run of a range with the slots of the events that match.

        No event is read; contents are, where there is a pattern.
        """
        run = part.run(end)
        run.check_front()
        return run, self._matching(run, self._chosen(part, run))

    def found(self, part: RunRange) -> Iterator[tuple[Run, Slots]]:
        """Yield the runs of a range in which events match."""
        for end in self._ends(part):
            run, slots = self.found_in(part, end)
            if slots:
                yield run, slots

    def count(self, txn: Transaction[Any], databases: Databases, low: bytes, high: bytes) -> int:
        """Return the number of events in a range, for a query that has only a range."""
        total = 0
        with (
            txn.cursor(db=databases.summaries) as index,
            txn.cursor(db=databases.runs) as cursor,
        ):
            part = RunRange(txn, databases, cursor, low, high)
            there, inside = index.set_range(low), False
            while there:
                end, summary = bytes(index.key()), fmt.decode_summary(index.value())
                if inside and end <= high and summary.highest < self._watermark:
                    total += summary.events
                else:
                    run = part.run(end)
                    run.check_front()
                    total += len(self._chosen(part, run))
                inside = True
                there = end < high and index.next()
        return total


def _expected(plan: Plan) -> float:
    """Return how many events with all terms a posting of the rarest leads to, if chance decides."""
    if not plan.runs or not plan.walk:
        return 1.0
    rarest, *others = [max(plan.postings[term], 1) for term in plan.walk]
    each = rarest / plan.runs
    share = prod([number / max(plan.events, 1) for number in others])
    return max(share * each / -expm1(-each), 1 / LONGEST_CHUNK)


def _among(some: set[int], slots: Slots) -> list[int]:
    """Return those of the slots that are some of these."""
    if isinstance(slots, range):  # there are more of them
        return sorted(filter(slots.__contains__, some))
    return [slot for slot in slots if slot in some]


def _both(slots: list[int], span: Slots) -> list[int]:
    """Return those of the slots that are in a range of them."""
    if not span:
        return []
    return slots[bisect_left(slots, span[0]) : bisect_left(slots, span[-1] + 1)]
