"""The time of a log line: where log formats put it, and how it is read.

Rules: a line has a time only if it shows a complete and valid date and time of day. Nothing is
guessed from numbers inside the text. What `LogClock` remembers makes it fast and never changes a
result: the formats at the start of a line exclude each other by their first characters, and the
other formats are tried only after all of these.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    # From a date, a time of day, a zone and `latest` to the second since 1970.
    _ToSecond: TypeAlias = Callable[[str, str, str, float], int]
    _Match: TypeAlias = Callable[[str], re.Match[str] | None]

__all__ = ["LogClock", "log_time"]

NEAR = 40  # characters before an ISO date: a level, a key, the name of a container
ISO_LONGEST = 40  # characters of a date with nanoseconds and a zone
COMMON_WITHIN = 200  # in the common log, a long address and a long user name may come first
LEAP_YEARS_APART = 8  # at most, as 1896 and 1904: a February 29 is at most so many years ago

_MONTH = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_MONTHS = {name: number for number, name in enumerate(_MONTH[3:-1].split("|"), 1)}
_DAYTIME = r"[0-2]\d:[0-5]\d:[0-6]\d"

# The zone is part of the key of the remembered second. After a space, only a full offset in
# quarters of an hour is a zone: "14:36:25 -12 degrees" has none.
_ZONE = (
    r"(?:Z(?!\w)|[+-][01]\d(?::?[0-5]\d)?(?![\w:])"
    r"| (?:[+-][01]\d:?(?:00|15|30|45)(?![\w:])|(?:UTC|GMT|Z)(?!\w)))"
)
_FRACTION = r"(?:[.,](\d+))?"
# The groups of every format: date, time of day, digits of the fraction, zone.
_ISO = rf"(\d{{4}}-\d\d-\d\d)[T ]([0-2]\d:[0-5]\d(?::[0-6]\d)?)(?!:?\d){_FRACTION}({_ZONE})?"
_BASIC = rf"(\d{{8}})T([0-2]\d[0-5]\d[0-6]\d)(?!\d){_FRACTION}({_ZONE})?"
_SLASH = rf"(\d{{4}}/\d\d/\d\d) ({_DAYTIME})(?!:?\d){_FRACTION}({_ZONE})?"
_SYSLOG = rf"({_MONTH} [ \d]?\d(?: \d{{4}})?) ({_DAYTIME})(?!:?\d){_FRACTION}()"
# With a weekday before the date, the year comes last (ctime, Apache's error log).
_CTIME = rf"[A-Z][a-z]{{2}} ({_MONTH} [ \d]?\d) ({_DAYTIME})(?!:?\d){_FRACTION} (\d{{4}})(?!\d)"
_EPOCH = r"()([1-9]\d{8,9})(?:\.(\d+))?()(?=[\s\]):;,|\"'}]|$)"
_COMMON = rf"\[(\d\d/{_MONTH}/\d{{4}}):({_DAYTIME})() ?([+-][01]\d[0-5]\d)?\]"

# Before the time may come an indent, a syslog priority (with RFC 5424's version) and a bracket.
_LEAD = r"[ \t]{0,8}(?:<\d{1,3}>(?:1 )?)?[\[(\"']?"

_Key = tuple[str, str, str]


def log_time(line: str, latest: float) -> float | None:
    """Return the time of a log line in seconds since 1970, or None if the line has none.

    A date without a year gets the latest year in which it is not after `latest`, in seconds since
    1970. A time without a zone is local time.

    Formats at the start of the line: ISO 8601 (also with a space or a comma, as Python's logging
    writes it), syslog (RFC 3164 and RFC 5424), the error logs of nginx and Apache, and seconds
    since 1970. Formats after the start: ISO 8601 near it, and the date of the common log, in
    brackets.
    """
    return LogClock(latest).read(line)


class LogClock:
    """Reads the times of the lines of one log: `log_time`, faster by what it remembers."""

    def __init__(self, latest: float) -> None:
        """Read a date without a year as the last one not after `latest` (seconds since 1970)."""
        self._latest = latest
        self._format = _STARTS[0]
        self._key: _Key | None = None
        self._second: int | None = None

    def read(self, line: str) -> float | None:
        """Return the time of `line` in seconds since 1970, or None if it has none."""
        match, to_second = self._format
        found = match(line)
        if found is None:
            return self._read_any(line)
        seconds = self._seconds(found, to_second)
        return self._read_any(line) if seconds is None else seconds

    def _read_any(self, line: str) -> float | None:
        for log_format in _STARTS:
            found = log_format[0](line)
            if found is not None:
                seconds = self._seconds(found, log_format[1])
                if seconds is not None:
                    self._format = log_format
                    return seconds
        return self._read_within(line)

    def _read_within(self, line: str) -> float | None:
        """Read the leftmost time that is not at the start of the line."""
        common = _find_common(line, 0, COMMON_WITHIN)
        end = NEAR + ISO_LONGEST if common is None else common.start()
        # An indented line continues the line before it; a date in it belongs to the text.
        iso = None if line[:1].isspace() else _find_iso(line, 0, end)
        if iso is not None and iso.start() <= NEAR:
            return self._seconds(iso, _iso)
        return None if common is None else self._seconds(common, _common)

    def _seconds(self, found: re.Match[str], to_second: _ToSecond) -> float | None:
        date, daytime, fraction, zone = found.groups("")
        key = (date, daytime, zone)
        if key != self._key:
            try:
                self._second = to_second(date, daytime, zone, self._latest)
            except (
                ValueError,
                OverflowError,
                OSError,
            ):  # month 13; a year that the C library lacks
                self._second = None
            self._key = key
        second = self._second
        if second is None or not fraction:
            return second if second is None else float(second)
        if second < 0:
            return second + float("0." + fraction)
        return float(f"{second}.{fraction}")  # rounded once


def _at(date: tuple[int, int, int], daytime: str, zone: str) -> int:
    """Return the second since 1970; raise ValueError if there is no such time."""
    digits = daytime.replace(":", "").ljust(6, "0")
    second = int(digits[4:])
    # POSIX counts a leap second as the second after :59.
    leap = second == 60  # noqa: PLR2004
    moment = datetime(*date, int(digits[:2]), int(digits[2:4]), second - leap, tzinfo=_zone(zone))
    return round(moment.timestamp()) + leap


def _zone(text: str) -> timezone | None:
    text = text.strip()
    if not text:
        return None
    if text[0] not in "+-":
        return UTC
    digits = text[1:].replace(":", "").ljust(4, "0")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-offset if text[0] == "-" else offset)


def _iso(date: str, daytime: str, zone: str, _: float) -> int:
    return _at((int(date[:4]), int(date[5:7]), int(date[8:])), daytime, zone)


def _basic(date: str, daytime: str, zone: str, _: float) -> int:
    return _at((int(date[:4]), int(date[4:6]), int(date[6:])), daytime, zone)


def _common(date: str, daytime: str, zone: str, _: float) -> int:
    return _at((int(date[7:]), _MONTHS[date[3:6]], int(date[:2])), daytime, zone)


def _ctime(date: str, daytime: str, year: str, _: float) -> int:
    month, day = date.split()
    return _at((int(year), _MONTHS[month], int(day)), daytime, "")


def _syslog(date: str, daytime: str, _: str, latest: float) -> int:
    month, day, *year = date.split()
    if year:
        return _at((int(year[0]), _MONTHS[month], int(day)), daytime, "")
    last = time.localtime(latest).tm_year
    for candidate in range(last, last - LEAP_YEARS_APART - 1, -1):
        try:
            second = _at((candidate, _MONTHS[month], int(day)), daytime, "")
        except ValueError:  # February 29 in another year
            continue
        if second <= latest:
            return second
    raise ValueError(date)


def _epoch(_: str, digits: str, __: str, ___: float) -> int:
    return int(digits)


def _start(pattern: str, to_second: _ToSecond, lead: str = _LEAD) -> tuple[_Match, _ToSecond]:
    return re.compile(lead + pattern, re.ASCII).match, to_second


_STARTS = (
    _start(_ISO, _iso),
    _start(_SYSLOG, _syslog),
    _start(_SLASH, _iso),
    _start(_EPOCH, _epoch, r"\[?"),
    _start(_CTIME, _ctime),
    _start(_BASIC, _basic),
)
_find_common = re.compile(_COMMON, re.ASCII).search
_find_iso = re.compile(rf"(?<![\w.:/+-]){_ISO}", re.ASCII).search
