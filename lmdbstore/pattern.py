r"""Patterns: the subset of regular expressions that `match` takes, what it means, and its engines.

The subset: literals and their escapes, `.`, classes with ranges and `\d \w \s \D \W \S`, `|`,
groups (capturing, named, or `(?:…)`), the flags i, m and s at the start of the pattern or for a
group (`(?i:…)`, `(?-i:…)`), the repeats `* + ? {m} {m,n} {m,}`, greedy or lazy, with bounds up to
1000, and `^ $ \A \b \B`. Everything else is refused by name and position.

The meaning: a pattern is found anywhere in the content. `\d \w \s` and `\b` are ASCII, `\s` is
`[ \t\n\r\f\v]`. `.` is any character but a newline; under `s` any. `^` is the start of the text;
under `m` also behind each newline. `$` is the end of the text alone; under `m` also before each
newline. Under `i` characters are equal when their cases are, in all alphabets: `(?i)é` finds É.

Two engines run it. RE2, called with UTF-8, takes time linear in the text whatever the pattern and
lets other threads run. The standard library's `re` is what the memory store uses, and what the
tests hold RE2 to. `pattern_parse` renders a pattern for both so that they agree.

Search by pages. RE2 is called once for many events: on their records joined by newlines, with the
page rendering, in which every anchor is one of lines. If no match starts in a record there, its
content does not match: the content stands there unchanged between newlines (or the page's ends);
literals and classes see the same characters; `^`, `$`, `\b` and `\B` hold at a newline wherever
they hold at a text's end; `\A` is rendered as `^`, which holds wherever `\A` does. So the record
in which a match starts is tested alone, and the search goes on at the next record: a leftmost
match that starts earlier, in a header or at the newline that joins, hides none in that record.
A match may only be found too often, never too seldom. Where that does not pay, events are tested
one by one: patterns that can match without a character hit every record, and those that can run
on over many records would make each hit as long as the page.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import lru_cache
from itertools import accumulate
from operator import itemgetter, methodcaller
from typing import TYPE_CHECKING, Any, Protocol, cast

import re2

from .errors import InvalidQuery, shown
from .pattern_parse import NEVER, render
from .pattern_sets import JOINT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Pattern", "compile_pattern", "matching_records"]

# After so many records in a row whose hit was in the header, contents are joined without headers.
FALSE_HITS = 8
# When more than one in so many records match, testing each is quicker than searching from hit to
# hit: a search costs about three tests.
DENSE = 4
# Instructions. Where RE2 cannot build its automaton ahead it tries all of them on each byte: ten
# times `.{1000}`, four times as large as this, took a quarter of a millisecond for each byte.
LARGEST_PROGRAM = 20_000

_split = methodcaller("partition", b"\n")
_content = itemgetter(2)


class _Match(Protocol):
    def start(self) -> int: ...
    def end(self) -> int: ...


class _Compiled(Protocol):
    @property
    def programsize(self) -> int: ...
    def search(self, text: bytes, pos: int = 0) -> _Match | None: ...
    def finditer(self, text: bytes) -> Iterator[_Match]: ...


class _Set(Protocol):
    def Match(self, text: bytes) -> list[int] | None: ...  # noqa: N802 - RE2's name


class Pattern:
    """A compiled pattern; made by `compile_pattern`, immutable, shared between threads."""

    __slots__ = ("_oracle", "_page", "_set", "_single", "by_page", "text")

    def __init__(self, text: str) -> None:
        """Compile `text`; raises InvalidQuery."""
        rendered = render(text)
        self.text = text
        self.by_page = rendered.empty == NEVER and not rendered.runs
        self._oracle = rendered.oracle
        self._single = _compiled(rendered.single, text)
        self._set = _compiled_set(rendered.test, text)
        self._page = _compiled(rendered.page, text)

    def matches(self, content: bytes) -> bool:
        """Whether the pattern is found in a content in UTF-8."""
        return self._set.Match(content) is not None

    def next_hit(self, page: bytes, start: int) -> int:
        """Return where the first match at or behind `start` begins in a page, or -1."""
        found = self._page.search(page, start)
        return -1 if found is None else found.start()

    def found_in(self, content: str) -> bool:
        """Whether the standard library's `re` finds the pattern; the same as `matches`."""
        return _standard(self._oracle).search(content) is not None

    def spans(self, content: str) -> list[tuple[int, int]]:
        """Return where the pattern matches, as offsets in `content`; empty matches are left out."""
        data = content.encode()
        spans, at, bytes_at = [], 0, 0
        for found in self._single.finditer(data):
            if found.end() > found.start():
                start = at + len(data[bytes_at : found.start()].decode())
                at = start + len(data[found.start() : found.end()].decode())
                bytes_at = found.end()
                spans.append((start, at))
        return spans

    def __repr__(self) -> str:
        """The call that makes it."""
        return f"compile_pattern({self.text!r})"

    def __eq__(self, other: object) -> bool:
        """Patterns of one text are equal."""
        return isinstance(other, Pattern) and other.text == self.text

    def __hash__(self) -> int:
        """Hash the text."""
        return hash(self.text)


