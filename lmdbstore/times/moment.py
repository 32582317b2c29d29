"""From the fields of a time to its second since 1970.

Rules: what the fields say is taken as it stands, or refused. What no calendar has (month 13, 25:00,
a Tuesday that was a Wednesday) is a contradiction, and nothing is guessed in its place. 24:00 is
the midnight that follows, and a leap second is the second after :59, as POSIX counts.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import NamedTuple

from .names import WEEKDAYS, month_of

__all__ = [
    "Contradiction",
    "NoTime",
    "Parts",
    "day_of",
    "epoch_seconds",
    "hour_of",
    "local_time",
    "tai_seconds",
]

TAI_EPOCH = 1 << 62
TAI_AHEAD = 10  # seconds that TAI was ahead of UTC in 1970, for TAI64 labels
# The first days with one more leap second, as days since 1970: 1972-07-01 and so on.
_LEAPS = (
    *(912, 1096, 1461, 1826, 2191, 2557, 2922, 3287, 3652, 4199, 4564, 4929, 5660, 6574),
    *(7305, 7670, 8217, 8582, 8947, 9496, 10043, 10592, 13149, 14245, 15522, 16617, 17167),
)
NOON = 12
HOURS = 24
CENTURY_TURNS = 69  # as in POSIX: years of two digits are 1969 to 2068
# One rule for the size of a number of time: below 1e11 it counts seconds (to the year 5138).
SIZES: tuple[tuple[float, int], ...] = (
    (1e11, 1),
    (1e14, 10**3),
    (1e17, 10**6),
    (float("inf"), 10**9),
)


class Contradiction(ValueError):
    """The text is a time by its form, but no such time exists."""


class NoTime(ValueError):
    """The text only looks like a time."""


class Parts(NamedTuple):
    """A day, as far as the text gives it: without a year, or without anything."""

    year: int | None
    month: int | None
    day: int | None


def day_of(fields: dict[str, str | None]) -> Parts:
    """Return the day of the fields of a match.

    Raises:
        Contradiction, NoTime: there is no such day.
    """
    year = _year(fields)
    if year is not None and (ordinal := fields.get("j")) is not None:
        return _parts(date(year, 1, 1) + timedelta(days=int(ordinal) - 1), year)
    if (week := fields.get("V")) is not None:
        try:
            week_year, weekday = int(fields.get("G") or 0), int(fields.get("u") or 1)
            found = date.fromisocalendar(week_year, int(week), weekday)
        except ValueError as error:
            raise Contradiction(str(error)) from None
        return _parts(found, None)
    if (name := fields.get("b")) is not None:
        month = month_of(name)
        if month is None:
            raise NoTime(name)
    elif (digits := fields.get("m")) is not None:
        month = int(digits)
    else:
        return Parts(None, None, None) if year is None else Parts(year, 1, 1)
    day = int(fields.get("d") or 1)
    _check(year, month, day, fields.get("a"))
    return Parts(year, month, day)


def _year(fields: dict[str, str | None]) -> int | None:
    if (digits := fields.get("Y")) is not None:
        return int(digits)
    if (digits := fields.get("y")) is not None:
        short = int(digits)
        return short + (1900 if short >= CENTURY_TURNS else 2000)
    return None


def _parts(found: date, year: int | None) -> Parts:
    if year not in {None, found.year}:  # day 366 of a year with 365
        raise Contradiction("no such day")
    return Parts(found.year, found.month, found.day)


def _check(year: int | None, month: int, day: int, weekday: str | None) -> None:
    try:
        found = date(2000 if year is None else year, month, day)  # 2000 has a February 29
    except ValueError as error:
        raise Contradiction(str(error)) from None
    if year is not None and weekday is not None:
        stated = WEEKDAYS.get(weekday.lower())
        if stated not in {None, found.isoweekday()}:
            raise Contradiction(f"{found} is no {weekday}")


def hour_of(fields: dict[str, str | None]) -> tuple[int, int]:
    """Return hour and minute; the hour is 24 for the midnight that follows.

    Raises:
        Contradiction: there is no such time of day.
    """
    hour, minute = int(fields.get("H") or 0), int(fields.get("M") or 0)
    if half := fields.get("p"):
        afternoon = half[0] in "pP"
        if (hour > NOON and not afternoon) or hour > HOURS:
            raise Contradiction(f"{hour} {half}")
        if hour <= NOON:
            hour = hour % NOON + NOON * afternoon
    if hour > HOURS or minute > 59 or (hour == HOURS and minute):  # noqa: PLR2004
        raise Contradiction(f"{hour}:{minute:02}")
    return hour, minute


def local_time(year: int, month: int, day: int, hour: int, minute: int) -> datetime:
    """Return a local time; hour 24 is the midnight that follows."""
    if hour == HOURS:
        return datetime(year, month, day) + timedelta(days=1)  # noqa: DTZ001  it is local
    return datetime(year, month, day, hour, minute)  # noqa: DTZ001  it is local


def epoch_seconds(digits: str, fraction: str | None = None) -> float:
    """Return a number in seconds since 1970: it counts s, ms, us or ns, which its size shows."""
    number = int(digits)
    scale = next(scale for below, scale in SIZES if abs(number) < below)
    if not fraction:
        return number / scale
    whole: int = scale * 10 ** len(fraction)
    return int(digits + fraction) / whole


def tai_seconds(label: str, nano: str | None) -> float:
    """Return the time of a TAI64 label of 16 hexadecimal digits, and 8 of nanoseconds, in seconds.

    Raises:
        Contradiction: the label is out of range.
    """
    second = int(label, 16) - TAI_EPOCH
    nanoseconds = int(nano or "0", 16)
    if not 0 <= second < TAI_EPOCH >> 20 or nanoseconds >= 10**9:
        raise Contradiction(label)
    leaps = sum((second - TAI_AHEAD) > day * 86_400 + n for n, day in enumerate(_LEAPS))
    return ((second - TAI_AHEAD - leaps) * 10**9 + nanoseconds) / 10**9
