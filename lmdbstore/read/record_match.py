"""Matching a pattern in many records at once.

Rules: this module knows that a record has a header, which the pattern must not match, and the cost
of a page of records; `patterns.many_texts` explains why a page may be searched as one text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmdbstore.patterns.charset import JOINT
from lmdbstore.patterns.many_texts import search_page
from lmdbstore.records.record import JOINT as RECORD_JOINT
from lmdbstore.records.record import content_of, contents_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmdbstore.patterns.pattern import Pattern

__all__ = ["matching_records"]


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
