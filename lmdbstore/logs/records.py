"""Records of several lines: a line at which one begins, and the lines that continue it.

Rules: the lines that follow the first one belong to a record, within `MOST_LINES` and
`MOST_CHARACTERS`; the blank ones at its end do not. A record is ended by the next one or by the end
of the input, never by the time that passes. Lines before the first time get the first time that
follows, within `HELD_BACK` lines of a file, or what a pipe gives at once. A record without a time
of its own has that of the record before it.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple, cast

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .common import Batch, Maker

__all__ = ["RecordReader", "Starts", "bare", "few", "without_colours"]

MOST_LINES = 1000  # of one record
MOST_CHARACTERS = 1 << 20  # of one record of several lines
HELD_BACK = 10_000  # lines without a time at the start of an input
HELD_CHARACTERS = 32 << 20  # of these
# Colours and other sequences of terminals (ECMA-48).
_escapes = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_])")


def bare(lines: list[str]) -> list[str]:
    """Return lines without colours, and without the NULs that a crash leaves before a line."""
    text = "".join(lines)
    if "\x1b" in text:
        lines = without_colours(lines)
    if "\0" in text:
        lines = [line.lstrip("\0") for line in lines]
    return lines


def without_colours(lines: list[str]) -> list[str]:
    """Return lines without the sequences of terminals."""
    return [_escapes.sub("", line) for line in lines]


def few(texts: Sequence[str]) -> bool:
    """Return whether texts may be held back until a time is known."""
    return len(texts) < HELD_BACK and sum(map(len, texts)) < HELD_CHARACTERS


@dataclass(slots=True)
class Records:
    """Records that end in a block, column by column."""

    numbers: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    times: list[float | None] = field(default_factory=list)
    tags: list[list[str]] = field(default_factory=list)
    sources: list[str | None] = field(default_factory=list)

    def add(
        self,
        number: int,
        lines: list[str],
        time: float | None,
        tags: list[str],
        source: str | None,
    ) -> None:
        """Add a record, cut where it is too long; without the blank lines at the end of a piece."""
        for first, piece in _cut(number, lines):
            while piece and (not piece[-1] or piece[-1].isspace()):
                piece.pop()
            if piece:
                self.numbers.append(first)
                self.texts.append("\n".join(piece))
                self.times.append(time)
                self.tags.append(tags)
                self.sources.append(source)

    def extend(self, other: Records) -> None:
        """Add the records of another."""
        self.numbers += other.numbers
        self.texts += other.texts
        self.times += other.times
        self.tags += other.tags
        self.sources += other.sources


def _cut(number: int, lines: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Give the pieces of a record, each with the number of its first line.

    The lines before a piece decide where it begins, so a record that has grown is cut as before.
    """
    start = size = 0
    for n, line in enumerate(lines):
        if n > start and (n - start >= MOST_LINES or size + len(line) > MOST_CHARACTERS):
            yield number + start, lines[start:n]
            start, size = n, 0
        size += len(line)
    yield number + start, lines[start:]


@dataclass(slots=True)
class _Open:
    """The record that the next block may continue."""

    number: int
    lines: list[str]
    time: float | None
    tags: list[str]
    source: str | None
    is_cut: bool = False  # it is a later piece of a record that was too long

    def too_long(self) -> bool:
        return len(self.lines) > MOST_LINES or sum(map(len, self.lines)) > MOST_CHARACTERS


class Starts(NamedTuple):
    """Where in a block records begin, and what they have, column by column."""

    places: list[int]  # of the lines
    times: list[float | None]
    tags: list[list[str]]
    sources: list[str | None] | None = None  # None: all are of the input's source


