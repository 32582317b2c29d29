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

    from lmdbstore.contract.counting.buckets import Buckets

__all__ = ["NO_COLUMNS", "Columns", "Step", "columns", "zone_of"]

HOUR, DAY = 3600.0, 86_400.0  # seconds
MONTH, YEAR = 30.44 * DAY, 365.24 * DAY  # in the mean
MOST_STEPS = 1 << 51  # from 1970 to a column
REACH = (-6e10, 2.47e11)  # seconds from 1970: the years 69 to 9796


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

    def add(self, numbers: list[int], pairs: list[tuple[float, int]]) -> None:
        """Add the numbers of events of buckets of the store to those of columns."""
        for start, number in pairs:
            numbers[bisect_right(self.starts, start) - 1] += number


NO_COLUMNS = Columns(Step("1 second", 1.0, 1.0), [], math.nan)


def zone_of(name: str) -> tzinfo:
    """Return a zone by its name; raises Refusal."""
    try:
        return zone_named(name)
    except UnknownZone:
        refuse("zone", name, "give the name of a zone, such as Europe/Berlin, UTC or %2B02:00")


def columns(since: float, until: float, most: int, zone: tzinfo) -> Columns:
    """Divide a range of time, both ends inclusive, into at most `most` columns."""
    try:
        step = _step(since, until, most)
        buckets = checked_buckets(step.bucket, zone)
        if step.bucket == "month":
            edges = [buckets.around(first)[0] for first in _months(since, until, step.each, zone)]
        else:
            edges = _edges(_begin(since, step, zone), until, buckets)
            while step.each > 1 and _group(edges[-1], step, zone) == _group(edges[-2], step, zone):
                edges.append(buckets.around(edges[-1])[1])
    except (InvalidQuery, OverflowError):
        refuse("since", since, "the range is too long for a histogram; give a shorter one")
    *starts, end = edges
    if step.each > 1:
        starts = [next(same) for _, same in groupby(starts, lambda each: _group(each, step, zone))]
    return Columns(step, starts, end)


def _step(since: float, until: float, most: int) -> Step:
    # A range may begin and end inside of a column. Far from 1970, short columns have no ends.
    furthest = max(abs(since), abs(until))
    least = max((until - since) / (most - 2), furthest / MOST_STEPS)
    if since == until:
        least = max(least, 1.0)
    inside = REACH[0] < since and until < REACH[1]
    for step in _SHORT + _LOCAL * inside:
        if step.seconds >= least:
            return step
    length = 10.0 ** math.ceil(math.log10(least))
    return Step(f"{length:g} seconds", length, length)


def _begin(since: float, step: Step, zone: tzinfo) -> float:
    """Return a time in the first bucket of the column that a time is in."""
    if step.each == 1:
        return since
    local = _local(since, zone).replace(minute=0, second=0, microsecond=0)
    if step.bucket == "hour":
        begin = local.replace(hour=local.hour - local.hour % step.each)
    else:
        begin = local.replace(hour=0) - timedelta(days=(local.toordinal() - 1) % step.each)
    return min(since, begin.timestamp())


def _edges(since: float, until: float, buckets: Buckets) -> list[float]:
    """Return the starts of the buckets of a range, and the end of the last one."""
    found = list(buckets.around(since))
    while found[-1] <= until:
        found.append(buckets.around(found[-1])[1])
    return found


def _months(since: float, until: float, each: int, zone: tzinfo) -> list[float]:
    """Return times on the first days of the months that begin columns, and of the next one."""
    local = _local(since, zone)
    month = local.year * 12 + local.month - 1
    month -= month % each
    found: list[float] = []
    while not found or found[-1] <= until:
        found.append(datetime(month // 12, month % 12 + 1, 1, tzinfo=zone).timestamp())
        month += each
    return found


def _local(seconds: float, zone: tzinfo) -> datetime:
    whole = timedelta(seconds=math.floor(seconds))  # it may not be rounded up
    return (datetime(1970, 1, 1, tzinfo=UTC) + whole).astimezone(zone)


def _group(start: float, step: Step, zone: tzinfo) -> tuple[int, int]:
    """Return what all buckets of a column have in common."""
    local = _local(start, zone)
    if step.bucket == "hour":
        return local.toordinal(), local.hour // step.each
    if step.bucket == "day":
        return 0, (local.toordinal() - 1) // step.each  # the first day of the year 1 is a Monday
    return local.year, local.month  # each is the first of its column
