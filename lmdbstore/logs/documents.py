"""Files of JSON whose objects go on over lines: one after another, or in one array.

Rules: an object begins at a brace and ends where all its braces are closed. Outside of objects,
brackets and commas are those of an array, and any other text is kept line by line. A string ends
with its line, as JSON has no line breaks in strings. An object that is longer than a record may be
is cut as a text is. An object whose lines are indented is damaged if another one begins at the
start of a line before its end.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING

from . import records

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Documents", "is_document"]

_string_or_brace = re.compile(r'"(?:[^"\\]|\\.)*+"?|[{}]')
_between = re.compile(r"[\s,\[\]]*")
_begins = re.compile(r'(?:\[[\s\[,]*)?\{\s*(?:"|\}|\Z)').match
# What JSON is made of, as far as the text goes.
_is_json = re.compile(
    r"(?:[\s{}\[\],:]|-?\d[\d.eE+-]*|true|false|null|(?:tr?u?|fa?l?s?|nu?l?)\Z"
    r'|"(?:[^"\\\n]|\\[^\n])*+(?:"|\\?\Z))*+\Z'
).match
SAMPLE = 100  # lines


def is_document(lines: Sequence[str]) -> bool:
    """Return whether these first lines of an input begin an object, and most are of objects."""
    wanted = islice((line for line in lines if line and not line.isspace()), SAMPLE)
    sample = records.bare(list(wanted))
    if not _begins("\n".join(sample[:2])):
        return False
    documents = Documents()
    texts = [text for _, text in documents.split(enumerate(sample, 1)) + documents.end()]
    objects = sum(text.count("\n") + 1 for text in texts if _is_json(text))
    others = sum(_is_json(text) is None for text in texts)
    return objects > others


class Documents:
    """Splits lines into the objects that they hold, over blocks."""

    def __init__(self) -> None:
        """Begin outside of an object."""
        self._depth = 0  # of open braces
        self._last = 0  # the number of the latest line
        self._outer = 0  # of the latest one that began outside of an object
        self._first = 0  # the number of the line at which the object begins
        self._number = 0  # of the line at which what is held of it begins
        self._lines: list[str] = []  # what is held of the object
        self._size = 0  # characters of these
        self._indented = False
        self._waiting: list[tuple[int, str]] = []  # objects that end where the open one begins

    @property
    def open_line(self) -> int | None:
        """The number of the line from which an object can be read again that may still grow.

        The last line may be the first part of a line: what it ends is not ended for certain.
        """
        return self._outer if self._depth or self._last > self._outer else None

    def split(self, lines: Iterable[tuple[int, str]]) -> list[tuple[int, str]]:
        """Return the objects and other texts that end in these lines, by their first lines.

        Ids are made for all texts of a line at once. So what ends in the line at which the open
        object begins is returned with it.
        """
        texts, self._waiting = self._waiting, []
        for number, line in lines:
            self._last = number
            if self._depth:
                self._continue(texts, number, line)
            else:
                self._outer = number
                self._outside(texts, number, line, 0)
        if self._depth:
            while texts and texts[-1][0] == self._first:
                self._waiting.insert(0, texts.pop())
        return texts

    def end(self) -> list[tuple[int, str]]:
        """Return what is left: an object that is not complete."""
        texts, self._waiting = self._waiting, []
        self._cut(texts, 0)
        self._depth = 0
        return texts

    def _outside(self, texts: list[tuple[int, str]], number: int, line: str, at: int) -> None:
        """Read a line from a place that is not inside of an object."""
        while True:
            between = _between.match(line, at)
            begin = at if between is None else between.end()
            if begin == len(line):
                if not line or line.isspace():
                    texts.append((number, line))
                return
            if line[begin] != "{":
                texts.append((number, line[at:].strip()))
                return
            self._first = self._number = number
            end = self._scan(line, begin)
            if self._depth:
                self._lines, self._size = [line[begin:]], len(line) - begin
                self._indented = begin == 0
                return
            texts.append((number, line[begin:end]))
            at = end

    def _continue(self, texts: list[tuple[int, str]], number: int, line: str) -> None:
        """Read a line of the open object."""
        if line.startswith("{") and self._indented and number > self._first + 1:
            self._cut(texts, number)
            self._depth = 0
            self._outer = number
            self._outside(texts, number, line, 0)
            return
        self._indented = self._indented and (line[:1].isspace() or line.startswith("}"))
        if len(self._lines) >= records.MOST_LINES or self._size > records.MOST_CHARACTERS:
            self._cut(texts, number)
        end = self._scan(line, 0)
        self._lines.append(line[:end])
        self._size += end
        if not self._depth:
            self._cut(texts, 0)
            self._outside(texts, number, line, end)

    def _scan(self, line: str, at: int) -> int:
        """Follow the braces of a line; return where the object ends, or the line."""
        depth = self._depth
        for found in _string_or_brace.finditer(line, at):
            sign = line[found.start()]
            if sign == "{":
                depth += 1
            elif sign == "}":
                depth -= 1
                if not depth:
                    self._depth = 0
                    return found.end()
        self._depth = depth
        return len(line)

    def _cut(self, texts: list[tuple[int, str]], number: int) -> None:
        """End the text that is held; the next one begins at a line."""
        if self._lines:
            texts.append((self._number, "\n".join(self._lines)))
        self._number, self._lines, self._size = number, [], 0
