"""Which reader an input gets.

Rules: the first lines of an input decide how it is read: as events that `export` wrote, as JSON, as
a table, or as text.
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
from .documents import Documents, is_document
from .logfmt import FieldLines, is_logfmt
from .own.event_rows import EventRows, is_event_table
from .records import bare
from .structured import JsonReader, is_json
from .tables import TableReader, column_names, header_of
from .text import TextReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lmdbstore.inputs.opened import Input
    from lmdbstore.resume.checkpoint import Checkpoint

    from .common import Options, Reader
    from .input_report import InputReport
    from .tables import Header

__all__ = ["LineFormat", "ReaderChoice"]

LineFormat = str  # "lines", "jsonl", or "auto": by what the lines hold


class ReaderChoice:
    """Makes the reader of one input."""

    def __init__(
        self,
        opened: Input,
        tags: list[str],
        options: Options,
        report: InputReport,
    ) -> None:
        """Give all events `tags`.

        `refuse` may be set to a function. It is called for lines that cannot be read, with their
        number and the reason.
        """
        self._opened, self._options, self.report = opened, options, report
        self._tags = tags
        self.refuse: Callable[[int, str], None] = lambda _number, _reason: None

    def reader(
        self, first: Sequence[str], checkpoint: Checkpoint, line_format: LineFormat, at: Place
    ) -> Reader:
        """Return the reader, which goes on at a place; `first` are the first lines of the input.

        The events get the source and the key of the checkpoint.
        """
        self._source, self._key = checkpoint.source, checkpoint.key
        options = self._options
        setting = Setting(self._opened.mtime, options.zones, options.year)
        is_file = self._opened.is_file
        if line_format == "auto" and not self._keeps_lines and is_event_table(first, options):
            self.report.formats = ["CSV of events"]
            return EventRows(self._maker(setting), self.refuse)
        if line_format == "jsonl" or (line_format == "auto" and is_json(first)):
            self.report.formats = ["JSON"]
            return JsonReader(
                self._maker(setting), self.refuse, strict=line_format == "jsonl", hold=is_file
            )
        if line_format == "auto" and not self._keeps_lines and is_document(first):
            self.report.formats = ["JSON"]
            maker = self._maker(setting)
            documents = Documents()
            return JsonReader(maker, self.refuse, strict=False, hold=is_file, documents=documents)
        if line_format == "auto" and not self._keeps_lines and not self._has_format:
            header = header_of([*checkpoint.directives, *first], options)
            if header is not None:
                return self._table(header, setting)
            self.report.columns = column_names(first)
        again = self._lines_from(at) if is_file else None
        dater = Dater(setting, options.time_format, again)
        self.report.dater = dater
        if at != START and options.year is not None:
            for lines in self._lines_from(START, at)():  # to count the years
                dater.date(lines)
        maker = self._maker(setting)
        fields = self._fields(maker, first) if line_format == "auto" else None
        return TextReader(maker, dater, hold=is_file, fields=fields)

    def _fields(self, maker: Maker, first: Sequence[str]) -> FieldLines | None:
        """Return what finds lines with fields in a text, if these may be records."""
        if self._options.record_start is not None or self._has_format:
            return None
        logfmt = not self._keeps_lines and is_logfmt(first, self._options)
        self.report.formats = ["logfmt"] * logfmt
        return FieldLines(maker, logfmt=logfmt)

    @property
    def _keeps_lines(self) -> bool:
        """Whether the user says which lines are events."""
        return self._options.each_line or self._options.record_start is not None

    @property
    def _has_format(self) -> bool:
        """Whether the user says what times look like, and not which field has them."""
        return self._options.time_format is not None and self._options.time_field is None

    def _maker(self, setting: Setting) -> Maker:
        return Maker(self._source, self._key, self._tags, setting, self._options, self.report)

    def _table(self, header: Header, setting: Setting) -> TableReader:
        self.report.formats = ["table"]
        if header.delimiter == " ":
            self.report.formats = ["W3C"]
            if header.utc and setting.zones.given is None:
                setting = replace(setting, zones=Zones(UTC))
        return TableReader(self._maker(setting), header)

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
