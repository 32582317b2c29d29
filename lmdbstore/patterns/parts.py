r"""Parts of a pattern that each of its matches has, and that RE2 finds faster than the whole.

Rules: pure. It reads a pattern as `parse` renders it for pages, where every repeat is lazy.

RE2 reads a text byte by byte, unless the pattern begins with a character: then it leaps from one
place of this character, or of the first few ones, to the next. So `[0-9]{6}00$` is slow, and its
part `00$` is fast.

A part is a row of elements that are neighbours in the pattern, outside of repeats and alternatives.
Every match of the pattern has a match of the part in it: the same characters, in the same place,
and whether an assertion holds depends on the place alone. So a content without a match of the part
has none of the pattern. A part is a pattern itself: what `many_texts` says of searching joined
texts is true of it.

A part begins with one character, or with a letter in both cases. It ends before the first element
that may be long, so that it does not cross many contents; and after the first character, if it is
alone: then every leap is a hit, so that the hits tell how many leaps there are. The pattern itself
has to begin differently, else RE2 leaps as well with it. Longer texts are tried first: they are
less frequent.
"""

from __future__ import annotations

import re
from itertools import takewhile
from typing import NamedTuple

__all__ = ["parts"]

MOST_PARTS = 3  # each may have to be tried before a better one
LONG_REPEAT = 16  # an element that may repeat as often may be long

_ELEMENT = re.compile(
    r"(?P<char>\\x\{[0-9a-f]+\}|\\[^A-Za-z0-9]|[^\\\[\](){}|*+?.^$])"
    r"|(?P<set>\[(?:\\x\{[0-9a-f]+\}|\\.|[^\\\]])*\]|\(\?s:\.\))"
    r"|(?P<assertion>\\[bB]|\(\?m:[$^]\))"
    r"|(?P<open>\(\?:)|(?P<close>\))|(?P<bar>\|)"
)
_REPEAT = re.compile(r"(?:[*+?]|\{[0-9]+(?:,(?P<most>[0-9]*))\})\??")
_BOTH_CASES = re.compile(r"\[([A-Z])([a-z])\]")

LEAP, SHORT, LONG = range(3)


class _Element(NamedTuple):
    text: str
    kind: int  # LEAP: RE2 leaps to it; LONG: it may be long, or has alternatives


_Row = list[_Element]


def parts(page: str) -> list[str]:
    """Return the parts of a pattern, rendered for pages, by which it should be searched for."""
    row = _Reader(page).alternatives()
    if row is None or not row or row[0].kind == LEAP:
        return []
    found = []
    for n in range(1, len(row)):
        if row[n].kind == LEAP and row[n - 1].kind != LEAP:
            part = list(takewhile(lambda element: element.kind != LONG, row[n:]))
            leaps = len(list(takewhile(lambda element: element.kind == LEAP, part)))
            part = part[:1] if leaps == 1 else part
            found.append((leaps, len(part), "".join(element.text for element in part)))
    texts = dict.fromkeys(text for _, _, text in sorted(found, reverse=True))
    return list(texts)[:MOST_PARTS]


class _Reader:
    """One pass over a rendered pattern."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def alternatives(self) -> _Row | None:
        """Read to the end of a group; return its row of elements, or None if it has several."""
        row = self._row()
        alone = True
        while self.text.startswith("|", self.at):
            self.at += 1
            self._row()
            alone = False
        return row if alone else None

    def _row(self) -> _Row:
        row: _Row = []
        while self.at < len(self.text) and self.text[self.at] not in "|)":
            row += self._element()
        return row

    def _element(self) -> _Row:
        """Read an element and its repeat; return it, or the elements of a group."""
        begin = self.at
        found = _ELEMENT.match(self.text, begin)
        if found is None:
            raise AssertionError(f"{self.text!r} is not a rendered pattern at {begin}")
        self.at = found.end()
        row: _Row | None
        if found["open"]:
            row = self.alternatives()
            self.at += 1  # the bracket
        else:
            leaps = found["char"] or _BOTH_CASES.fullmatch(found[0])
            row = [_Element(found[0], LEAP if leaps else SHORT)]
        repeat = _REPEAT.match(self.text, self.at)
        if repeat is None and row is not None:
            return row
        self.at = self.at if repeat is None else repeat.end()
        is_short = repeat is not None and not found["open"] and _is_short(repeat)
        return [_Element(self.text[begin : self.at], SHORT if is_short else LONG)]


def _is_short(repeat: re.Match[str]) -> bool:
    return repeat[0][0] == "?" or bool(repeat["most"] and int(repeat["most"]) < LONG_REPEAT)
