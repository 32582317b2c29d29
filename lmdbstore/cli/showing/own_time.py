"""Whether a text begins with a time, so that its event need not show another one.

Rules: numbers of seconds and TAI64N labels do not count, since no person reads them.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from lmdbstore.times.clock import Clock, Setting
from lmdbstore.times.formats import FORMATS

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["OwnTime"]

LONGEST = 120  # characters of a text in which its time must be


class OwnTime:
    """Finds times at the start of texts, of any format of the table."""

    def __init__(self, now: float) -> None:
        """Take `now`, in seconds since 1970, for the year of a time that has none."""
        self._setting = Setting(now)
        self._clocks: list[Clock] = []
        self._last: Clock | None = None
        # Not those that are after something else in a line.
        self._more = (entry for entry in FORMATS if re.fullmatch(entry.lead, ""))

    def begins(self, text: str) -> bool:
        """Whether a text begins with a time."""
        start = text[:LONGEST]
        if self._last is not None and _has_time(self._last, start):
            return True
        found = next((clock for clock in self._all() if _has_time(clock, start)), None)
        self._last = found or self._last
        return found is not None

    def _all(self) -> Iterator[Clock]:
        """Give a clock for each format, compiled when it is needed."""
        yield from self._clocks
        while (entry := next(self._more, None)) is not None:
            pattern = entry.compiled()
            if not pattern.fields & {"s", "tai"}:
                self._clocks.append(Clock(pattern, self._setting))
                yield self._clocks[-1]


def _has_time(clock: Clock, start: str) -> bool:
    match = clock.match(start)
    if match is None:
        return False
    (time,) = clock.times([match])
    return time is not None and not math.isnan(time)
