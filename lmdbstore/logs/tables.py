"""Tables: CSV and the like with a header, and the extended log format of the W3C.

Rules: the header says which columns have the time and the level, unless an option names the column
of the time; a column of dates and one of times are read together. The whole row is the content,
unless a column is named. The header is an event like other lines without a time. A row goes on over
several lines while a quotation is open. Times of the W3C's format are in UTC, unless a zone is
given.
"""

from __future__ import annotations

import csv
import re
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from lmdbstore.times.clock import Clock
from lmdbstore.times.text import TextClock

from .common import Batch, Options, UncutReader
from .fields import LEVELS, TIMES, level_of_value
from .objects import known
from .records import MOST_LINES, bare, few

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmdbstore.inputs.lines import Block

    from .common import Maker

__all__ = ["TableReader", "column_names", "header_of"]

DELIMITERS = "\t,;|"
MOST_COLUMNS = 500
W3C, DATE = "#Fields:", "#Date:"
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
_is_plain_name = re.compile(r"[^\W\d][\w.@/()-]*(?: [\w.@/()-]+){0,2}").fullmatch
_w3c_cell = re.compile(r'"[^"]*"|\S+')


class Header(NamedTuple):
    """Where a table has what."""

    delimiter: str  # " " for the W3C's format
    names: list[str]
    times: tuple[int, ...]  # one column, or those of the date and of the time of day
    level: int | None
    named: dict[str, int]  # the columns of the options for content, flags and source
    utc: bool = False


def header_of(lines: Sequence[str], options: Options | None = None) -> Header | None:
    """Return the header of a table that begins with these lines; None if it is no table.

    The first line is a header if it names a time, or a column of the options.
    """
    options = options or Options()
    first = [line for line in lines if line and not line.isspace()][: MOST_LINES + 1]
    for line in first:
        if line.startswith(W3C):
            return _w3c(line, options)
        if not line.startswith("#"):
            break
    if len(first) < 2 or first[0].startswith("#"):  # noqa: PLR2004  a header and a row
        return None
    second = _first_row(first[1:])
    for delimiter in DELIMITERS:
        names, row = _cells(first[0], delimiter), _cells(second, delimiter)
        if 1 < len(names) <= MOST_COLUMNS and len(row) == len(names) and all(map(_is_name, names)):
            usual = _usual_times(names)
            header = _header(delimiter, names, usual, options)
            if usual or header.times or header.named:
                return header
    return None


def _first_row(lines: Sequence[str]) -> str:
    """Return the first row of these lines, which goes on while a quotation is open."""
    quotes = 0
    for n, line in enumerate(lines, 1):
        quotes += line.count('"')
        if quotes % 2 == 0:
            return "\n".join(lines[:n])
    return lines[0]


def column_names(lines: Sequence[str]) -> list[str]:
    """Return the names of a first line that could be a header, for messages; none if it is not."""
    first = next((line for line in lines if line and not line.isspace()), "")
    for delimiter in DELIMITERS:
        names = _cells(first, delimiter)
        if 1 < len(names) <= MOST_COLUMNS and all(map(_is_plain_name, names)):
            return names
    return []


def _header(
    delimiter: str, names: list[str], times: tuple[int, ...], options: Options, *, utc: bool = False
) -> Header:
    """Return a header; `times` are the columns of the time if the options name none."""
    lower = _lower(names)

    def places(name: str | None) -> tuple[int, ...]:
        return (lower.index(name.lower()),) if name and name.lower() in lower else ()

    level = next((n for n, name in enumerate(lower) if name in _LEVELS), None)
    wishes = {
        "--message-field": options.message_field,
        "--tags-field": options.tags_field,
        "--source-field": options.source_field,
    }
    named = {option: place for option, name in wishes.items() for place in places(name)}
    times = places(options.time_field) if options.time_field else times
    return Header(delimiter, names, times, level, named, utc)


def _lower(names: list[str]) -> list[str]:
    return [name.strip().lower() for name in names]


def _usual_times(names: list[str]) -> tuple[int, ...]:
    lower = _lower(names)
    if "date" in lower and "time" in lower:
        return lower.index("date"), lower.index("time")
    usual = [n.lower() for n in TIMES] + sorted(_TIMES)
    return tuple(lower.index(name) for name in usual if name in lower)[:1]


