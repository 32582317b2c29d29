r"""Patterns: the subset of regular expressions that `match` takes, what it means, and its engines.

The subset: literals and the escapes for them that `re` has, `.`, classes with ranges and
`\d \w \s \D \W \S`, `|`, groups (capturing, named, or `(?:…)`), the flags i, m and s at the start
of the pattern or for a group (`(?i:…)`, `(?-i:…)`), the repeats `* + ? {m} {m,n} {m,}`, greedy or
lazy, with bounds up to 1000, and `^ $ \A \b \B`. Everything else is refused by name and position.

The meaning: a pattern is found anywhere in the content.

* `\d \w \s` and `\b` are ASCII; `\s` is `[ \t\n\r\f\v]`. `(?i)` adds nothing to these.
* `.` is any character except a newline; under `s`, any character.
* `^` and `\A` match at the start of the text; under `m`, `^` also matches after each newline. `$`
  matches only at the end of the text; under `m`, also before each newline.
* `\b` matches where one of two neighbours is a word character and the other is not; there is no
  word character beyond the ends of the text. `\B` matches everywhere else between characters, and
  in the empty text.
* Under `i`, characters that are cases of each other are equal, as in `re` for `str`: `(?i)é` finds
  É, `(?i)k` finds the Kelvin sign, `(?i)ß` finds ẞ and not SS. A negated class excludes all cases
  of its members. Letters newer than Unicode 14 have the cases that the running Python knows.

Two engines run a pattern. RE2, called with UTF-8, takes time linear in the text for every pattern.
The standard library's `re` may take much longer on a hostile pattern; the memory store uses it, and
the tests compare RE2 with it. `parse` renders a pattern for both engines so that they agree.
"""

from __future__ import annotations

import re
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Protocol, cast

import re2

from lmdbstore.errors import InvalidQuery, shown

from .elements import ALWAYS
from .needs import needs
from .parse import render
from .parts import parts
from .signature import Probe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Pattern", "compile_pattern"]

# Instructions. If RE2's automaton grows too fast, RE2 tries all instructions on each byte instead.
# Ten times `.{1000}`, four times as large as the limit, took a quarter of a millisecond per byte.
# Only a set never does this. Patterns larger than PAGE_PROGRAM are not searched for by page.
LARGEST_PROGRAM = 20_000
PAGE_PROGRAM = 2000

SPECIAL = frozenset("\\.^$*+?{}[]|()")  # characters with a meaning of their own


class _Match(Protocol):
    def span(self) -> tuple[int, int]: ...


class _Compiled(Protocol):
    programsize: int

    def search(self, text: bytes, pos: int = 0) -> _Match | None: ...
    def finditer(self, text: bytes) -> Iterator[_Match]: ...


class _Set(Protocol):
    def Match(self, text: bytes) -> list[int] | None: ...  # noqa: N802