class RecordReader:
    """Joins the lines of an input to records, and makes these into events."""

    def __init__(self, maker: Maker, *, hold: bool) -> None:
        """With `hold`, lines at the start wait for the first time."""
        self._maker, self._hold = maker, hold
        self._open: _Open | None = None
        self._held: Records | None = Records()  # those before the first time
        self._time: float | None = None  # of the latest record
        self._resumed: list[str] | None = None  # the tags of a record that was cut at the start

    @property
    def open_record(self) -> int | None:
        """See `Reader.open_record`."""
        return None if self._open is None else self._open.number

    @property
    def cut(self) -> list[str] | None:
        """See `Reader.cut`."""
        return self._open.tags if self._open is not None and self._open.is_cut else None

    def resume(self, time: float | None, cut: Sequence[str] | None) -> None:
        """See `Reader.resume`."""
        self._time, self._held = time, None
        self._resumed = None if cut is None else [*cut]

    def read(self, first: int, lines: list[str], starts: Starts, *, alone: bool) -> Batch:
        """Return the events of records that end in these lines; `first` is their first number.

        If records are `alone`, no line belongs to one before it.
        """
        found = Records()
        places = starts.places
        self._continue(found, first, lines[: places[0]] if places else lines)
        if places:
            self._close(found)
            self._add(found, first, lines, starts)
            if alone:
                self._close(found)
        return self._events(found)

    def end(self) -> Batch:
        """Return the events of the last records."""
        found = Records()
        self._close(found)
        return self._events(found, last=True)

    def _add(self, found: Records, first: int, lines: list[str], starts: Starts) -> None:
        """Add the records that begin in a block; the last of them stays open."""
        places, times, tags, sources = starts
        last = places[-1]
        of_each = sources or [None] * len(places)
        if len(places) == len(lines):
            found.numbers += range(first, first + last)
            found.texts += lines[:-1]
            found.times += times[:-1]
            found.tags += tags[:-1]
            found.sources += of_each[:-1]
        else:
            for n, (start, end) in enumerate(pairwise(places)):
                found.add(first + start, lines[start:end], times[n], tags[n], of_each[n])
        self._open = _Open(first + last, lines[last:], times[-1], tags[-1], of_each[-1])

    def _continue(self, found: Records, first: int, lines: list[str]) -> None:
        """Add lines before the first record of a block to the open record, which ends if one is."""
        if self._open is None and self._resumed is not None:
            self._open = _Open(first, [], None, self._resumed, None, is_cut=True)
        self._resumed = None
        if self._open is None:  # at the start of the input
            tags = self._maker.tags
            for number, line in enumerate(lines, first):
                found.add(number, [line], None, tags, None)
            return
        one = self._open
        one.lines += lines
        if one.too_long():
            *whole, (one.number, one.lines) = _cut(one.number, one.lines)
            for number, piece in whole:
                found.add(number, piece, one.time, one.tags, one.source)
                one.is_cut = True

    def _close(self, found: Records) -> None:
        if self._open is not None:
            one, self._open = self._open, None
            found.add(one.number, one.lines, one.time, one.tags, one.source)

    def _events(self, found: Records, *, last: bool = False) -> Batch:
        """Return events for records, as soon as the first time is known."""
        if self._held is not None:
            self._held.extend(found)
            found = self._held
            times = [*found.times, None if self._open is None else self._open.time]
            self._time = next((t for t in times if t is not None and not math.isnan(t)), None)
            hold = self._hold and not last and few(found.texts)
            if self._time is None and hold:
                return self._maker.events([], [], [], [])
            self._held = None
        times_of = self._inherited(found.times)
        sources = found.sources if any(found.sources) else None
        return self._maker.events(found.numbers, found.texts, times_of, found.tags, None, sources)

    def _inherited(self, times: list[float | None]) -> list[float]:
        """Return the times, for a record without one that of the record before it."""
        if times and None not in times:
            dated = cast("list[float]", times)
            if not any(map(math.isnan, dated)):
                self._time = dated[-1]
                return dated
        filled: list[float] = []
        last = self._maker.setting.mtime if self._time is None else self._time
        for time in times:
            if time is not None and not math.isnan(time):
                last = time
            filled.append(last)
        self._time = last
        return filled