def _w3c(line: str, options: Options) -> Header:
    names = line[len(W3C) :].split()
    times = tuple(names.index(name) for name in ("date", "time") if name in names)
    local = tuple(
        names.index(f"{name}-local") for name in ("date", "time") if f"{name}-local" in names
    )
    utc = bool(times)
    if name := options.time_field:
        utc = not name.lower().endswith("-local")
    return _header(" ", names, times or local, options, utc=utc)


def _cells(text: str, delimiter: str) -> list[str]:
    if delimiter == " ":
        return _w3c_cell.findall(text)
    try:
        return next(csv.reader([text.replace("\n", " ")], delimiter=delimiter), [])
    except csv.Error:
        return []


def _cells_of_each(texts: Sequence[str], delimiter: str) -> list[list[str]]:
    """Return the cells of rows, of which each is one line if there are many."""
    if delimiter != " " and len(texts) > 1:
        with suppress(csv.Error):  # in one row of them
            rows = list(csv.reader(texts, delimiter=delimiter))
            if len(rows) == len(texts):
                return rows
    return [_cells(text, delimiter) for text in texts]


class _Row(NamedTuple):
    """A row, and what its columns have."""

    number: int
    text: str
    time: float | None
    tags: list[str]
    content: str
    source: str | None = None


_row = partial(tuple.__new__, _Row)


