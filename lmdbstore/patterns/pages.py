r"""Searching many texts at once: RE2 is called once for a page of records, joined by newlines.

It runs the page rendering, in which `^`, `\A` and `$` are those of lines. Claim: if a content
matches alone, then a match in the page starts in that content or at its end, whatever is before
it. The content is in the page unchanged, with a newline or an end of the page on either side. So
the characters that the match takes are there, and each assertion in it holds there too:

* `^` and `\A`, at the content's start: a newline is before it. Inside of it, the same newlines.
* `$`, at the content's end: a newline, or the end of the page, is behind it. Inside likewise.
* `\b` and `\B` look at the two neighbours: the same ones inside; a newline and no character at all
  are alike to them at the ends.

A match in the page need not be one in a content: it may begin in a header, run on, or start
between the bytes of a character (RE2 sees `\B` there). So the record in which it starts is tested
alone, and the search goes on at the next record. Leftmost matches are found, so no record that was
passed over matches: its match would have been further left. The claim holds for every pattern of
the subset. `by_page` is False only where it does not pay: if a pattern can match everywhere, or
compiles to so much that RE2 may be slow on long texts.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate, count
from operator import add
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .pattern import Pattern

__all__ = ["search_page"]

# When a page is hit so often, or its headers are, searching from hit to hit is given up.
FREE_HITS = 8  # any page may have as many hits
FREE_HITS_UNBOUNDED = 1  # each may have read the page to its end
FALSE_HITS = 4
DENSE = 4  # of so many records, one may be hit: a hit costs about as much as three tests


def search_page(
    pattern: Pattern,
    parts: Sequence[bytes],
    joint: bytes,
    content_of: Callable[[bytes], bytes],
    found: list[int],
) -> int:
    """Search parts joined by `joint`, and append the numbers of those that match to `found`.

    A part that is hit is tested alone, by its content. Returns how many parts were passed: all, or
    those before which this ceased to pay.
    """
    page = joint.join(parts)
    hit = pattern.next_hit(page, 0)
    if hit < 0 or not parts:
        return len(parts)
    # Where each part ends that is followed by its joint; a hit in the joint belongs to the part.
    ends = list(map(add, accumulate(map(len, parts)), count(len(joint), len(joint))))
    budget = FREE_HITS_UNBOUNDED if pattern.unbounded else FREE_HITS
    hits = missed = 0
    while hit >= 0:
        n = bisect_right(ends, hit)
        if pattern.matches(content_of(parts[n])):
            found.append(n)
        else:
            missed += 1
        hits += 1
        n += 1
        if n == len(parts):
            break
        if missed >= FALSE_HITS or hits >= (budget if pattern.unbounded else budget + n // DENSE):
            return n
        hit = pattern.next_hit(page, ends[n - 1])
    return len(parts)
