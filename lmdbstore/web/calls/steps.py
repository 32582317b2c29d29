"""How a histogram divides a range of time: into at most so many columns of a usual length.

Rules: a column is one or more buckets of the store, so that its start is a round time of the zone:
a week begins on Monday, and six hours at 0, 6, 12 or 18 o'clock. Columns follow each other without
a gap, from the start of the range to its end.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from lmdbstore.contract.counting.buckets import checked_buckets
from lmdbstore.errors import InvalidQuery
from lmdbstore.times.zones import UnknownZone, zone_named
from lmdbstore.web.refusals import refuse

if TYPE_CHECKING:
    from datetime import tzinfo

__all__ = ["Columns", "Step", "columns", "zone_of"]

HOUR, DAY = 3600.0, 86_400.0  # seconds
MONTH, YEAR = 30.44 * DAY, 365.24 * DAY  # in the mean
REACH = (-6.2e10, 2.5e11)  # seconds from 1970, inside of the years 1 to 9999


class Step(NamedTuple):
    """The length of a column."""

    name: str
    seconds: float  # in the mean
    bucket: float | str  # of the store
    each: int = 1  # so many buckets


def _plural(number: int, word: str) -> str:
    return f"{number} {word}{'s' * (number > 1)}"


_SHORT = [
    *(Step(_plural(n, "millisecond"), n / 1000, n / 1000) for n in (1, 2, 5, 10, 20, 50)),
    *(Step(_plural(n, "millisecond"), n / 1000, n / 1000) for n in (100, 200, 500)),
    *(Step(_plural(n, "second"), n, float(n)) for n in (1, 2, 5, 10, 15, 30)),
    *(Step(_plural(n, "minute"), n * 60, n * 60.0) for n in (1, 2, 5, 10, 15, 30)),
]
_LOCAL = [
    *(Step(_plural(n, "hour"), n * HOUR, "hour", n) for n in (1, 2, 3, 6, 12)),
    Step("1 day", DAY, "day"),
    Step("1 week", 7 * DAY, "day", 7),
    *(Step(_plural(n, "month"), n * MONTH, "month", n) for n in (1, 3, 6)),
    *(Step(_plural(n, "year"), n * YEAR, "month", n * 12) for n in (1, 5, 10, 50, 100)),
]


class Columns(NamedTuple):
    """The columns of a histogram."""

    step: Step
    starts: list[float]  # of the columns
    end: float  # of the last one

    def numbers(self) -> list[int]:
        """Return a 0 for each column."""
        return [0] * len(self.starts)

    def add(self, numbers: list[int], pairs: list[tuple[float, int]]) -> None:
        """Add the numbers of events of buckets of the store to those of columns."""
        for start, number in pairs:
            numbers[max(0, bisect_right(self.starts, start) - 1)] += number


def zone_of(name: str) -> tzinfo:
    """Return a zone by its name; raises Refusal."""
    try:
        return zone_named(name)
    except UnknownZone:
        refuse("zone", name, "give the name of a zone, such as Europe/Berlin, UTC or %2B02:00")


def columns(since: float, until: float, most: int, zone: tzinfo) -> Columns:
    """Divide a range of time, both ends inclusive, into at most `most` columns."""
    step = _step(since, until, most)
    try:
        return _divided(since, until, step, zone)
    except InvalidQuery:
        refuse("since", since, "the range is too long for a histogram; give a shorter one")


def _step(since: float, until: float, most: int) -> Step:
    span = until - since
    inside = REACH[0] < since and until < REACH[1]
    for step in _SHORT + _LOCAL * inside:
        # The range may begin and end inside of a column.
        if span / step.seconds <= most - 2 and span:
            return step
    if not span:
        return Step("1 second", 1.0, 1.0)
    length = 10.0 ** math.ceil(math.log10(span / max(1, most - 2)))
    return Step(f"{length:g} seconds", length, length)


def _divided(since: float, until: float, step: Step, zone: tzinfo) -> Columns:
    buckets = checked_buckets(step.bucket, zone)
    start, end = buckets.around(since)
    starts = [start]
    while end <= until:
        starts.append(end)
        end = buckets.around(end)[1]
    if step.each > 1:
        starts = [next(same) for _, same in groupby(starts, lambda each: _group(each, step, zone))]
    return Columns(step, starts, end)


def _group(start: float, step: Step, zone: tzinfo) -> tuple[int, int]:
    """Return what all buckets of a column have in common."""
    local = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=start)).astimezone(zone)
    if step.bucket == "hour":
        return local.toordinal(), local.hour // step.each
    if step.bucket == "day":
        return 0, (local.toordinal() - 1) // step.each  # the first day of the year 1 is a Monday
    return 0, (local.year * 12 + local.month - 1) // step.each
