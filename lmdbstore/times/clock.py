"""A clock reads the times of the lines of one format, in the order of the file.

Rules: what a clock remembers makes it fast and never changes a result. It reads each minute field
by field once, and remembers its second. If a format lacks the year, or the day, the clock keeps the
one it is in, and turns to the next where the date, or the time of day, goes back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from .cycle import DAYS, YEARS, Cycle
from .moment import (
    HOURS,
    Contradiction,
    NoTime,
    Parts,
    day_of,
    epoch_seconds,
    hour_of,
    local_time,
    tai_seconds,
)
from .zones import Zones

if TYPE_CHECKING:
    import re
    from collections.abc import Iterable

    from .template import Compiled

__all__ = ["Clock", "Setting"]

DAY = 86_400.0  # seconds: a log may be in a time zone ahead of that of the file's time
HOUR = 3_600.0  # seconds
CALENDAR = 28  # years after which weekdays and leap years repeat
_SECONDS: dict[str | None, int] = {None: 0, **{f"{n:02}": n for n in range(61)}}
_SECONDS |= {str(n): n for n in range(10)}
_ERRORS = (Contradiction, ValueError, OverflowError, OSError)  # a year that the C library lacks


@dataclass
class Setting:
    """What is known of a file, beside its lines."""

    mtime: float  # seconds since 1970: when the file was last written
    zones: Zones = field(default_factory=Zones)
    year: int | None = None  # of the first line, if it is given


class _Reading(NamedTuple):
    """One match, field by field."""

    parts: Parts
    hour: int
    minute: int
    zone: str | None
    weekday: str | None


class Clock:
    """Reads the times of matches of one pattern."""

    def __init__(self, pattern: Compiled, setting: Setting) -> None:
        """Read matches of `pattern`, of the file with this setting."""
        self.match = pattern.pattern.match
        self._pattern = pattern
        self._setting = setting
        self._memo: dict[object, float] = {}
        self._last: float | None = None  # the latest time
        fields = pattern.fields
        self._cycle: Cycle | None = None
        if not fields & {"Y", "y", "G", "s", "tai"}:
            self._cycle = Cycle(YEARS if fields & {"m", "b"} else DAYS)
            if setting.year is not None and self._cycle.kind is YEARS:
                self._cycle.start = setting.year
        if "s" in fields:
            self.times = self._epochs
        elif "tai" in fields:
            self.times = self._labels
        else:
            self.times = self._dates

    @property
    def guesses(self) -> str:
        """What the format does not say and was not given: the year, or the day, or nothing."""
        given = self._cycle is None or self._setting.year is not None
        return "" if given or self._cycle is None else self._cycle.kind.name

    @property
    def incomplete(self) -> bool:
        """Whether the clock would know more after a `survey`."""
        return self._cycle is not None and self._cycle.start is None

    def _dates(self, found: Iterable[re.Match[str] | None]) -> list[float | None]:
        """Return the times of matches in seconds since 1970; None without, NaN for contradictory.

        `times` is this, or one of the two below.
        """
        keys, second, fraction = self._pattern.key, self._pattern.second, self._pattern.fraction
        memo, milliseconds = self._memo, "ms" in self._pattern.fields
        times: list[float | None] = []
        add, remembered, seconds = times.append, memo.get, _SECONDS.get
        time = self._last
        for one in found:
            if one is None:
                add(None)
                continue
            key = one.group(*keys)
            minute = remembered(key)
            if minute is None:
                minute = self._minute(one, key, time)
                if minute is None:
                    add(None)
                    continue
            of_minute = seconds(one[second]) if second else 0
            if of_minute is None:
                time = math.nan
            elif fraction and (digits := one[fraction]) is not None:
                scale = 1000 if milliseconds else 10 ** len(digits)
                # One division, so that the result is rounded once.
                whole = (minute + of_minute) * scale
                time = (whole + int(digits)) / scale if minute == minute else math.nan  # noqa: PLR0124
            else:
                time = float(minute + of_minute)
            add(time)
        self._last = time
        return times

    def _epochs(self, found: Iterable[re.Match[str] | None]) -> list[float | None]:
        has_fraction = self._pattern.fraction
        number = self._pattern.pattern.groupindex["s"]
        return [
            None
            if one is None
            else epoch_seconds(one[number], one[has_fraction] if has_fraction else None)
            for one in found
        ]

    def _labels(self, found: Iterable[re.Match[str] | None]) -> list[float | None]:
        times: list[float | None] = []
        for one in found:
            try:
                times.append(one and tai_seconds(one["tai"], one["nano"]))
            except Contradiction:
                times.append(math.nan)
        return times

    def _minute(self, one: re.Match[str], key: object, before: float | None) -> float | None:
        """Return the second at which the minute begins; NaN if there is none, None if no time."""
        memo, unique = self._memo, True
        try:
            reading = _read(one)
            second = self._pattern.second
            if reading.hour == HOURS and second and (one[second] or "0").strip("0"):
                raise Contradiction("24:00 has no seconds")
            minute, unique = self._second(reading, before)
        except NoTime:
            return None
        except _ERRORS:
            return math.nan
        if self._cycle is not None:
            memo.clear()  # the same minute may come again, a year or a day later
        if unique and reading.hour < HOURS:
            memo[key] = minute
        return minute

    def _second(self, reading: _Reading, before: float | None) -> tuple[int, bool]:
        year, month, day = self._completed(reading)
        local = local_time(year or 0, month or 0, day or 0, reading.hour, reading.minute)
        before = None if before is not None and math.isnan(before) else before
        return self._setting.zones.second(local, reading.zone, before)

    # -- what is missing ----------------------------------------------------------------------

    def _completed(self, reading: _Reading) -> Parts:
        """Return the day of a time, also of one that lacks the year, or the day."""
        cycle, parts = self._cycle, reading.parts
        if cycle is None:
            return parts
        if cycle.start is None:
            return self._latest(reading)
        turns = cycle.turned(_position(reading))
        if cycle.kind is YEARS:
            return parts._replace(year=cycle.start + turns)
        day = date.fromordinal(cycle.start + turns)
        return Parts(day.year, day.month, day.day)

    def _latest(self, reading: _Reading) -> Parts:
        """Return the latest day for a time, by which it is not later than the file."""
        parts = reading.parts
        if parts.month is None:
            day = self._last_day(reading.hour, reading.minute)
            return Parts(day.year, day.month, day.day)
        last = datetime.fromtimestamp(self._setting.mtime + DAY, self._setting.zones.given)
        moment = (last.month, last.day, last.hour, last.minute)
        late = (parts.month, parts.day, reading.hour, reading.minute) > moment
        for year in range(last.year - late, last.year - CALENDAR - 1, -1):
            if _exists(year, parts, reading.weekday):
                return parts._replace(year=year)
        raise Contradiction("no such day")

    def _last_day(self, hour: int, minute: int) -> date:
        last = datetime.fromtimestamp(self._setting.mtime + HOUR, self._setting.zones.given)
        late = (hour, minute) > (last.hour, last.minute)
        return last.date() - timedelta(days=late)

    def survey(self, lines: Iterable[str]) -> None:
        """Look at the lines of the whole file, in order, before their times are read.

        A format without a year, or a day, then knows in which the file begins: the last line is
        not later than the file, and the others are counted back from it.
        """
        cycle = self._cycle
        if cycle is None or cycle.start is not None:
            return
        keys, match, same = self._pattern.key, self.match, "\n"
        for line in lines:
            if line.startswith(same):  # up to the minute: this line can say nothing else
                continue
            if (one := match(line)) is None:
                continue
            same = line[: max(map(one.end, keys))]
            if one.group(*keys) != cycle.seen:
                cycle.seen = one.group(*keys)
                try:
                    reading = _read(one)
                except (NoTime, *_ERRORS):
                    continue
                cycle.turned(_position(reading))
                cycle.note(reading.parts, reading.weekday)
                cycle.last = reading

    def begin(self) -> None:
        """End the survey: from here on, `times` counts on from the start of the file."""
        cycle = self._cycle
        if cycle is None or cycle.start is not None or cycle.last is None:
            return
        last: _Reading = cycle.last
        if cycle.kind is DAYS:
            end = self._last_day(last.hour, last.minute).toordinal()
        else:
            end = self._latest(last).year or 0
            years = range(end, end - CALENDAR, -1)
            fits = (year for year in years if cycle.fits(year, _exists))
            end = next(fits, end)
        cycle.begin(end)


def _read(one: re.Match[str]) -> _Reading:
    fields = one.groupdict()
    hour, minute = hour_of(fields)
    return _Reading(day_of(fields), hour, minute, fields.get("z"), fields.get("a"))


def _position(reading: _Reading) -> int:
    parts = reading.parts
    if parts.month is None or parts.day is None:
        return reading.hour * 60 + reading.minute
    return parts.month * 31 + parts.day


def _exists(year: int, parts: Parts, weekday: str | None) -> bool:
    try:
        day_of({"Y": f"{year}", "m": f"{parts.month}", "d": f"{parts.day}", "a": weekday})
    except Contradiction:
        return False
    return True
