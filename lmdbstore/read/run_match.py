"""Matching a pattern in the contents of a run, as they lie on the mapped page.

Rules: `patterns.many_texts` explains why all contents may be searched as one text. A hit tells the
event in which it begins; that one is tested alone, unless the hit is certain. Where hits are many,
or may each read on to the end, each content is tested instead.

If a pattern has parts that are found faster (see `patterns.parts`), a part is searched for first,
and the events that it hits are tested. The bytes that RE2 leaps over pay for the tests. When they
do not, the pattern itself is searched for in the rest of the run, and another part in the next run.
So a search by parts costs little more than one without them, even if they are everywhere.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from lmdbstore.records.layout import ONE_LINE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lmdbstore.patterns.pattern import Pattern
    from lmdbstore.records.run import Run, Slots

__all__ = ["RunMatcher"]

FREE_HITS = 8  # any run may have as many hits
FREE_HITS_ACROSS = 1  # the same, if a match may extend over many contents
DENSE = 4  # one of so many events may be hit: a hit costs about as much as three tests
FEW = 8  # if only one event in so many is asked for, each is tested

# In bytes that RE2 reads in the same time, about: the price of a test without the content, and what
# a part has in advance. One in so many of the bytes that are leapt over pays, and no more is saved.
TEST, ADVANCE, PAYING, MOST_SAVED = 1000, 4000, 2, 100_000
RUNS_WITHOUT = 32  # that are searched before the parts are tried again


class RunMatcher:
    """Finds the events that match a pattern, in the runs of one search."""

    def __init__(self, pattern: Pattern) -> None:
        """Search for `pattern`."""
        self._pattern = pattern
        self._part = 0  # the number of the part that is tried
        self._credit = ADVANCE  # bytes that may be spent on tests
        self._without = 0  # runs that are still searched without parts

    def matching(self, run: Run, slots: Slots) -> list[int]:
        """Return those of the slots, which rise, whose content has a match; checks the contents."""
        run.check_contents()
        pattern, found, left = self._pattern, list[int](), slots
        if pattern.by_page and len(slots) * FEW >= run.events:
            if pattern.parts and self._uses_part():
                found, left = self._by_part(run, left)
            if left:
                more, left = _by_hits(pattern, run, left)
                found += more
        return found + _each(pattern, run, left) if left else found

    def _by_part(self, run: Run, slots: Slots) -> tuple[list[int], Slots]:
        """Test the events that a part hits; return the slots found, and those that are left."""
        pattern, contents = self._pattern, run.contents()
        find, first = pattern.parts[self._part], _begin(run, slots)
        hit = find(contents, first)
        found, wanted, price = list[int](), _members(slots), 0
        for slot, begin, end in _hits(find, run, slots, hit):
            if slot in wanted and pattern.matches(contents[begin:end]):
                found.append(slot)
            price += TEST + end - begin
            if price > self._credit + (end - first) // PAYING:
                self._next_part()
                return found, _after(slots, slot)
        paid = (len(contents) - first) // PAYING
        self._credit = min(self._credit + paid - price, MOST_SAVED)
        return found, []

    def _uses_part(self) -> bool:
        if self._without:
            self._without -= 1
            return False
        return True

    def _next_part(self) -> None:
        """Leave a part that costs too much."""
        self._part, self._credit = self._part + 1, ADVANCE
        if self._part == len(self._pattern.parts):
            self._part, self._without = 0, RUNS_WITHOUT


def _by_hits(pattern: Pattern, run: Run, slots: Slots) -> tuple[list[int], Slots]:
    """Search from hit to hit; return the slots found, and those that are left."""
    contents = run.contents()
    hit = pattern.next_hit(contents, _begin(run, slots))
    if hit < 0:
        return [], []
    certain = pattern.in_line and run.kinds & ONE_LINE
    found, wanted, first = list[int](), _members(slots), slots[0]
    free, dense = (FREE_HITS_ACROSS, run.events) if pattern.crosses_lines else (FREE_HITS, DENSE)
    for hits, (slot, begin, end) in enumerate(_hits(pattern.next_hit, run, slots, hit), 1):
        if slot in wanted and (certain or pattern.matches(contents[begin:end])):
            found.append(slot)
        if hits >= free + (slot + 1 - first) // dense:
            return found, _after(slots, slot)
    return found, []


def _hits(
    find: Callable[[memoryview, int], int], run: Run, slots: Slots, hit: int
) -> Iterator[tuple[int, int, int]]:
    """Yield the events that a search hits: the slot, and where the content begins and ends.

    They are those between the first and the last of the slots. `hit` is the first hit.
    """
    contents, events = run.contents(), run.events
    places, slot, last = run.content_places(), slots[0], slots[-1]
    number = 0
    while hit >= 0 and (slot := bisect_right(places, hit, slot, events)) <= last:
        following = places[slot]
        yield slot, places[slot - 1] if slot else 0, following - 1
        slot += 1
        number += 1
        if number == FREE_HITS:  # there may be many more
            places = run.content_ends()
        hit = find(contents, following) if slot <= last else -1


def _begin(run: Run, slots: Slots) -> int:
    """Return where the content of the first slot begins."""
    first = slots[0]
    return run.content_places()[first - 1] if first else 0


def _members(slots: Slots) -> range | set[int]:
    return slots if isinstance(slots, range) else set(slots)


def _after(slots: Slots, slot: int) -> Slots:
    return slots[bisect_right(slots, slot) :]


def _each(pattern: Pattern, run: Run, slots: Slots) -> list[int]:
    if len(slots) * FEW < run.events:
        contents, ends, test = run.contents(), run.content_ends(), pattern.test
        return [slot for slot in slots if test(contents[ends[slot - 1] : ends[slot] - 1])]
    texts = run.each_content()
    if (literal := pattern.literal) is not None:  # a sixth of the time of RE2
        return [slot for slot in slots if literal in texts[slot]]
    test = pattern.test
    return [slot for slot in slots if test(texts[slot])]
