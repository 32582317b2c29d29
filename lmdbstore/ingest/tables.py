"""Tables: CSV and the like with a header, and the extended log format of the W3C.

Rules: the header says which columns have the time and the level; a column of dates and one of times
are read together. The whole row is the content, and the header is an event like other lines without
a time. A row goes on over several lines while a quotation is open. Times of the W3C's format are in
UTC, unless a zone is given.
"""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING, NamedTuple

from lmdbstore.times.text import TextClock

from .common import Batch
from .fields import LEVELS, TIMES, level_of_value
from .records import MOST_LINES, Records, bare, few

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmdbstore.inputs.lines import Block

    from .common import Maker

__all__ = ["TableReader", "header_of"]

DELIMITERS = "\t,;|"
MOST_COLUMNS = 500
W3C = "#Fields:"
_TIMES = {name.lower() for name in TIMES} | {
    "date and time",
    "date/time",
    "time stamp",
    "timegenerated",
    "timewritten",
    "log date",
    "event time",
}
_LEVELS = {name.lower() for name in LEVELS} | {"type", "entrytype", "leveldisplayname"}
_is_name = re.compile(r"[^\W\d][\w .:@/()-]{0,60}").fullmatch
_w3c_cell = re.compile(r'"[^"]*"|\S+')


class Header(NamedTuple):
    """Where a table has what."""

    delimiter: str  # " " for the W3C's format
    times: tuple[int, ...]  # one column, or those of the date and of the time of day
    level: int | None
    utc: bool = False


def header_of(lines: Sequence[str], time_field: str | None = None) -> Header | None:
    """Return the header of a table that begins with these lines; None if it is no table."""
    first = [line for line in lines if line and not line.isspace()][:50]
    for line in first:
        if line.startswith(W3C):
            return _w3c(line)
        if not line.startswith("#"):
            break
    if len(first) < 2 or first[0].startswith("#"):  # noqa: PLR2004  a header and a row
        return None
    for delimiter in DELIMITERS:
        names, row = _cells(first[0], delimiter), _cells(first[1], delimiter)
        if 1 < len(names) <= MOST_COLUMNS and all(map(_is_name, names)):
            header = _header(names, delimiter, time_field)
            if header is not None and len(row) == len(names):
                return header
    return None


def _header(names: list[str], delimiter: str, time_field: str | None) -> Header | None:
    lower = [name.strip().lower() for name in names]
    sought = [time_field.lower()] if time_field else [n.lower() for n in TIMES] + sorted(_TIMES)
    level = next((n for n, name in enumerate(lower) if name in _LEVELS), None)
    if not time_field and "date" in lower and "time" in lower:
        times = (lower.index("date"), lower.index("time"))
        return Header(delimiter, times, level)
    for name in sought:
        if name in lower:
            return Header(delimiter, (lower.index(name),), level)
    return None


def _w3c(line: str) -> Header:
    names = line[len(W3C) :].split()
    times = tuple(names.index(name) for name in ("date", "time") if name in names)
    local = tuple(
        names.index(f"{name}-local") for name in ("date", "time") if f"{name}-local" in names
    )
    level = next((n for n, name in enumerate(names) if name.lower() in _LEVELS), None)
    return Header(" ", times or local, level, utc=bool(times))


def _cells(text: str, delimiter: str) -> list[str]:
    if delimiter == " ":
        return _w3c_cell.findall(text)
    try:
        return next(csv.reader([text.replace("\n", " ")], delimiter=delimiter), [])
    except csv.Error:
        return []


class TableReader:
    """Makes the rows of a table into events."""

    def __init__(self, maker: Maker, header: Header) -> None:
        """Read a table with this header; the header may change in the W3C's format."""
        self._maker, self._report = maker, maker.report
        self._header = header
        self._clock = TextClock(maker.setting, maker.given)
        self._date = ""  # of a `#Date:` line
        self._time: float | None = None
        self._row: list[str] = []  # the lines of a row that goes on
        self._row_number = 0
        self._held = Records()

    @property
    def open_record(self) -> int | None:
        """See `Reader.open_record`."""
        return self._row_number if self._row else None

    def resume(self, head: Sequence[str], time: float | None) -> None:  # noqa: ARG002  see Reader
        """See `Reader.resume`."""
        self._time = self._maker.setting.mtime if time is None else time

    def read(self, block: Block) -> Batch:
        """Return the events of the rows that end in this block."""
        for number, line in enumerate(bare(block.lines), block.first):
            if not self._row and (not line or line.isspace()):
                self._report.blank += 1
                continue
            if not self._row:
                self._row_number = number
            self._row.append(line)
            if self._is_whole():
                self._end_row()
        if self._time is None and few(self._held.texts):
            return Batch([], [])
        return self._events()

    def end(self) -> Batch:
        """Return the events of the last rows."""
        self._end_row()
        return self._events()

    def _is_whole(self) -> bool:
        if self._header.delimiter == " " or len(self._row) >= MOST_LINES:
            return True
        return sum(line.count('"') for line in self._row) % 2 == 0

    def _end_row(self) -> None:
        if not self._row:
            return
        text, self._row = "\n".join(self._row), []
        time, tags = None, self._maker.tags
        if text.startswith("#"):
            self._directive(text)
        else:
            cells = _cells(text, self._header.delimiter)
            time = self._time_of(cells)
            level = self._header.level
            if level is not None and level < len(cells) and self._maker.options.levels:
                tags = self._maker.with_level(level_of_value(cells[level].strip()))
        self._report.dated([time], [text])
        if time is not None and time == time and self._time is None:  # noqa: PLR0124  NaN
            self._time = time
        self._held.add(self._row_number, [text], time, tags)

    def _directive(self, text: str) -> None:
        if text.startswith(W3C):
            self._header = _w3c(text)
        elif text.startswith("#Date:"):
            self._date = (text[len("#Date:") :].split() or [""])[0]

    def _time_of(self, cells: list[str]) -> float | None:
        places = self._header.times
        if not places or max(places) >= len(cells):
            return None
        found = [cells[place].strip().strip('"') for place in places]
        if self._header.delimiter == " " and len(found) == 1 and ":" in found[0]:
            found = [self._date, *found]
        return self._clock.read(" ".join(found))

    def _events(self) -> Batch:
        rows, self._held = self._held, Records()
        last = self._maker.setting.mtime if self._time is None else self._time
        times = []
        for time in rows.times:
            if time is not None and time == time:  # noqa: PLR0124  NaN
                last = time
            times.append(last)
        self._time = last if rows.numbers else self._time
        return self._maker.events(rows.numbers, rows.texts, times, rows.tags)
