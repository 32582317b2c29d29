"""The times of `--since`, `--until`, `--before` and `--timeout`: which texts are accepted.

Rules: a text that is none of the accepted kinds of time is refused, with a list of these. So is a
number that looks like a year or a day: taken as seconds, it would silently select the wrong events;
and a date of which it is not clear which number is the day. A time without a zone is local time.
A weekday and a time of day are the latest ones that have begun.
"""

from __future__ import annotations

import math
import re
from contextlib import suppress
from datetime import date, datetime, time, timedelta, tzinfo

import click

from lmdbstore.threads.deadline import limit_of
from lmdbstore.times.clock import Setting
from lmdbstore.times.text import TextClock, number_seconds
from lmdbstore.times.zones import UnknownZone, zone_named

__all__ = ["ACCEPTED", "TimeError", "instant", "local_time", "seconds"]

ACCEPTED = (
    "a date (2025-06-24), ISO 8601 (2025-06-24T14:36:25, also with Z or +02:00), a time of day "
    "(14:36), a weekday (monday), 'now', 'today' or 'yesterday', each also with a zone "
    "(2025-06-24 14:36 Europe/Berlin), a time as logs have it, seconds since 1970 (1750775785.5; "
    "also ms, us and ns), or a time from now (-30s, -15m, -1h, -7d, -2w; 1h is an hour ago, too)"
)
_UNITS = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}  # seconds
_DAYS = {"today": 0, "yesterday": 1}  # days ago
_NAMES = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_WEEKDAYS = {form: n for n, name in enumerate(_NAMES) for form in (name, name[:3])}
_NUMBER = r"\d+(?:\.\d+)?"
_is_relative = re.compile(rf"([+-]?)((?:{_NUMBER}[smhdw])+)", re.ASCII).fullmatch
_parts = re.compile(rf"({_NUMBER})([smhdw])", re.ASCII).findall
_is_number = re.compile(rf"-?{_NUMBER}", re.ASCII).fullmatch
_is_date = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII).fullmatch
_is_datetime = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d.*", re.ASCII).fullmatch
_is_misread = re.compile(r"[12]\d{3}|[12]\d{3}[01]\d[0-3]\d", re.ASCII).fullmatch
_is_time_of_day = re.compile(r"\d\d:\d\d(?::\d\d(?:\.\d+)?)?", re.ASCII).fullmatch
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
    if text.lower() == "now":
        return now
    if relative := _is_relative(text):
        span = math.fsum(float(number) * _UNITS[unit] for number, unit in _parts(relative[2]))
        return now + span if relative[1] == "+" else now - span
    if _is_number(text):
        return None if _is_misread(text) else number_seconds(float(text))
    found = _calendar(text, now, None, end=end)
    if found is None and (zone := _zone_of(text)) is not None:
        found = _calendar(text.rpartition(" ")[0].strip(), now, zone, end=end)
    return _moment(text, now) if found is None else found


def _zone_of(text: str) -> tzinfo | None:
    """Return the zone at the end of a text; None if there is none."""
    with suppress(UnknownZone):
        return zone_named(text.rpartition(" ")[2])
    return None


def _calendar(text: str, now: float, zone: tzinfo | None, *, end: bool) -> float | None:
    """Return the time of a day, a time of day, or both, in a zone; None: in that of the machine."""
    here = datetime.fromtimestamp(now, zone)
    word = text.lower()
    if word in _DAYS:
        return _midnight(here.date() - timedelta(days=_DAYS[word]), zone, end=end)
    if word in _WEEKDAYS:
        ago = (here.weekday() - _WEEKDAYS[word]) % 7
        return _midnight(here.date() - timedelta(days=ago), zone, end=end)
    if _is_date(text):
        return _midnight(date.fromisoformat(text), zone, end=end)
    if _is_time_of_day(text):
        moment = datetime.combine(here.date(), time.fromisoformat(text), zone)
        if moment.timestamp() > now:
            moment -= timedelta(days=1)
        return moment.timestamp()
    if _is_datetime(text):
        with suppress(ValueError):
            moment = datetime.fromisoformat(text)
            return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp()
    return None


def _moment(text: str, now: float) -> float | None:
    if _is_unclear(text):
        return None
    seconds = TextClock(Setting(now)).read(text)
    return None if seconds is None or math.isnan(seconds) else seconds


def _midnight(day: date, zone: tzinfo | None, *, end: bool) -> float:
    if end:
        day += timedelta(days=1)
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()
    return math.nextafter(midnight, -math.inf) if end else midnight


def seconds(_: click.Context, __: click.Parameter, text: str | None) -> float | None:
    """Return the time limit of an option in seconds, or None; raises BadParameter if it is none."""
    try:
        return None if text is None else limit_of(float(text))
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is no time limit; give seconds, 0 or more, such as 2.5"
        ) from None


def local_time(timestamp: float) -> str:
    """Return a time as the clock of this machine shows it, in whole milliseconds.

    If it has no such time, return the number.
    """
    try:
        moment = datetime.fromtimestamp(math.floor(timestamp * 1000) / 1000).astimezone()
    except (ValueError, OverflowError, OSError):
        return repr(timestamp)
    return moment.replace(tzinfo=None).isoformat(" ", "milliseconds")
