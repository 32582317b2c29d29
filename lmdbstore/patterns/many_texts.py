r"""Searching many texts at once: RE2 is called once for a page of records, joined by newlines.

It uses the page rendering, in which `^`, `\A` and `$` are those of lines. Claim: if a content
matches alone, then a match in the page starts in that content or at its end, whatever comes before
it. The content is in the page unchanged, with a newline or an end of the page on either side. So
the characters of the match are there, and each assertion in the match holds there too:

* `^` and `\A`, at the start of the content: a newline comes before it. Inside it: the same
  newlines.
* `$`, at the end of the content: a newline, or the end of the page, comes after it. Inside it: the
  same newlines.
* `\b` and `\B` depend on the two neighbours. Inside the content these are the same; at its ends, a
  newline and no character at all have the same effect.

A match in the page need not be one in a content: it may begin in a header, extend past a content,
or start between the bytes of a character (RE2 sees `\B` there). So the record in which it starts is
tested alone, and the search continues at the next record. RE2 finds leftmost matches, so a record
that was passed over does not match: its match would have been further left. One case needs no test:
if no content has a newline, and every match of the pattern has a character and no newline, then a
match in joined contents lies in one of them, and the assertions hold in it as they do in the page.

The claim holds for every pattern of the subset. `by_page` is False only if a page search costs more
than it saves: if a pattern can match everywhere, or compiles to a program so large that RE2 may be
slow on long texts.
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

# The search from hit to hit stops if a page, or its headers, have more hits than this.
FREE_HITS = 8  # any page may have as many hits
FREE_HITS_UNBOUNDED = 1  # each may have read the page to its end
FALSE_HITS = 4
DENSE = 4  # one of so many records may be hit: a hit costs about as much as three tests


def search_page(
    pattern: Pattern,
    parts: Sequence[bytes],
    joint: bytes,
    content_of: Callable[[bytes], bytes],
    found: list[int],
) -> int:
    """Search parts joined by `joint`, and append the numbers of those that match to `found`.

    A part that is hit is tested alone, by its content. Returns how many parts were searched: all,
    or those before the point where this stopped being faster.
    """
    page = joint.join(parts)
    hit = pattern.next_hit(page, 0)
    if hit < 0 or not parts:
        return len(parts)
    # The end of each part, its joint included: a hit in the joint belongs to the part.
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
