r"""Lines of a text that have fields: all of logfmt, and JSON objects that have a time.

Rules: a line of logfmt, such as `time=2024-03-05T10:00:00Z level=info msg="it \"works\"" done`,
begins with at least two pairs of a name and a value. What follows is pairs and names; of a name
that comes twice the first counts. A value in quotation marks has the escapes of JSON. A file is one
of logfmt if most of its first lines are, and have a usual name of a time or of a level, or one that
an option asks for; so records of auditd are text. A line that has fields begins a record. A line of
JSON without a time that can be read, or that is an event of our own, is a line like others.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .fields import LEVELS, TIMES
from .objects import Objects, UnreadableLine, known, loaded
from .records import bare

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .common import Maker, Options
    from .objects import Row

__all__ = ["FieldLines", "is_logfmt"]

SAMPLE = 100  # lines
NAME = r"[A-Za-z_@][\w.@/-]*"
QUOTED = r'"(?:[^"\\]|\\.)*+"'
TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d\S*"  # the one value that may have a space without marks
_begins = re.compile(rf"{NAME}=(?:{QUOTED}|{TIME}|[^\s\"]\S*)?[ \t]+{NAME}=").match
_pairs = re.compile(rf"(?<!\S)({NAME})=({QUOTED}(?!\S)|{TIME}|\S*)").findall
_escape = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_USUAL = {*TIMES, *LEVELS}


def is_logfmt(lines: Sequence[str], options: Options) -> bool:
    """Return whether most of the first lines that are not indented are logfmt."""
    sample = [line for line in bare(list(lines)) if line and not line[0].isspace()][:SAMPLE]
    asked = (
        options.time_field,
        options.message_field,
        options.tags_field,
        options.source_field,
    )
    names = {*_USUAL, *filter(None, asked)}
    return sum(not names.isdisjoint(pairs_of(line)) for line in sample) * 2 > len(sample)


def pairs_of(line: str) -> dict[str, str]:
    """Return the pairs of a line of logfmt; none if it is not one."""
    if not _begins(line):
        return {}
    pairs = _pairs(line)
    return {
        name: _unquoted(value) if value[:1] == '"' else value for name, value in reversed(pairs)
    }


def _unquoted(value: str) -> str:
    """Return the text of a value that begins with a quotation mark."""
    if len(value) < 2 or value[-1] != '"':  # noqa: PLR2004  two marks
        return value
    value = value[1:-1]
    return _escape.sub(_unescaped, value) if "\\" in value else value


def _unescaped(found: re.Match[str]) -> str:
    code = found[1]
    return chr(int(code[1:], 16)) if len(code) > 1 else _ESCAPES.get(code, code)


class FieldLines:
    """Finds the lines of one input that have fields, and what they have."""

    def __init__(self, maker: Maker, *, logfmt: bool) -> None:
        """Find lines of JSON, and with `logfmt` those of logfmt."""
        self._report, self._logfmt = maker.report, logfmt
        self._objects = Objects(maker)
        self.found = logfmt  # whether there is such a line

    def rows(self, lines: Sequence[str]) -> dict[int, Row]:
        """Return what these lines have, by their places; nothing for those without fields."""
        self._objects.begin()
        found = self._of_logfmt(lines) if self._logfmt else {}
        for n in self._objects_in(lines):
            if (row := self._of_json(lines[n])) is not None:
                found[n] = row
        for n, row in found.items():
            if not row.content.strip():
                found[n] = row._replace(content=lines[n])
        if found and not self.found:
            self.found = True
            self._report.formats = ["JSON lines"]
        return found

    def _objects_in(self, lines: Sequence[str]) -> Sequence[int]:
        if "{" not in "".join(lines):  # this is faster than to look at each line
            return []
        return [n for n, line in enumerate(lines) if line[:1] == "{"]

    def _of_logfmt(self, lines: Sequence[str]) -> dict[int, Row]:
        objects = self._objects
        pairs = {n: some for n, line in enumerate(lines) if (some := pairs_of(line))}
        times = objects.times(list(pairs.values()))
        return {
            n: objects.dated_row(some, lines[n], time, objects.shape(some))
            for (n, some), time in zip(pairs.items(), times, strict=True)
        }

    def _of_json(self, line: str) -> Row | None:
        found = loaded(line)
        if type(found) is not dict:
            return None
        try:
            rows = self._objects.rows(line, found)
        except UnreadableLine:
            return None
        row = rows[0][1] if len(rows) == 1 else None
        return row if row is not None and row.own is None and known(row.time) else None
