"""The times of the lines of a file, by the formats that it has.

Rules: the formats are learnt from the first lines, and again only from lines of which none has a
time. A line has the time of the first of these formats that it matches, and no other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from .clock import Clock
from .learning import Learnt, learn

if TYPE_CHECKING:
    import re
    from collections.abc import Sequence

    from .clock import Setting

__all__ = ["Dater"]

TRIES = 3  # to learn a format from many lines; after them a few of each block are enough
FEW_LINES = 50

_Matches: TypeAlias = "list[re.Match[str] | None]"


class Dater:
    """Dates the lines of one file, in their order."""

    def __init__(self, setting: Setting, given: Learnt | None = None) -> None:
        """Date lines of a file with this setting; its format is `given`, or learnt."""
        self._setting = setting
        self._given = given
        self._clocks: list[Clock] = []
        self.learnt: list[Learnt] = []
        self._tries = 0
        if given:
            self._add([given])

    def learn(self, lines: Sequence[str]) -> bool:
        """Learn formats from lines that have none of those known; return whether there are more."""
        if self._given is not None:
            return False
        if self._tries > TRIES:
            lines = lines[:FEW_LINES]
        self._tries += 1
        known = {one.pattern for one in self.learnt}
        more = [one for one in learn(lines, self._setting) if one.pattern not in known]
        self._add(more)
        return bool(more)

    def _add(self, learnt: Sequence[Learnt]) -> None:
        self.learnt += learnt
        self._clocks += [Clock(one.pattern, self._setting) for one in learnt]

    @property
    def incomplete(self) -> bool:
        """Whether a format lacks the year, or the day: then `survey` helps."""
        return any(clock.incomplete for clock in self._clocks)

    @property
    def guesses(self) -> list[str]:
        """What the formats do not say: "year", "day"."""
        return sorted({clock.guesses for clock in self._clocks} - {""})

    def survey(self, lines: Sequence[str]) -> None:
        """Look at lines of the whole file, in order, before they are dated."""
        for clock in self._clocks:
            clock.survey([match for match in map(clock.match, lines) if match])

    def begin(self) -> None:
        """End the survey."""
        for clock in self._clocks:
            clock.begin()

    def date(self, lines: Sequence[str]) -> tuple[list[float | None], _Matches]:
        """Return the time of each line, in seconds since 1970, and its match.

        The time is None for a line without one, and NaN if there is no such time.
        """
        if not self._clocks:
            return [None] * len(lines), [None] * len(lines)
        first, *others = self._clocks
        matches: _Matches = list(map(first.match, lines))
        times = first.times(matches)
        for clock in others:
            absent = [n for n, time in enumerate(times) if time is None]
            more = [clock.match(lines[n]) for n in absent]
            for n, match, time in zip(absent, more, clock.times(more), strict=True):
                if time is not None:
                    matches[n], times[n] = match, time
        return times, matches
