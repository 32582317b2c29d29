"""The report of an import: its numbers, and the lines that could not be read.

Rules: every such line is counted. The first `SHOWN_LINES` of each kind are listed.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

__all__ = ["SHOWN_LINES", "Report"]

SHOWN_LINES = 10  # more would move the summary off the screen


@dataclass
class Report:
    """The numbers of an import so far."""

    lines: int = 0
    new: int = 0
    present: int = 0  # already in the store, or given twice
    blank: int = 0
    unreadables: int = 0
    seconds: float = 0.0
    started: float = field(default_factory=time.perf_counter)
    _unreadable: list[str] = field(default_factory=list)
    _not_utf8: list[str] = field(default_factory=list)
    _not_utf8s: int = 0

    def unreadable(self, name: str, number: int, reason: str) -> None:
        """Count a line that could not be made into an event."""
        self.unreadables += 1
        if len(self._unreadable) < SHOWN_LINES:
            self._unreadable.append(f"{name}: line {number}: {reason}")

    def not_utf8(self, name: str, number: int) -> None:
        r"""Count a line that was imported with `\x..` in place of bytes that are not UTF-8."""
        self._not_utf8s += 1
        if len(self._not_utf8) < SHOWN_LINES:
            self._not_utf8.append(f"{name}: line {number}: not UTF-8; imported with \\x escapes")

    def notices(self) -> list[str]:
        """Return one line of text for each listed line, and one for the number of the others."""
        shown = [
            *self._not_utf8,
            *_more(self._not_utf8s, "not UTF-8"),
            *self._unreadable,
            *_more(self.unreadables, "that could not be read"),
        ]
        return [line.replace("\n", " ") for line in shown]

    def summary(self) -> str:
        """Return the numbers as one line of text."""
        parts = [f"{self.new:,} new events", f"{self.present:,} already there"]
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