class TableReader(UncutReader):
    """Makes the rows of a table into events."""

    def __init__(self, maker: Maker, header: Header) -> None:
        """Read a table with this header; the header may change in the W3C's format."""
        super().__init__(maker)
        self._clock = TextClock(maker.setting, maker.given)
        self._given = None if maker.given is None else Clock(maker.given, maker.setting)
        self._date = ""  # of a `#Date:` line
        self._directives: dict[str, str] = {}  # the latest of each kind
        self._row: list[str] = []  # the lines of a row that goes on
        self._row_number = 0
        self._may_go_on = False
        self._held: list[_Row] = []
        self._begin(header)

    def _begin(self, header: Header) -> None:
        self._header = header
        self._report.columns = header.names
        for option in header.named:
            self._report.missing.pop(option, None)

    @property
    def open_record(self) -> int | None:
        """See `Reader.open_record`: a last line without an end may go on, and its row with it."""
        return self._row_number if self._row or self._may_go_on else None

    @property
    def directives(self) -> tuple[str, ...]:
        """See `Reader.directives`."""
        return tuple(self._directives.values())

    def resume(
        self,
        head: Sequence[str],
        time: float | None,
        cut: Sequence[str] | None,
        directives: Sequence[str],
    ) -> None:
        """See `Reader.resume`."""
        super().resume(head, time, cut, directives)
        for line in directives:
            self._directive(line)

    def read(self, block: Block) -> Batch:
        """Return the events of the rows that end in this block."""
        lines, start, stop = bare(block.lines), 0, 0
        while start < len(lines):
            stop = self._plain_until(lines, start)
            if stop > start:
                self._add_rows(range(block.first + start, block.first + stop), lines[start:stop])
            if stop < len(lines):
                self._add_line(block.first + stop, lines[stop])
            start = stop + 1
        self._may_go_on = block.is_open and stop < len(lines)
        if self._time is None and few([row.text for row in self._held]):
            return Batch([], [])
        return self._events()

    def end(self) -> Batch:
        """Return the events of the last rows."""
        self._end_row()
        return self._events()

    def _plain_until(self, lines: Sequence[str], start: int) -> int:
        """Return the place of the next line that may be less or more than a row, or of the end."""
        if self._row:
            return start
        for n in range(start, len(lines)):
            line = lines[n]
            if '"' in line or line.startswith("#") or not line or line.isspace():
                return n
        return len(lines)

    def _add_line(self, number: int, line: str) -> None:
        if not self._row and (not line or line.isspace()):
            self._report.blank += 1
            return
        if not self._row:
            self._row_number = number
        self._row.append(line)
        if self._is_whole():
            self._end_row()

    def _is_whole(self) -> bool:
        if self._header.delimiter == " " or len(self._row) >= MOST_LINES:
            return True
        return sum(line.count('"') for line in self._row) % 2 == 0

    def _end_row(self) -> None:
        if not self._row:
            return
        text, self._row = "\n".join(self._row), []
        if text.startswith("#"):
            self._directive(text)
            self._report.dated([None], [text])
            self._held.append(_Row(self._row_number, text, None, self._maker.tags, text))
        else:
            self._add_rows([self._row_number], [text])

    def _add_rows(self, numbers: Sequence[int], texts: Sequence[str]) -> None:
        names, named = self._header.names, self._header.named
        rows = _cells_of_each(texts, self._header.delimiter)
        times = self._times_of([None if row == names else self._time_text(row) for row in rows])
        self._report.dated(times, texts)
        if self._time is None:
            self._time = next(filter(known, times), None)
        for number, text, row, time in zip(numbers, texts, rows, times, strict=True):
            tags, content, source = self._maker.tags, text, None
            if row != names:
                tags = self._tags_of(row)
                if named:
                    tags, content, source = self._named(row, tags, text)
            self._held.append(_row((number, text, time, tags, content, source)))

    def _tags_of(self, cells: list[str]) -> list[str]:
        level = self._header.level
        if level is None or level >= len(cells) or not self._maker.options.levels:
            return self._maker.tags
        return self._maker.with_level(level_of_value(cells[level].strip()))

    def _named(
        self, cells: list[str], tags: list[str], text: str
    ) -> tuple[list[str], str, str | None]:
        """Return the flags, the content and the source that the named columns of a row give."""
        named = self._header.named.items()
        found = {option: self._cell(cells[place]) for option, place in named if place < len(cells)}
        if flag := found.get("--tags-field", "").strip():
            tags = list(dict.fromkeys([*tags, flag]))
        source = found.get("--source-field", "").strip() or None
        return tags, found.get("--message-field", text), source

    def _cell(self, cell: str) -> str:
        """Return the text of a cell; in the W3C's format a hyphen is an empty one."""
        if self._header.delimiter != " ":
            return cell
        return "" if cell == "-" else cell.strip('"')

    def _directive(self, text: str) -> None:
        if text.startswith(W3C):
            self._begin(_w3c(text, self._maker.options))
            self._directives[W3C] = text
        elif text.startswith(DATE):
            self._date = (text[len(DATE) :].split() or [""])[0]
            self._directives[DATE] = text

    def _time_text(self, cells: list[str]) -> str | None:
        """Return the text of the time of a row."""
        places = self._header.times
        if not places or max(places) >= len(cells):
            return None
        found = [cells[place].strip().strip('"') for place in places]
        if self._header.delimiter == " " and len(found) == 1 and ":" in found[0]:
            found = [self._date, *found]
        return " ".join(found)

    def _times_of(self, texts: Sequence[str | None]) -> list[float | None]:
        """Return the times of rows, of which these are the texts."""
        if self._given is not None:
            return [None if text is None else self._read_time(text) for text in texts]
        found = iter(self._clock.read_each([text for text in texts if text is not None]))
        times = [None if text is None else next(found) for text in texts]
        if self._report.missing and times.count(None) < len(times):
            self._report.missing.pop("--time-field", None)
        return times

    def _read_time(self, text: str) -> float | None:
        if self._given is not None and self._given.match(text):
            self._given = None  # it has to fit only once
            self._report.missing.pop("--time-format", None)
        time = self._clock.read(text)
        if time is not None and self._report.missing:
            self._report.missing.pop("--time-field", None)
        return time

    def _events(self) -> Batch:
        rows, self._held = self._held, []
        if not rows:
            return Batch([], [])
        numbers, texts, found, tags, contents, sources = map(list, zip(*rows, strict=True))
        last = self._maker.setting.mtime if self._time is None else self._time
        times = []
        for time in found:
            if time is not None and time == time:  # noqa: PLR0124  NaN
                last = time
            times.append(last)
        self._time = last
        return self._maker.events(
            numbers, texts, times, tags, contents, sources if any(sources) else None
        )
