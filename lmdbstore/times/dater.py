"""The times of the lines of a file, by the formats that it has.

Rules: the formats are learnt from the first lines, and again only where many lines have none of
them, if most of these have another one. A line has the time of the first of these formats that it
matches, and no other. If a format lacks the year, or the day, the whole file is looked at before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from .clock import Clock
from .learning import Learnt, learn

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Iterable, Sequence

    from .clock import Setting

__all__ = ["Dater"]

TRIES = 3  # to learn a format from many lines; after them a few of each block are enough
FEW_LINES = 50
AGAIN = 20  # lines without a time from which another format is learnt; a pipe may give one line

_Matches: TypeAlias = "list[re.Match[str] | None]"


class Dater:
    """Dates the lines of one file, in their order."""

    def __init__(
        self,
        setting: Setting,
        given: Learnt | None = None,
        again: Callable[[], Iterable[Sequence[str]]] | None = None,
    ) -> None:
        """Date lines of a file with this setting; its format is `given`, or learnt.

        `again` gives all lines of the file, in several sequences, unless it is a pipe.
        """
        self._setting, self._given, self._again = setting, given, again
        self._clocks: list[Clock] = []
        self._tries = 0
        self.learnt: list[Learnt] = []
        if given:
            self._add([given])

    @property
    def names(self) -> list[str]:
        """The names of the formats of the file."""
        return [one.format.name for one in self.learnt]

    @property
    def ambiguous(self) -> bool:
        """Whether all lines of a format could be read as other days, too."""
        return any(one.ambiguous for one in self.learnt)

    @property
    def guesses(self) -> list[str]:
        """What the formats do not say: "year", "day"."""
        return sorted({clock.guesses for clock in self._clocks} - {""})

    def date(self, lines: Sequence[str]) -> tuple[list[float | None], _Matches]:
        """Return the time of each line, in seconds since 1970, and its match.

        The time is None for a line without one, and NaN if there is no such time.
        """
        if self._clocks:
            first, *others = self._clocks
            matches: _Matches = list(map(first.match, lines))
            times = first.times(matches)
        else:
            others, matches, times = [], [None] * len(lines), [None] * len(lines)
        while None in times:
            for clock in others:
                _fill(clock, lines, matches, times)
            others = self._learn(lines, times)
            if not others:
                break
        return times, matches

    def learn(self, lines: Sequence[str]) -> None:
        """Learn the formats of the file from its first lines, if these are not dated now."""
        if self._given is None:
            self._tries += 1
            self._add(learn(lines, self._setting))

    def _learn(self, lines: Sequence[str], times: Sequence[float | None]) -> list[Clock]:
        """Learn formats from lines without a time, if these are many; return their clocks."""
        if self._given is not None:
            return []
        if self.learnt:
            lines = [line for line, time in zip(lines, times, strict=True) if time is None]
            if len(lines) < AGAIN or len(lines) * 4 < len(times):
                return []
        if self._tries > TRIES:
            lines = lines[-FEW_LINES:]
        self._tries += 1
        known = {one.pattern for one in self.learnt}
        found = learn(lines, self._setting, most=bool(known))
        return self._add([one for one in found if one.pattern not in known])

    def _add(self, learnt: Sequence[Learnt]) -> list[Clock]:
        clocks = [Clock(one.pattern, self._setting) for one in learnt]
        incomplete = [clock for clock in clocks if clock.incomplete]
        if incomplete and self._again is not None:
            for lines in self._again():
                for clock in incomplete:
                    clock.survey(lines)
            for clock in incomplete:
                clock.begin()
        self.learnt += learnt
        self._clocks += clocks
        return clocks


def _fill(clock: Clock, lines: Sequence[str], matches: _Matches, times: list[float | None]) -> None:
    """Date the lines that have no time so far."""
    absent = [n for n, time in enumerate(times) if time is None]
    more = [clock.match(lines[n]) for n in absent]
    for n, match, time in zip(absent, more, clock.times(more), strict=True):
        if time is not None:
            matches[n], times[n] = match, time
