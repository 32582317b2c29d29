"""The lines of events on a terminal: time, source and content.

Rules: the time is local. It is left out where the content begins with a time of its own, and the
source where all events of the store have the same one. A long content is folded under its start.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from rich.cells import cell_len

from lmdbstore.cli.terminal import LONGEST_COLOURED, coloured, visible
from lmdbstore.cli.times import local_time

from .folding import folded
from .own_time import OwnTime

if TYPE_CHECKING:
    from lmdbstore.cli.terminal import Spans
    from lmdbstore.contract.event import Event

__all__ = ["TerminalLines"]

LEAST_WIDTH = 20  # columns for the content; where the start of the line leaves less, it is indented
INDENT = 4  # by this
DIM_ON, DIM_OFF = "\x1b[2m", "\x1b[0m"
NO_SPANS: tuple[tuple[int, int], ...] = ()


class TerminalLines:
    """Makes the lines of events for a terminal."""

    def __init__(
        self,
        spans: Spans | None,
        now: float,
        *,
        with_source: bool,
        colour: bool,
    ) -> None:
        """Highlight the spans of each content, and with `colour` dim what comes before it.

        `now` is in seconds since 1970.
        """
        self._spans = spans
        self._with_source, self._colour = with_source, colour
        self._own_time = OwnTime(now)

    def line(self, event: Event) -> str:
        """Return the text for an event, without the end of the line."""
        start = self._start(event)
        head = f"{DIM_ON}{start}{DIM_OFF}" if start and self._colour else start
        return head + self._content(event.content, cell_len(start))

    def _start(self, event: Event) -> str:
        parts = []
        if not self._own_time.begins(event.content):
            parts.append(local_time(event.timestamp))
        if self._with_source:
            parts.append(visible(event.source).replace("\n", "\\n"))
        return "".join(f"{part}  " for part in parts)

    def _content(self, content: str, start: int) -> str:
        if not start or len(content) > LONGEST_COLOURED:
            return coloured(content, self._spans)
        spans = NO_SPANS if self._spans is None else self._spans(content)
        columns = shutil.get_terminal_size().columns
        if columns - start < LEAST_WIDTH:
            return folded(content, spans, max(columns - INDENT, 1), INDENT)
        return folded(content, spans, columns - start, start)
