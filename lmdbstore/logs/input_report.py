"""The report of one input: how its lines got their times, and what no line had."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from lmdbstore.errors import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["InputReport"]

SHOWN_COLUMNS = 20


class Dated(Protocol):
    """What is told of the times of a text."""

    @property
    def names(self) -> list[str]:
        """The names of the formats."""

    @property
    def guesses(self) -> list[str]:
        """What the formats do not say."""

    @property
    def ambiguous(self) -> bool:
        """Whether all lines of a format could be read as other days, too."""


class _Found(NamedTuple):
    """What another process found."""

    names: list[str]
    guesses: list[str]
    ambiguous: bool


@dataclass
class InputReport:
    """How the lines of one input got their times."""

    name: str
    formats: list[str] = field(default_factory=list)  # of structured lines
    columns: list[str] = field(default_factory=list)  # of a table, or a text like one
    missing: dict[str, str] = field(
        default_factory=dict
    )  # what an option asks of lines; none had it
    dater: Dated | None = None  # of text
    own: int = 0  # lines with their own time
    contradictory: int = 0
    undated: int = 0
    blank: int = 0
    not_json: int = 0
    not_object: int = 0
    notes: list[str] = field(default_factory=list)  # of what was imported before
    another: bool = False  # than the one that was imported from its path
    unsettled: bool = False  # a copy that is being made, or a failed read: read it again as it is

    def as_fields(self) -> dict[str, Any]:
        """Return it in the types of JSON, for another process."""
        dater = self.dater
        found = None if dater is None else (dater.names, dater.guesses, dater.ambiguous)
        return {**vars(self), "dater": found}

    def take_fields(self, fields: dict[str, Any]) -> None:
        """Become the report of the same input that another process has given `as_fields`."""
        found = fields["dater"]
        vars(self).update(fields, dater=None if found is None else _Found(*found))

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
        if self.dater is not None and self.dater.names:
            formats = ", ".join([*self.formats, *self.dater.names])
            guessed = [*self.dater.guesses, *["order of day and month"] * self.dater.ambiguous]
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
        if option == "--time-format":
            return "no line has a time of this format"
        if option == "--record-start":
            return "each line of JSON is an event" if self.dater is None else "no line matches"
        if not self.columns:
            if self.dater is not None and not self.formats:
                return "these lines are text; only JSON, logfmt and tables have fields"
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
