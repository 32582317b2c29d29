"""Buckets of time: seconds counted from 1970, or hours, days and months of a zone.

Rules: buckets follow each other without a gap, and each time is in one of them. A bucket of a zone
begins where its local clock first shows that hour, day or month; an hour also where the clock is
set. So a day may have 23 or 25 hours, and two hours with one name are two buckets. A day that the
zone has left out has none.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from bisect import bisect_left
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

from lmdbstore.contract.query import refuse
from lmdbstore.errors import InvalidQuery

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import tzinfo

__all__ = ["MOST_BUCKETS", "SHORTER", "Buckets", "Tally", "checked_buckets"]

MOST_BUCKETS = 100_000
MOST_STEPS = 1 << 52  # from 1970: a float tells the starts of two buckets apart
HOUR = 3600  # seconds
SHORTER = "give longer buckets, or a shorter range with ts_start and ts_end"


class Buckets(ABC):
    """How time is divided."""

    def __init__(self, bucket: object) -> None:
        """Divide it by `bucket`, as the caller gave it."""
        self._given = bucket
        self.part = 60.0  # seconds; events that are so close are mostly in one bucket

    @abstractmethod
    def around(self, seconds: float) -> tuple[float, float]:
        """Return the start of the bucket of a time, and that of the next one; raises InvalidQuery.

        That is for a time of which the bucket cannot be told.
        """

    def too_many(self) -> NoReturn:
        """Raise InvalidQuery, for more than `MOST_BUCKETS`."""
        refuse("bucket", self._given, f"the events fill over {MOST_BUCKETS:,} buckets; {SHORTER}")

    def _out_of_reach(self, seconds: float) -> NoReturn:
        reason = f"no such bucket can be told for the event at {seconds!r}"
        refuse("bucket", self._given, f"{reason}; {SHORTER}")


class _Steps(Buckets):
    """Buckets of one length."""

    def __init__(self, bucket: object, length: float) -> None:
        super().__init__(bucket)
        self._length = self.part = length

    def around(self, seconds: float) -> tuple[float, float]:
        length = self._length
        step = seconds / length
        if abs(step) >= MOST_STEPS:
            self._out_of_reach(seconds)
        number = math.floor(step)
        # The quotient is rounded, so the bucket may be the one before, or the next.
        if number * length > seconds:
            number -= 1
        elif (number + 1) * length <= seconds:
            number += 1
        start = number * length
        if start == -math.inf:
            self._out_of_reach(seconds)
        return start, (number + 1) * length


class _Local(Buckets):
    """Buckets of the local time of a zone."""

    def __init__(self, bucket: object, zone: tzinfo) -> None:
        super().__init__(bucket)
        self._zone = zone

    def around(self, seconds: float) -> tuple[float, float]:
        try:
            return self._around(math.floor(seconds))
        except (ValueError, OverflowError, OSError):  # outside of the years 1 to 9999
            self._out_of_reach(seconds)

    @abstractmethod
    def _around(self, second: int) -> tuple[float, float]: ...

    def _offset(self, second: int) -> int:
        """Return by how many seconds the local clock is ahead of UTC."""
        return _since_1970(_local(second, self._zone).replace(tzinfo=None)) - second

    def _first(self, year: int, month: int, day: int) -> int:
        """Return the first second at which the local clock shows this day, or a later one."""
        from datetime import datetime

        midnight = datetime(year, month, day, tzinfo=self._zone)
        first, other = int(midnight.timestamp()), int(midnight.replace(fold=1).timestamp())
        # If it comes twice, it is the first; if it is skipped, these are after and before the skip.
        return first if first <= other else self._change(other, first)

    def _change(self, low: int, high: int) -> int:
        """Return the first second after `low` with the offset of `high`, which is another one."""
        offset = self._offset(high)
        while high - low > 1:
            middle = (low + high) // 2
            if self._offset(middle) == offset:
                high = middle
            else:
                low = middle
        return high


class _Hours(_Local):
    def _around(self, second: int) -> tuple[float, float]:
        offset = self._offset(second)
        start = (second + offset) // HOUR * HOUR - offset
        end = start + HOUR
        if self._offset(start) != offset:
            start = self._change(start, second)
        if self._offset(end) != offset:
            end = self._change(second, end)
        return float(start), float(end)


class _Days(_Local):
    def _around(self, second: int) -> tuple[float, float]:
        from datetime import timedelta

        day = _local(second, self._zone).date()
        start = self._first(*day.timetuple()[:3])
        while True:  # clocks that are set back at midnight show a day twice; some days are left out
            day += timedelta(days=1)
            end = self._first(*day.timetuple()[:3])
            if end > second:
                return float(start), float(end)
            start = end


class _Months(_Local):
    def _around(self, second: int) -> tuple[float, float]:
        local = _local(second, self._zone)
        months = local.year * 12 + local.month - 1
        start = self._of(months)
        while (end := self._of(months + 1)) <= second:
            months, start = months + 1, end
        return float(start), float(end)

    def _of(self, months: int) -> int:
        return self._first(months // 12, months % 12 + 1, 1)


_LOCAL: dict[str, Callable[[object, tzinfo], Buckets]]
_LOCAL = {"hour": _Hours, "day": _Days, "month": _Months}


def _local(second: int, zone: tzinfo) -> Any:
    """Return the local time of a second, in all years from 1 to 9999."""
    from datetime import UTC, datetime, timedelta

    # Added to 1970, since `fromtimestamp` does not take all years on every platform.
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=second)).astimezone(zone)


def _since_1970(naive: Any) -> int:
    from datetime import datetime

    since = naive - datetime(1970, 1, 1)  # noqa: DTZ001  both are the readings of a clock
    seconds: int = since.days * 86_400 + since.seconds
    return seconds


def checked_buckets(bucket: Any, tz: Any) -> Buckets:
    """Return the buckets that two arguments of a histogram ask for; raises InvalidQuery."""
    zone = _zone(tz)
    if isinstance(bucket, str) and (kind := _LOCAL.get(str.__str__(bucket))):
        return kind(bucket, zone)
    length = math.nan
    if not isinstance(bucket, (str, bytes, bytearray, bool)):
        with suppress(TypeError, ValueError, OverflowError):
            length = float(bucket)
    if not 0 < length < math.inf:
        refuse("bucket", bucket, "pass seconds, a number above 0, or 'hour', 'day' or 'month'")
    return _Steps(bucket, length)


def _zone(tz: object) -> tzinfo:
    from datetime import datetime, tzinfo

    from lmdbstore.times.zones import zone_named

    zone: object = None
    with suppress(Exception):  # a zone may raise anything
        given = zone_named(str.__str__(tz)) if isinstance(tz, str) else tz
        if isinstance(given, tzinfo) and datetime(1970, 1, 1, tzinfo=given).utcoffset() is not None:
            zone = given
    if not isinstance(zone, tzinfo):
        refuse("tz", tz, "pass the name of a zone, such as 'Europe/Berlin', 'UTC' or '+02:00'")
    return zone


class Tally:
    """The numbers of events in buckets."""

    def __init__(self, buckets: Buckets) -> None:
        """Count into `buckets`."""
        self._buckets = buckets
        self._numbers: dict[float, int] = {}  # by the start of the bucket
        self._last = (math.inf, math.inf)  # the bounds of the last bucket

    def _around(self, seconds: float) -> tuple[float, float]:
        start, end = self._last
        if not start <= seconds < end:
            start, end = self._last = self._buckets.around(seconds)
        return start, end

    def _add(self, start: float, number: int) -> None:
        self._numbers[start] = self._numbers.get(start, 0) + number
        if len(self._numbers) > MOST_BUCKETS:
            self._buckets.too_many()

    def add(self, seconds: Sequence[float]) -> None:
        """Count events with these times, which rise."""
        place = 0
        while place < len(seconds):
            start, end = self._around(seconds[place])
            stop = bisect_left(seconds, end, place)
            self._add(start, stop - place)
            place = stop

    def add_within(self, first: float, last: float, number: int) -> bool:
        """Count events between two times, if one bucket has both; else return False."""
        try:
            start, end = self._around(first)
        except InvalidQuery:  # there may be no event at that time
            return False
        if last >= end:
            return False
        self._add(start, number)
        return True

    def pairs(self) -> list[tuple[float, int]]:
        """Return the start and the number of each bucket, from the first event to the last."""
        if not self._numbers:
            return []
        start, last = min(self._numbers), max(self._numbers)
        found = [(start, self._numbers[start])]
        while start < last:
            start = self._buckets.around(start)[1]
            found.append((start, self._numbers.get(start, 0)))
            if len(found) > MOST_BUCKETS:
                self._buckets.too_many()
        return found
