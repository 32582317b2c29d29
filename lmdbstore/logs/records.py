"""The records of text: lines, and the lines that continue them.

Rules: a record begins where the file's format has its time, or where the given pattern matches. The
lines that follow belong to it, within `MOST_LINES` and `MOST_CHARACTERS`; the blank ones at its end
do not. In a file without any time, and with `each_line`, each line is a record. A record is ended
by the next one or by the end of the input, never by the time that passes. Lines before the first
time get the first time that follows, within `HELD_BACK` lines of a file, or what a pipe gives at
once. A record without a time of its own
has that of the record before it.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from .fields import LevelFinder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lmdbstore.inputs.lines import Block
    from lmdbstore.times.dater import Dater

    from .common import Batch, Maker

__all__ = ["Records", "TextReader", "bare", "few"]

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
        lines = [_escapes.sub("", line) for line in lines]
    if "\0" in text:
        lines = [line.lstrip("\0") for line in lines]
    return lines


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

    def add(self, number: int, lines: list[str], time: float | None, tags: list[str]) -> None:
        """Add a record, cut where it is too long, without the blank lines at its end."""
        while lines and (not lines[-1] or lines[-1].isspace()):
            lines.pop()
        for first, text in _cut(number, lines):
            self.numbers.append(first)
            self.texts.append(text)
            self.times.append(time)
            self.tags.append(tags)

    def extend(self, other: Records) -> None:
        """Add the records of another."""
        self.numbers += other.numbers
        self.texts += other.texts
        self.times += other.times
        self.tags += other.tags


def _cut(number: int, lines: list[str]) -> Iterator[tuple[int, str]]:
    if len(lines) == 1:
        yield number, lines[0]
        return
    start = size = 0
    for n, line in enumerate(lines):
        if n > start and (n - start >= MOST_LINES or size + len(line) > MOST_CHARACTERS):
            yield number + start, "\n".join(lines[start:n])
            start, size = n, 0
        size += len(line)
    if lines[start:]:
        yield number + start, "\n".join(lines[start:])


@dataclass(slots=True)
class _Open:
    """The record that the next block may continue."""

    number: int
    lines: list[str]
    time: float | None
    tags: list[str]
    size: int = 0

    def too_long(self) -> bool:
        return len(self.lines) > MOST_LINES or self.size > MOST_CHARACTERS


class TextReader:
    """Makes the lines of a text into events."""

    def __init__(self, maker: Maker, dater: Dater, *, hold: bool) -> None:
        """Date the lines with `dater`; with `hold`, those at the start wait for the first time."""
        self._maker, self._dater, self._hold = maker, dater, hold
        self._options, self._report = maker.options, maker.report
        self._levels = LevelFinder()
        self._open: _Open | None = None
        self._held: Records | None = Records()  # those before the first time
        self._time: float | None = None  # of the latest record

    @property
    def open_record(self) -> int | None:
        """See `Reader.open_record`."""
        return None if self._open is None else self._open.number

    def resume(self, head: Sequence[str], time: float | None) -> None:
        """See `Reader.resume`."""
        self._dater.learn(bare(list(head)))
        self._time, self._held = time, None

    def read(self, block: Block) -> Batch:
        """Return the events of the records that end in this block."""
        plain = bare(block.lines)
        times, matches = self._dater.date(plain)
        self._report.dated(times, block.lines)
        lines = block.lines
        if self._options.strip_colours and plain is not lines:
            lines = [_escapes.sub("", line) for line in lines]
        starts = self._starts(plain, times)
        found = Records()
        self._continue(found, block.first, lines[: starts[0]] if starts else lines)
        if starts:
            self._report.missing.pop("--record-start", None)
            self._close(found)
            tags = self._tags(plain, matches, starts)
            self._add(found, block.first, lines, starts, self._times(times, starts), tags)
            if self._alone:
                self._close(found)
        return self._events(found)

    def end(self) -> Batch:
        """Return the events of the last records."""
        found = Records()
        self._close(found)
        return self._events(found, last=True)

    @property
    def _alone(self) -> bool:
        """Whether each line is a record."""
        return self._options.record_start is None and (
            self._options.each_line or not self._dater.learnt
        )

    def _starts(self, plain: list[str], times: Sequence[float | None]) -> list[int]:
        """Return the places of the lines at which records begin."""
        if self._options.record_start is not None:
            search = self._options.record_start.search
            return [n for n, line in enumerate(plain) if search(line)]
        if self._alone:
            return [n for n, line in enumerate(plain) if line and not line.isspace()]
        return [n for n, time in enumerate(times) if time is not None]

    def _times(self, times: list[float | None], starts: list[int]) -> list[float | None]:
        """Return the time of each record: of the line at which it begins, if it has one."""
        if self._options.record_start is None:
            return times if len(starts) == len(times) else [times[n] for n in starts]
        ends = [*starts[1:], len(times)]
        return [
            next((time for time in times[start:end] if time is not None), None)
            for start, end in zip(starts, ends, strict=True)
        ]

    def _tags(
        self, plain: list[str], matches: list[re.Match[str] | None], starts: list[int]
    ) -> list[list[str]]:
        with_level, level_of = self._maker.with_level, self._levels.of
        if not self._options.levels:
            return [self._maker.tags] * len(starts)
        return [with_level(level_of(plain[n], matches[n])) for n in starts]

    def _add(  # noqa: PLR0913, PLR0917  the columns of a block
        self,
        found: Records,
        first: int,
        lines: list[str],
        starts: list[int],
        times: list[float | None],
        tags: list[list[str]],
    ) -> None:
        """Add the records that begin in a block; the last of them stays open."""
        last = starts[-1]
        if len(starts) == len(lines):
            found.numbers += range(first, first + last)
            found.texts += lines[:-1]
            found.times += times[:-1]
            found.tags += tags[:-1]
        else:
            for n, (start, end) in enumerate(pairwise(starts)):
                found.add(first + start, lines[start:end], times[n], tags[n])
        self._open = _Open(first + last, lines[last:], times[-1], tags[-1])

    def _continue(self, found: Records, first: int, lines: list[str]) -> None:
        """Add lines before the first record of a block to the open record, which ends if one is."""
        if self._open is None:  # at the start of the input
            tags = self._maker.tags
            for number, line in enumerate(lines, first):
                found.add(number, [line], None, tags)
            return
        self._open.lines += lines
        self._open.size += sum(map(len, lines))
        if self._open.too_long():
            following, tags = first + len(lines), self._open.tags
            self._close(found)
            self._open = _Open(following, [], None, tags)

    def _close(self, found: Records) -> None:
        if self._open is not None:
            one, self._open = self._open, None
            found.add(one.number, one.lines, one.time, one.tags)

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
        return self._maker.events(
            found.numbers, found.texts, self._inherited(found.times), found.tags
        )

    def _inherited(self, times: list[float | None]) -> list[float]:
        """Return the times, for a record without one that of the record before it."""
        filled: list[float] = []
        last = self._maker.setting.mtime if self._time is None else self._time
        for time in times:
            if time is not None and not math.isnan(time):
                last = time
            filled.append(last)
        self._time = last
        return filled
