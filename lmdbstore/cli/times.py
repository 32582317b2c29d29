"""The times of `--since`, `--until`, `--before` and `--timeout`: which texts are accepted.

Rules: a text that is none of the accepted kinds of time is refused, with a list of these. So is a
number that looks like a year or a day: taken as seconds, it would silently select the wrong events;
and a date of which it is not clear which number is the day. A time without a zone is local time.
"""

from __future__ import annotations

import math
import re
from contextlib import suppress
from datetime import date, datetime, timedelta

import click

from lmdbstore.threads.deadline import limit_of
from lmdbstore.times.clock import Setting
from lmdbstore.times.text import TextClock, number_seconds

__all__ = ["ACCEPTED", "TimeError", "instant", "seconds"]

ACCEPTED = (
    "a date (2025-06-24), ISO 8601 (2025-06-24T14:36:25, also with Z or +02:00), a time as logs "
    "have it, seconds since 1970 (1750775785.5; also ms, us and ns), a time from now (-30s, "
    "-15m, -1h, -7d, -2w; 1h is an hour ago, too), 'now', 'today' or 'yesterday'"
)
_UNITS = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}  # seconds
_DAYS = {"today": 0, "yesterday": 1}  # days ago
_NUMBER = r"\d+(?:\.\d+)?"
_is_relative = re.compile(rf"([+-]?)((?:{_NUMBER}[smhdw])+)", re.ASCII).fullmatch
_parts = re.compile(rf"({_NUMBER})([smhdw])", re.ASCII).findall
_is_number = re.compile(rf"-?{_NUMBER}", re.ASCII).fullmatch
_is_date = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII).fullmatch
_is_datetime = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d.*", re.ASCII).fullmatch
_is_misread = re.compile(r"[12]\d{3}|[12]\d{3}[01]\d[0-3]\d", re.ASCII).fullmatch
_is_unclear = re.compile(r"\d{1,2}[/.-]\d{1,2}[/.-]", re.ASCII).match


class TimeError(ValueError):
    """The text is not a time; the message lists what is accepted."""


def instant(text: str, *, now: float, end: bool = False) -> float:
    """Return the time that `text` gives, in seconds since 1970.

    Relative times are relative to `now`, also in seconds since 1970. A date is its first midnight
    or, with `end`, the last instant before the next midnight.

    Raises:
        TimeError: `text` is not a time.
    """
    text = text.strip()
    try:
        seconds = _instant(text, now, end=end)
    except (ValueError, OverflowError, OSError):  # month 13; a year that the C library lacks
        seconds = None
    if seconds is None or not math.isfinite(seconds):
        raise TimeError(f"{text!r} is not a time; give {ACCEPTED}")
    return seconds


def _instant(text: str, now: float, *, end: bool) -> float | None:
    if (word := text.lower()) in _DAYS:
        today = datetime.fromtimestamp(now).astimezone().date()
        return _midnight(today - timedelta(days=_DAYS[word]), end=end)
    if _is_date(text):
        return _midnight(date.fromisoformat(text), end=end)
    if word == "now":
        return now
    if relative := _is_relative(text):
        span = math.fsum(float(number) * _UNITS[unit] for number, unit in _parts(relative[2]))
        return now + span if relative[1] == "+" else now - span
    if _is_number(text):
        return None if _is_misread(text) else number_seconds(float(text))
    return _moment(text, now)


def _moment(text: str, now: float) -> float | None:
    if _is_datetime(text):
        with suppress(ValueError):
            return datetime.fromisoformat(text).timestamp()
    if _is_unclear(text):
        return None
    seconds = TextClock(Setting(now)).read(text)
    return None if seconds is None or math.isnan(seconds) else seconds


def _midnight(day: date, *, end: bool) -> float:
    if end:
        day += timedelta(days=1)
    midnight = datetime(day.year, day.month, day.day).astimezone().timestamp()
    return math.nextafter(midnight, -math.inf) if end else midnight


def seconds(_: click.Context, __: click.Parameter, text: str | None) -> float | None:
    """Return the time limit of an option in seconds, or None; raises BadParameter if it is none."""
    try:
        return None if text is None else limit_of(float(text))
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is no time limit; give seconds, 0 or more, such as 2.5"
        ) from None
