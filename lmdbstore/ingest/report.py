"""The report of an import: its numbers, what was guessed, and the lines that could not be read.

Rules: every such line is counted. The first `SHOWN_LINES` of each kind are listed, and the first
`SHOWN_INPUTS` inputs.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmdbstore.times.dater import Dater

__all__ = ["SHOWN_INPUTS", "SHOWN_LINES", "InputReport", "Report"]

SHOWN_LINES = 10  # more would move the summary off the screen
SHOWN_INPUTS = 20


@dataclass
class InputReport:
    """How the lines of one input got their times."""

    name: str
    formats: list[str] = field(default_factory=list)  # of structured lines
    dater: Dater | None = None  # of text
    own: int = 0  # lines with their own time
    contradictory: int = 0
    undated: int = 0
    blank: int = 0
    not_json: int = 0
    notes: list[str] = field(default_factory=list)  # of what was imported before

    def dated(self, times: Sequence[float | None], lines: Sequence[str]) -> None:
        """Count lines by their times: NaN is contradictory, None is a line without one."""
        absent = times.count(None)
        contradictory = sum(map(math.isnan, times if not absent else filter(None, times)))  # type: ignore[arg-type]  # no None is left
        self.contradictory += contradictory
        self.own += len(times) - absent - contradictory
        if absent:
            blank = sum(not line or line.isspace() for line in lines)
            self.blank += blank
            self.undated += absent - blank

    def text(self) -> str:
        """Return one line of text: the formats, and the numbers of lines."""
        inherited = "inherited" if self.own else "from the file's time"
        numbers = (
            (self.own, "with their own time"),
            (self.undated, inherited),
            (self.contradictory, "with a contradictory time"),
            (self.not_json, "not JSON, kept as text"),
        )
        parts = [f"{number:,} {what}" for number, what in numbers if number]
        formats = ", ".join(self.formats) or "no time format"
        if self.dater is not None and self.dater.learnt:
            formats = ", ".join(one.format.name for one in self.dater.learnt)
            ambiguous = any(one.ambiguous for one in self.dater.learnt)
            guessed = [*self.dater.guesses, *["order of day and month"] * ambiguous]
            if guessed and self.own:
                parts.append(f"{' and '.join(guessed)} guessed")
        parts += self.notes
        if self.notes and not self.own and not self.undated:  # nothing was read
            return f"{self.name}: {', '.join(self.notes)}"
        return f"{self.name}: {formats}: {', '.join(parts) or 'no lines'}"

    def warnings(self) -> list[str]:
        """Return what the user should look at."""
        if self.undated and not self.own:
            return [f"{self.name}: no line has a time; all events have the time of the file"]
        return []


@dataclass
class Report:
    """The numbers of an import so far."""

    lines: int = 0
    new: int = 0
    present: int = 0  # already in the store, or given twice
    replaced: int = 0  # the former ones were shorter, or are replaced as the user wished
    unreadables: int = 0
    seconds: float = 0.0
    started: float = field(default_factory=time.perf_counter)
    inputs: list[InputReport] = field(default_factory=list)
    _unreadable: list[str] = field(default_factory=list)
    _latin: list[str] = field(default_factory=list)
    _latins: int = 0

    @property
    def blank(self) -> int:
        """The number of blank lines."""
        return sum(one.blank for one in self.inputs)

    def unreadable(self, name: str, number: int, reason: str) -> None:
        """Count a line that could not be made into an event."""
        self.unreadables += 1
        if len(self._unreadable) < SHOWN_LINES:
            where = f"line {number}: " if number else ""
            self._unreadable.append(f"{name}: {where}{reason}")

    def latin(self, name: str, numbers: Sequence[int]) -> None:
        """Count lines that are not UTF-8 and were read as Latin-1."""
        self._latins += len(numbers)
        for number in numbers[: SHOWN_LINES - len(self._latin)]:
            self._latin.append(f"{name}: line {number}: not UTF-8; read as Latin-1")

    def notices(self) -> list[str]:
        """Return one line of text for each listed line, and one for the number of the others."""
        shown = [
            *self._latin,
            *_more(self._latins, "not UTF-8"),
            *self._unreadable,
            *_more(self.unreadables, "that could not be read"),
        ]
        return [line.replace("\n", " ") for line in shown]

    def warnings(self) -> list[str]:
        """Return one line of text for each input that should be looked at."""
        found = [warning for one in self.inputs for warning in one.warnings()]
        return [line.replace("\n", " ") for line in found]

    def details(self) -> list[str]:
        """Return one line of text for each input: how its lines got their times."""
        lines = [one.text().replace("\n", " ") for one in self.inputs[:SHOWN_INPUTS]]
        if len(self.inputs) > SHOWN_INPUTS:
            lines.append(f"and {len(self.inputs) - SHOWN_INPUTS:,} more inputs")
        return lines

    def summary(self) -> str:
        """Return the numbers as one line of text."""
        parts = [f"{self.new:,} new events", f"{self.present:,} already there"]
        if self.replaced:
            parts.append(f"{self.replaced:,} replaced")
        if self.blank:
            parts.append(f"{self.blank:,} blank")
        if self.unreadables:
            parts.append(f"{self.unreadables:,} unreadable")
        text = f"{self.lines:,} lines: {', '.join(parts)}; {self.seconds:.2f} s"
        if self.new and self.seconds:
            text += f", {self.new / self.seconds:,.0f} events/s"
        return text


def _more(number: int, kind: str) -> list[str]:
    return [f"and {number - SHOWN_LINES:,} more lines {kind}"] if number > SHOWN_LINES else []
