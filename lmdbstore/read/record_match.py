"""Matching a pattern in many records at once.

Rules: this module knows that a record has a header, which the pattern must not match, and what a
page of records costs; `patterns.pages` says why a page may be searched at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmdbstore.disk import format as fmt
from lmdbstore.patterns.charset import JOINT
from lmdbstore.patterns.pages import search_page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmdbstore.patterns.pattern import Pattern

__all__ = ["matching_records"]


def matching_records(pattern: Pattern, records: Sequence[bytes]) -> list[int]:
    """Return the numbers of the records whose content the pattern is found in, in order.

    A page without a hit costs joining it and one search. If it has many hits, or its headers have
    some, the contents alone are searched; if those have many, each is tested. A pattern that is one
    text is then looked for in each content.
    """
    found: list[int] = []
    done = 0
    if pattern.by_page:
        done = search_page(pattern, records, fmt.RECORD_JOINT, fmt.content_of, found)
        if done == len(records):
            return found
    contents = fmt.contents_of(records[done:] if done else records)
    if (literal := pattern.literal) is not None:  # a sixth of the time that RE2 takes
        return found + [n for n, content in enumerate(contents, done) if literal in content]
    if pattern.by_page:
        more: list[int] = []
        passed = search_page(pattern, contents, JOINT, bytes, more)
        found.extend(map(done.__add__, more))
        contents, done = contents[passed:], done + passed
    test = pattern.test
    return found + [n for n, content in enumerate(contents, done) if test(content)]
