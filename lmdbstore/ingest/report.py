"""The report of an import: its numbers, what was guessed, and the lines that could not be read.

Rules: every such line is counted. Lines of one input that have the same kind of error are listed
together, with the first `SHOWN_NUMBERS` of them. The first `SHOWN_LINES` kinds are listed, and the
first `SHOWN_INPUTS` inputs and warnings.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmdbstore.logs.input_report import InputReport

__all__ = ["SHOWN_INPUTS", "SHOWN_LINES", "Report"]

SHOWN_LINES = 10  # more would move the summary off the screen
SHOWN_NUMBERS = 5
SHOWN_INPUTS = 20


@dataclass
class _Kind:
    """Lines of one input with the same kind of error."""

    name: str
    reason: str  # of the first line
    lines: int = 0
    numbers: list[int] = field(default_factory=list)  # of the first lines; none for the whole input
    same: bool = True  # all have the same reason

    def add(self, numbers: Sequence[int], reason: str) -> None:
        self.lines += len(numbers)
        self.numbers += [n for n in numbers if n][: SHOWN_NUMBERS - len(self.numbers)]
        self.same = self.same and reason == self.reason

    def text(self) -> str:
        if not self.numbers:
            return f"{self.name}: {self.reason}"
        where = "line" if self.lines == 1 else "lines"
        more = self.lines - len(self.numbers)
        where += f" {', '.join(map(str, self.numbers))}" + (f" and {more:,} more" if more else "")
        return f"{self.name}: {where}: {'' if self.same else 'the first: '}{self.reason}"


_Kinds = dict[tuple[str, str], _Kind]


@dataclass
class Report:
    """The numbers of an import so far."""

    lines: int = 0
    new: int = 0
    present: int = 0  # already in the store, or given twice
    replaced: int = 0  # the former ones were shorter, or are replaced as the user wished
    dry_run: bool = False  # `new` is the number of events that would be stored
    unreadables: int = 0
    seconds: float = 0.0
    started: float = field(default_factory=time.perf_counter)
    inputs: list[InputReport] = field(default_factory=list)
    _unreadable: _Kinds = field(default_factory=dict)
    _latin: _Kinds = field(default_factory=dict)
    _latins: int = 0
    _blank: int = 0  # of inputs that are forgotten
    _forgotten: tuple[int, int] = (0, 0)  # lines of these that could not be read, or are Latin-1

    @property
    def blank(self) -> int:
        """The number of blank lines."""
        return self._blank + sum(one.blank for one in self.inputs)

    def forget_inputs(self) -> None:
        """Keep the numbers only: an import that has no end reads an input again and again."""
        self._blank = self.blank
        self._forgotten = self.unreadables, self._latins
        self.inputs, self._unreadable, self._latin = [], {}, {}

    @property
    def unmet(self) -> bool:
        """Whether some input has no line that fulfils an option."""
        return any(one.unmet() for one in self.inputs)

    def unreadable(self, name: str, number: int, reason: str) -> None:
        """Count a line that could not be made into an event."""
        self.unreadables += 1
        _add(self._unreadable, name, [number], reason)

    def latin(self, name: str, numbers: Sequence[int]) -> None:
        """Count lines that are not UTF-8 and were read as Latin-1."""
        if numbers:
            self._latins += len(numbers)
            _add(self._latin, name, numbers, "not UTF-8; read as Latin-1")

    def notices(self) -> list[str]:
        """Return one line of text for each listed kind, and one for the number of other lines."""
        unreadables, latins = self._forgotten
        shown = [
            *_listed(self._latin, self._latins - latins, "not UTF-8"),
            *_listed(self._unreadable, self.unreadables - unreadables, "that could not be read"),
        ]
        return [line.replace("\n", " ") for line in shown]

    def warnings(self) -> list[str]:
        """Return one line of text for each thing that should be looked at."""
        found = [warning for one in self.inputs for warning in one.warnings()]
        shown = [line.replace("\n", " ") for line in found[:SHOWN_INPUTS]]
        if len(found) > SHOWN_INPUTS:
            shown.append(f"and {len(found) - SHOWN_INPUTS:,} more warnings")
        return shown

    def details(self) -> list[str]:
        """Return one line of text for each input: how its lines got their times."""
        lines = [one.text().replace("\n", " ") for one in self.inputs[:SHOWN_INPUTS]]
        if len(self.inputs) > SHOWN_INPUTS:
            lines.append(f"and {len(self.inputs) - SHOWN_INPUTS:,} more inputs")
        return lines

    def figures(self) -> dict[str, float]:
        """Return the numbers by their names; `seconds` is how long the import took."""
        return {
            "lines": self.lines,
            "new": self.new,
            "present": self.present,
            "replaced": self.replaced,
            "blank": self.blank,
            "unreadable": self.unreadables,
            "dry_run": self.dry_run,
            "seconds": self.seconds,
        }

    def summary(self) -> str:
        """Return the numbers as one line of text."""
        parts = [f"{self.new:,} new events", f"{self.present:,} already there"]
        if self.replaced:
            parts.append(f"{self.replaced:,} replaced")
        if self.dry_run:
            parts = [f"would store {self.new:,} events"]
        if self.blank:
            parts.append(f"{self.blank:,} blank")
        if self.unreadables:
            parts.append(f"{self.unreadables:,} unreadable")
        text = f"{self.lines:,} lines: {', '.join(parts)}; {self.seconds:.2f} s"
        if self.new and self.seconds and not self.dry_run:
            text += f", {self.new / self.seconds:,.0f} events/s"
        return text


def _add(kinds: _Kinds, name: str, numbers: Sequence[int], reason: str) -> None:
    key = name, reason.partition(":")[0]
    if key not in kinds and len(kinds) < SHOWN_LINES:
        kinds[key] = _Kind(name, reason)
    if key in kinds:
        kinds[key].add(numbers, reason)


def _listed(kinds: _Kinds, number: int, what: str) -> list[str]:
    """Return a line of text for each kind, and one if there are more lines than they have."""
    more = number - sum(kind.lines for kind in kinds.values())
    others = [f"and {more:,} more lines {what}"] if more else []
    return [*(kind.text() for kind in kinds.values()), *others]
