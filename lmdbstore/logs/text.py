"""Text: lines with a time, and lines that have fields.

Rules: a record begins where the file's format has its time, at a line that has fields, or where the
given pattern matches. In a file without any of these, and with `each_line`, each line is a record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .fields import LevelFinder
from .records import RecordReader, Starts, bare, without_colours

if TYPE_CHECKING:
    import re
    from collections.abc import Sequence

    from lmdbstore.inputs.lines import Block
    from lmdbstore.times.dater import Dater

    from .common import Batch, Maker
    from .logfmt import FieldLines
    from .objects import Row

__all__ = ["TextReader"]


class TextReader:
    """Makes the lines of a text into events."""

    def __init__(
        self, maker: Maker, dater: Dater, *, hold: bool, fields: FieldLines | None = None
    ) -> None:
        """Date the lines with `dater`, but those that have `fields` by these.

        With `hold`, lines at the start wait for the first time.
        """
        self._maker, self._dater, self._fields = maker, dater, fields
        self._options, self._report = maker.options, maker.report
        self._levels = LevelFinder()
        self._records = RecordReader(maker, hold=hold)
        self._goes_on = False  # whether the record was cut at which it resumed: some had a start

    @property
    def open_record(self) -> int | None:
        """See `Reader.open_record`."""
        return self._records.open_record

    @property
    def cut(self) -> list[str] | None:
        """See `Reader.cut`."""
        return self._records.cut

    @property
    def directives(self) -> tuple[str, ...]:
        """See `Reader.directives`."""
        return ()

    def resume(
        self,
        head: Sequence[str],
        time: float | None,
        cut: Sequence[str] | None,
        directives: Sequence[str],  # noqa: ARG002  see Reader
    ) -> None:
        """See `Reader.resume`."""
        plain = bare(list(head))
        rows = self._rows(plain)
        self._dater.learn([line for n, line in enumerate(plain) if n not in rows])
        self._goes_on = cut is not None
        self._records.resume(time, cut)

    def read(self, block: Block) -> Batch:
        """Return the events of the records that end in this block."""
        plain = bare(block.lines)
        rows = self._rows(plain)
        times, matches = self._dated(plain, rows) if rows else self._dater.date(plain)
        self._report.dated(times, block.lines)
        lines = block.lines
        if self._options.strip_colours and plain is not lines:
            lines = without_colours(lines)
        places = self._places(plain, times, rows)
        if places and self._report.missing:
            self._note_found(matches)
        starts = Starts(
            places,
            self._times(times, places),
            self._tags(plain, matches, places, rows),
            [rows[n].source if n in rows else None for n in places] if rows else None,
        )
        messages = {n: row.content for n, row in rows.items() if row.content is not plain[n]}
        if messages:
            lines = [messages.get(n, line) for n, line in enumerate(lines)]
        return self._records.read(block.first, lines, starts, alone=self._alone)

    def end(self) -> Batch:
        """Return the events of the last records."""
        return self._records.end()

    @property
    def _alone(self) -> bool:
        """Whether each line is a record."""
        if self._options.record_start is not None:
            return False
        has_starts = self._dater.learnt or (self._fields is not None and self._fields.found)
        return self._options.each_line or not (has_starts or self._goes_on)

    def _rows(self, plain: list[str]) -> dict[int, Row]:
        """Return what lines have that have fields, by their places."""
        return {} if self._fields is None else self._fields.rows(plain)

    def _dated(
        self, plain: list[str], rows: dict[int, Row]
    ) -> tuple[list[float | None], list[re.Match[str] | None]]:
        """Return the time of each line, and its match if it has no fields."""
        times: list[float | None] = [None] * len(plain)
        matches: list[re.Match[str] | None] = [None] * len(plain)
        for n, row in rows.items():
            times[n] = row.time
        others = [n for n in range(len(plain)) if n not in rows]
        found = self._dater.date([plain[n] for n in others])
        for n, time, match in zip(others, *found, strict=True):
            times[n], matches[n] = time, match
        return times, matches

    def _places(
        self, plain: list[str], times: Sequence[float | None], rows: dict[int, Row]
    ) -> list[int]:
        """Return the places of the lines at which records begin."""
        if self._options.record_start is not None:
            search = self._options.record_start.search
            return [n for n, line in enumerate(plain) if search(line)]
        if self._alone:
            return [n for n, line in enumerate(plain) if line and not line.isspace()]
        return [n for n, time in enumerate(times) if time is not None or n in rows]

    def _note_found(self, matches: Sequence[re.Match[str] | None]) -> None:
        """Note that records begin, and whether a line has a time of the format."""
        self._report.missing.pop("--record-start", None)
        if "--time-format" in self._report.missing and any(matches):
            del self._report.missing["--time-format"]

    def _times(self, times: list[float | None], places: list[int]) -> list[float | None]:
        """Return the time of each record: of the line at which it begins, if it has one."""
        if self._options.record_start is None or not places:
            return times if len(places) == len(times) else [times[n] for n in places]
        ends = [*places[1:], len(times)]
        return [
            next((time for time in times[start:end] if time is not None), None)
            for start, end in zip(places, ends, strict=True)
        ]

    def _tags(
        self,
        plain: list[str],
        matches: list[re.Match[str] | None],
        places: list[int],
        rows: dict[int, Row],
    ) -> list[list[str]]:
        if rows:
            return [
                rows[n].tags if n in rows else self._with_level(plain[n], matches[n])
                for n in places
            ]
        if not self._options.levels:
            return [self._maker.tags] * len(places)
        if len(places) < len(plain):
            plain = [plain[n] for n in places]
            matches = [matches[n] for n in places]
        return list(map(self._maker.with_level, self._levels.of_each(plain, matches)))

    def _with_level(self, line: str, match: re.Match[str] | None) -> list[str]:
        levels = self._options.levels
        return self._maker.with_level(self._levels.of(line, match) if levels else None)
