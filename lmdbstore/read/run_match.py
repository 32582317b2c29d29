"""Matching a pattern in the contents of a run, as they lie on the mapped page.

Rules: `patterns.many_texts` explains why all contents may be searched as one text. A hit tells the
event in which it begins; that one is tested alone. Where hits are many, or may each read on to the
end, each content is tested instead.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lmdbstore.patterns.pattern import Pattern
    from lmdbstore.records.run import Run, Slots

__all__ = ["matching_slots"]

FREE_HITS = 8  # any run may have as many hits
FREE_HITS_ACROSS = 1  # the same, if a match may extend over many contents
DENSE = 4  # one of so many events may be hit: a hit costs about as much as three tests
FEW = 8  # if only one event in so many is asked for, each is tested


def matching_slots(pattern: Pattern, run: Run, slots: Slots) -> list[int]:
    """Return those of the slots, which rise, whose content has a match; checks the contents."""
    run.check_contents()
    if not pattern.by_page or len(slots) * FEW < run.events:
        return _each(pattern, run, slots)
    found, done = _hits(pattern, run, slots)
    if done >= run.events:
        return found
    rest = slots[bisect_right(slots, done - 1) :]
    return found + _each(pattern, run, rest)


def _hits(pattern: Pattern, run: Run, slots: Slots) -> tuple[list[int], int]:
    """Search from hit to hit; return the slots found, and the slot at which this stopped."""
    contents, events = run.contents(), run.events
    find = pattern.next_hit
    begin = slots[0]
    ends: list[int] = []
    hit = find(contents, 0)
    found: list[int] = []
    if hit < 0:
        return found, events
    ends = run.content_ends()
    wanted = slots if isinstance(slots, range) else set(slots)
    budget = FREE_HITS_ACROSS if pattern.crosses_lines else FREE_HITS
    hits, at = 0, 0
    while hit >= 0:
        at = bisect_right(ends, hit, at, events)
        if at in wanted and pattern.matches(contents[ends[at - 1] : ends[at] - 1]):
            found.append(at)
        hits += 1
        at += 1
        if at >= events or at > slots[-1]:
            return found, events
        if hits >= (budget if pattern.crosses_lines else budget + (at - begin) // DENSE):
            return found, at
        hit = find(contents, ends[at - 1])
    return found, events


def _each(pattern: Pattern, run: Run, slots: Slots) -> list[int]:
    if not slots:
        return []
    contents, ends = run.contents(), run.content_ends()
    if len(slots) * FEW < run.events:
        test = pattern.test
        return [slot for slot in slots if test(contents[ends[slot - 1] : ends[slot] - 1])]
    texts = run.each_content()
    if (literal := pattern.literal) is not None:  # a sixth of the time of RE2
        return [slot for slot in slots if literal in texts[slot]]
    test = pattern.test
    return [slot for slot in slots if test(texts[slot])]