@lru_cache(maxsize=64)
def compile_pattern(match: str) -> Pattern:
    """Compile a pattern.

    Raises:
        InvalidQuery: it is outside the subset, or too large for RE2; the message says where.
    """
    return Pattern(match)


def matching_records(pattern: Pattern, records: Sequence[bytes]) -> list[int]:
    """Return the indexes of the records whose content the pattern is found in, in order."""
    if not pattern.by_page:
        return _one_by_one(pattern, records, 0)
    page = b"\n".join(records)
    hit = pattern.next_hit(page, 0)
    if hit < 0:
        return []
    found: list[int] = []
    seen = _from_hit_to_hit(pattern, records, page, 1, hit, found, FALSE_HITS)
    if seen == len(records):
        return found
    if len(found) * DENSE > seen:
        return found + _one_by_one(pattern, records, seen)
    # The headers keep being hit: join the contents without them.
    contents = list(map(_content, map(_split, records[seen:])))
    page = JOINT.join(contents)
    hit = pattern.next_hit(page, 0)
    if hit >= 0:
        rest: list[int] = []
        more = _from_hit_to_hit(pattern, contents, page, len(JOINT), hit, rest, None)
        found += [seen + n for n in rest]
        found += _one_by_one(pattern, records, seen + more)
    return found


def _from_hit_to_hit(  # noqa: PLR0913, PLR0917
    pattern: Pattern,
    parts: Sequence[bytes],
    page: bytes,
    joint: int,
    hit: int,
    found: list[int],
    false_hits: int | None,
) -> int:
    """Test the parts that are hit; return how many were passed, all or until it ceased to pay.

    `parts` are records, joined by `joint` bytes, and looked at until `false_hits` headers were hit
    in a row; or contents, where that is None.
    """
    starts = list(accumulate((len(part) + joint for part in parts), initial=0))
    missed = 0
    while hit >= 0:
        n = bisect_right(starts, hit, hi=len(parts)) - 1
        content = parts[n] if false_hits is None else _content(_split(parts[n]))
        if pattern.matches(content):
            found.append(n)
            missed = 0
        else:
            missed += 1
        if n + 1 == len(parts):
            break
        if missed == false_hits or len(found) * DENSE > n + 4 * DENSE:
            return n + 1
        hit = pattern.next_hit(page, starts[n + 1])
    return len(parts)


def _one_by_one(pattern: Pattern, records: Sequence[bytes], first: int) -> list[int]:
    matches = pattern.matches
    return [n for n in range(first, len(records)) if matches(records[n].partition(b"\n")[2])]


def _options() -> Any:
    options = re2.Options()
    options.log_errors = False
    return options


def _compiled(rendered: str, text: str) -> _Compiled:
    try:
        compiled = cast("_Compiled", re2.compile(rendered.encode(), _options()))
    except re2.error as error:
        raise _too_large(text, str(error)) from error
    if compiled.programsize > LARGEST_PROGRAM:
        raise _too_large(text, f"{compiled.programsize} instructions, of {LARGEST_PROGRAM}")
    return compiled


def _compiled_set(rendered: str, text: str) -> _Set:
    found = re2.Set.SearchSet(_options())
    try:
        found.Add(rendered.encode())
        found.Compile()
    except re2.error as error:
        raise _too_large(text, str(error)) from error
    return cast("_Set", found)


def _too_large(text: str, why: str) -> InvalidQuery:
    return InvalidQuery(
        f"match: {shown(text)} is too large for RE2; write it with fewer or smaller repeats ({why})"
    )


@lru_cache(maxsize=64)
def _standard(oracle: str) -> re.Pattern[str]:
    return re.compile(oracle)
