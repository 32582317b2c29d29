"""The time in a text that is nothing but a time: a field of a structured line, or an argument."""

from __future__ import annotations

import math
import re
from itertools import takewhile
from typing import TYPE_CHECKING

from .clock import Clock
from .formats import FORMATS
from .moment import SIZES, epoch_seconds
from .template import compiled

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .clock import Setting
    from .template import Compiled

__all__ = ["EARLIEST", "TextClock", "number_seconds"]

EARLIEST = 1e8  # seconds since 1970: a smaller number, before 1973, is no time of a log line
_is_number = re.compile(r"(\d{9,19})(?:\.(\d+))?", re.ASCII).fullmatch
_patterns: list[Compiled] = []


def number_seconds(number: float) -> float:
    """Return a number in seconds since 1970: it counts s, ms, us or ns, which its size shows."""
    scale = next((scale for below, scale in SIZES if abs(number) < below), 1)
    return number / scale


class TextClock:
    """Reads texts that are times, of any format of the table."""

    def __init__(self, setting: Setting, given: Compiled | None = None) -> None:
        """Read the texts of a file with this setting; `given` is the format to try first."""
        self._setting = setting
        self._clocks: list[Clock] = []
        self._last = None if given is None else Clock(given, setting)

    def read(self, text: str) -> float | None:
        """Return the time in seconds since 1970; None for none, NaN if it contradicts itself."""
        last = self._last
        if last is not None and (match := last.match(text)):
            return last.times([match])[0]
        text = text.strip()
        if number := _is_number(text):
            return epoch_seconds(number[1], number[2])
        contradictory = None
        for clock in self._all():
            if match := clock.match(text):
                (time,) = clock.times([match])
                if time is not None and not math.isnan(time):
                    self._last = clock
                    return time
                contradictory = contradictory or time
        return contradictory

    def read_each(self, texts: Sequence[str]) -> list[float | None]:
        """Return the times of texts, as `read` does for each of them in their order."""
        times: list[float | None] = []
        while len(times) < len(texts):
            times += self.read_alike(texts, len(times))
            if len(times) < len(texts):
                times.append(self.read(texts[len(times)]))
        return times

    def read_alike(self, texts: Sequence[str], start: int = 0) -> list[float | None]:
        """Return the times of some of these texts, from a place on, as `read` does for each.

        They are those that have the format of the text that was read last, up to another one.
        """
        if self._last is None:
            return []
        rest = map(texts.__getitem__, range(start, len(texts)))
        matches = list(takewhile(bool, map(self._last.match, rest)))
        times = self._last.times(matches)
        return times[: times.index(None)] if None in times else times

    def _all(self) -> Iterator[Clock]:
        """Give a clock for each format, compiled when it is needed."""
        yield from self._clocks
        for number in range(len(self._clocks), len(FORMATS)):
            if number == len(_patterns):
                _patterns.append(compiled(FORMATS[number].template + r"\s*\Z"))
            self._clocks.append(Clock(_patterns[number], self._setting))
            yield self._clocks[-1]
