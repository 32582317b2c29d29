"""The report of an import: its numbers, what was guessed, and the lines that could not be read.

Rules: every such line is counted. Lines of one input that have the same kind of error are listed
together, with the first `SHOWN_NUMBERS` of them. The first `SHOWN_LINES` kinds are listed, and the
first `SHOWN_INPUTS` inputs and warnings.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lmdbstore.errors import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmdbstore.times.dater import Dater

__all__ = ["SHOWN_INPUTS", "SHOWN_LINES", "InputReport", "Report"]

SHOWN_LINES = 10  # more would move the summary off the screen
SHOWN_NUMBERS = 5
SHOWN_INPUTS = 20
SHOWN_COLUMNS = 20


@dataclass
class InputReport:
    """How the lines of one input got their times."""

    name: str
    formats: list[str] = field(default_factory=list)  # of structured lines
    columns: list[str] = field(default_factory=list)  # of a table, or a text like one
    missing: dict[str, str] = field(
        default_factory=dict
    )  # what an option asks of lines; none had it
    dater: Dater | None = None  # of text
    own: int = 0  # lines with their own time
    contradictory: int = 0
    undated: int = 0
    blank: int = 0
    not_json: int = 0
    not_object: int = 0
    notes: list[str] = field(default_factory=list)  # of what was imported before
    another: bool = False  # than the one that was imported from its path
    unsettled: bool = False  # it may be a copy that is being made; nothing was read

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
            (self.not_object, "not a JSON object, kept as text"),
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

    def unmet(self) -> list[str]:
        """Return the options that no line of this input fulfils, each with the reason."""
        if self.notes or not self.own + self.undated + self.contradictory:
            return []  # most lines were read before
        missing = self.missing.items()
        reasons = [(option, wish, self._reason(option, wish)) for option, wish in missing]
        return [f"{self.name}: {option} {shown(w)}: {why}" for option, w, why in reasons if why]

    def _reason(self, option: str, wish: str) -> str:
        is_text = self.dater is not None
        if option == "--time-format":
            # A text has no other times than those of the given format.
            fits = is_text and self.own + self.contradictory
            return "" if fits else "no line has a time of this format"
        if option == "--record-start":
            return "no line matches" if is_text else "each line of JSON is an event"
        if not self.columns:
            if is_text:
                return "these lines are text; only JSON lines and tables with a header have fields"
            time = "a time in " if option == "--time-field" else ""
            return f"no line has {time}this field"
        if wish.lower() in [name.strip().lower() for name in self.columns]:
            return "no row has a time in this column"
        columns = ", ".join(map(shown, self.columns[:SHOWN_COLUMNS]))
        more = f" and {len(self.columns) - SHOWN_COLUMNS:,} more"
        more *= len(self.columns) > SHOWN_COLUMNS
        return f"there is no such column; the columns are {columns}{more}"

    def warnings(self) -> list[str]:
        """Return what the user should look at."""
        found = self.unmet()
        if self.undated and not self.own:
            found.append(f"{self.name}: no line has a time; all events have the time of the file")
        return found


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
