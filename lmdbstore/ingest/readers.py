"""Which reader an input gets.

Rules: the first lines of an input decide how it is read: as JSON, as a table, or as text.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC
from typing import TYPE_CHECKING

from lmdbstore.inputs.lines import START, Place, blocks
from lmdbstore.inputs.unpacking import UnreadableInput
from lmdbstore.times.clock import Setting
from lmdbstore.times.dater import Dater
from lmdbstore.times.zones import Zones

from .common import Maker
from .records import TextReader, bare
from .structured import JsonReader, is_json
from .tables import TableReader, header_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lmdbstore.inputs.opened import Input

    from .common import Options, Reader
    from .report import InputReport
    from .tables import Header

__all__ = ["LineFormat", "ReaderChoice"]

LineFormat = str  # "lines", "jsonl", or "auto": by what the lines hold


class ReaderChoice:
    """Makes the reader of one input."""

    def __init__(  # noqa: PLR0913, PLR0917  what is known of an input
        self,
        opened: Input,
        source: str,
        tags: list[str],
        options: Options,
        report: InputReport,
        refuse: Callable[[int, str], None],
    ) -> None:
        """Report lines that cannot be read to `refuse`, by number and reason."""
        self._opened, self._options, self._report = opened, options, report
        self._source, self._tags = source, tags
        self._refuse = refuse

    def reader(self, first: Sequence[str], key: str, line_format: LineFormat, at: Place) -> Reader:
        """Return the reader, which goes on at a place; `first` are the first lines of the input."""
        options = self._options
        setting = Setting(self._opened.mtime, options.zones, options.year)
        is_file = self._opened.is_file
        if line_format == "jsonl" or (line_format == "auto" and is_json(first)):
            self._report.formats = ["JSON"]
            return JsonReader(
                self._maker(key, setting), self._refuse, strict=line_format == "jsonl", hold=is_file
            )
        if line_format == "auto" and self._may_be_table():
            header = header_of(first, options.time_field)
            if header is not None:
                return self._table(key, header, setting)
        again = self._lines_from(at) if is_file else None
        dater = Dater(setting, options.time_format, again)
        self._report.dater = dater
        if at != START and options.year is not None:
            for lines in self._lines_from(START, at)():  # to count the years
                dater.date(lines)
        return TextReader(self._maker(key, setting), dater, hold=is_file)

    def _may_be_table(self) -> bool:
        options = self._options
        given = options.time_format is not None and options.time_field is None
        return not (options.each_line or options.record_start or given)

    def _maker(self, key: str, setting: Setting) -> Maker:
        return Maker(self._source, key, self._tags, setting, self._options, self._report)

    def _table(self, key: str, header: Header, setting: Setting) -> TableReader:
        self._report.formats = ["table"]
        if header.delimiter == " ":
            self._report.formats = ["W3C"]
            if header.utc and setting.zones.given is None:
                setting = replace(setting, zones=Zones(UTC))
        return TableReader(self._maker(key, setting), header)

    def _lines_from(
        self, at: Place, stop: Place | None = None
    ) -> Callable[[], Iterator[Sequence[str]]]:
        """Return a function that gives the lines between two places, as far as they can be read."""

        def lines() -> Iterator[Sequence[str]]:
            with suppress(UnreadableInput):  # the import reports it
                for block in blocks(self._opened.looked_at(at.offset), at):
                    if stop is not None and block.following.number >= stop.number:
                        yield bare(block.lines[: stop.number - block.first])
                        return
                    yield bare(block.lines)

        return lines
