"""The option `--by` of `histogram`: which texts are accepted, and what a bucket is called."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from datetime import tzinfo

__all__ = ["ACCEPTED", "Period", "fitting", "moment_of", "period_of"]

ACCEPTED = "give 'hour', 'day' or 'month', or a time such as 30s, 15m, 6h, 1d or 2w"
DAY = 86_400
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": DAY, "w": 7 * DAY}  # seconds
_is_time = re.compile(r"(\d+(?:\.\d+)?)([smhdw])", re.ASCII).fullmatch


class Period(NamedTuple):
    """A bucket, as `EventView.histogram` takes it, and how its start is written."""

    bucket: float | str
    form: str

    def label(self, seconds: float, zone: tzinfo) -> str:
        """Return the start of a bucket as the clock of a zone shows it."""
        moment = moment_of(seconds, zone)
        return repr(seconds) if moment is None else moment.strftime(self.form)

    def offset(self, seconds: float, zone: tzinfo) -> str:
        """Return by how much the clock of a zone is ahead of UTC."""
        moment = moment_of(seconds, zone)
        return "" if moment is None else moment.strftime("%z")


MINUTES, SECONDS = "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S"
_CALENDAR = {
    "hour": Period("hour", MINUTES),
    "day": Period("day", "%Y-%m-%d"),
    "month": Period("month", "%Y-%m"),
}
_SAME = {"1h": "hour", "1d": "day"}
# From the shortest on, with about how many seconds each has.
_LADDER = [
    *((float(n), Period(n, SECONDS)) for n in (1, 10)),
    *((float(n), Period(n, MINUTES)) for n in (60, 600)),
    (3600.0, _CALENDAR["hour"]),
    (float(DAY), _CALENDAR["day"]),
    (30.5 * DAY, _CALENDAR["month"]),
]
MOST_ROWS = 48  # that `fitting` aims at


def period_of(text: str) -> Period | None:
    """Return the period that a text gives; None: it is none.

    Hours and days are those of the local clock, as `hour` and `day` are.
    """
    word = text.strip().lower()
    if known := _CALENDAR.get(_SAME.get(word, word)):
        return known
    found = _is_time(word)
    if found is None:
        return None
    seconds = float(found[1]) * _UNITS[found[2]]
    form = MINUTES if seconds % 60 == 0 else SECONDS if seconds % 1 == 0 else f"{SECONDS}.%f"
    return Period(seconds, form) if seconds else None


def fitting(seconds: float) -> Period:
    """Return the shortest usual period of which few cover so many seconds."""
    fits = (period for length, period in _LADDER if seconds / length <= MOST_ROWS)
    return next(fits, _LADDER[-1][1])


def moment_of(seconds: float, zone: tzinfo) -> datetime | None:
    """Return a time as the clock of a zone has it; None if it is outside of the years 1 to 9999."""
    try:
        return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)).astimezone(zone)
    except (OverflowError, ValueError, OSError):
        return None