class Pattern:
    """A compiled pattern; made by `compile_pattern`, immutable, shared between threads."""

    __slots__ = (
        "_find",
        "_oracle",
        "_single",
        "by_page",
        "crosses_lines",
        "in_line",
        "literal",
        "parts",
        "probe",
        "test",
        "text",
        "unbounded",
    )

    text: str  # as the user wrote it
    by_page: bool  # whether `next_hit` is worth calling; False: test event by event
    literal: bytes | None  # the text to find, if the pattern is a plain text
    test: Callable[[bytes | memoryview], object]  # true if and only if a content in UTF-8 matches
    probe: Probe  # decides from the signature of many contents whether any of them may match
    # As `next_hit`: they find a text of every match faster; see `parts`.
    parts: tuple[Callable[[bytes | memoryview, int], int], ...]
    crosses_lines: bool  # the same for many contents without headers between them
    in_line: bool  # whether a hit in joined contents without newlines is a match; see `many_texts`
    unbounded: bool  # whether a match may extend over many records, so that a hit costs a page

    def __init__(self, text: str) -> None:
        """Compile `text`; see `compile_pattern`."""
        rendered = render(text)
        page = _compiled(rendered.page, text)
        self.text = text
        plain = SPECIAL.isdisjoint(text)
        self.literal = text.encode("utf-8", "surrogatepass") if plain else None
        self.by_page = rendered.empty != ALWAYS and page.programsize <= PAGE_PROGRAM
        chosen = parts(rendered.page) if self.by_page else []
        self.parts = tuple(_finder(_compiled(part, text)) for part in chosen)
        self.probe = Probe(needs(rendered.single))
        self.unbounded = rendered.unbounded
        self.crosses_lines = rendered.crosses_lines
        self.in_line = rendered.in_line
        self._oracle = rendered.oracle
        self._single = _compiled(rendered.single, text)
        self.test = _tester(_compiled_set(rendered.test, text))
        self._find = _finder(page)

    def matches(self, content: bytes | memoryview) -> bool:
        """Whether the pattern is found in a content in UTF-8."""
        return bool(self.test(content))

    def next_hit(self, page: bytes | memoryview, start: int) -> int:
        """Return where the leftmost match at or after `start` begins in a page, or -1.

        A page is records joined by newlines; a record is a header without a newline, a newline, and
        the content.
        """
        return self._find(page, start)

    def found_in(self, content: str) -> bool:
        """Whether the standard library's `re` finds the pattern; the same as `matches`."""
        return _standard(self._oracle).search(content) is not None

    def spans(self, content: str) -> list[tuple[int, int]]:
        """Return where the pattern matches, as offsets in `content`; empty matches are left out."""
        return list(self.each_span(content))

    def each_span(self, content: str) -> Iterator[tuple[int, int]]:
        """Yield the same, one after the other."""
        data = content.encode()
        at = bytes_at = 0
        for found in self._single.finditer(data):
            low, high = found.span()
            if low < high:  # such a match begins and ends between characters
                start = at + len(data[bytes_at:low].decode())
                at, bytes_at = start + len(data[low:high].decode()), high
                yield start, at

    def __repr__(self) -> str:
        """Return the call that makes it."""
        return f"compile_pattern({self.text!r})"

    def __eq__(self, other: object) -> bool:
        """Patterns with the same text are equal."""
        return isinstance(other, Pattern) and other.text == self.text

    def __hash__(self) -> int:
        """Hash the text."""
        return hash(self.text)


def compile_pattern(match: str) -> Pattern:
    """Compile a pattern.

    Raises:
        InvalidQuery: it is not a str, not in the subset, or too large for RE2; the message says
            what is wrong, and where.
    """
    if not isinstance(match, str):
        raise InvalidQuery(f"match: {shown(match)} is not a str; pass a regular expression as one")
    return _pattern(str.__str__(match))


_pattern = lru_cache(maxsize=32)(Pattern)


# --- RE2 -------------------------------------------------------------------------------------


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
    """Compile a pattern for a yes or no; RE2 refuses a set that needs more memory than allowed."""
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


# The public methods of `re2` make objects and generators for each call, which takes as long again
# as the search of a content. The functions below call the inner ones directly, if they are there.


def _tester(compiled: _Set) -> Callable[[bytes | memoryview], object]:
    """Return a function whose result is true if and only if a text has a match."""
    match = getattr(getattr(compiled, "_set", None), "Match", compiled.Match)
    return cast("Callable[[bytes | memoryview], object]", match)


def _finder(compiled: _Compiled) -> Callable[[bytes | memoryview, int], int]:
    """Return a function from a text and an offset to the start of the next match, or to -1."""
    try:
        match: Any = cast("Any", compiled)._regexp.Match  # noqa: SLF001
        unanchored = re2._Anchor.UNANCHORED  # noqa: SLF001
    except AttributeError:
        return partial(_public_find, compiled)

    def find(text: bytes | memoryview, start: int) -> int:
        place: int = match(unanchored, text, start, len(text))[0][0]
        return place

    return find


def _public_find(compiled: _Compiled, text: bytes | memoryview, start: int) -> int:
    found = compiled.search(bytes(text), start)
    return -1 if found is None else found.span()[0]


@lru_cache(maxsize=32)
def _standard(oracle: str) -> re.Pattern[str]:
    return re.compile(oracle)
