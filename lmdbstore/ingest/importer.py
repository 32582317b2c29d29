"""An import: the records of inputs become events, which are saved in batches.

Rules: the first lines of an input decide how it is read: as JSON, as a table, or as text. A line
that cannot be read is counted and reported; the rest is imported.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC
from typing import TYPE_CHECKING

from lmdbstore.contract.checking import checked
from lmdbstore.contract.event import Event
from lmdbstore.times.clock import Setting
from lmdbstore.times.dater import Dater
from lmdbstore.times.zones import Zones

from .common import Maker, Options
from .lines import LONGEST_LINE
from .records import TextReader, bare
from .report import InputReport, Report
from .saving import Preview, Saver
from .structured import JsonReader, is_json
from .tables import Header, TableReader, column_names, header_of
from .unpacking import UnreadableInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lmdbstore.contract.api import EventStore

    from .common import Reader
    from .inputs import Input
    from .lines import Block
    from .saving import Sink

__all__ = ["Importer"]


class Importer:
    """Imports inputs into one store, and has the report."""

    def __init__(
        self,
        store: EventStore | None,
        *,
        tags: Sequence[str] = (),
        source: str | None = None,
        options: Options | None = None,
    ) -> None:
        """Import into `store`; every event gets `tags`, and `source` if it has no source itself.

        Without a store, the first events are kept in `preview`, and nothing is saved.

        `progress` may be set to a function. It is called after each batch and at the end of each
        input, with the bytes read of the current input, and the lines read of all inputs.

        Raises:
            InvalidEvent: the tags or the source cannot be stored.
        """
        self._tags = checked(Event("any", source or "", 0.0, tags)).tags
        self._source = source
        self._options = options or Options()
        self.report = Report(dry_run=store is None)
        self.preview = Preview(self.report)
        self._sink: Sink = self.preview if store is None else Saver(store, self.report)
        self.progress: Callable[[int, int], None] = lambda _bytes, _lines: None

    def read(self, opened: Input, line_format: str = "auto") -> None:
        """Import one input. `line_format` is "lines", "jsonl", or "auto": by what the lines hold.

        Raises:
            EventStoreException: the store failed; committed events stay.
        """
        of_input = InputReport(opened.name)
        self.report.inputs.append(of_input)
        reader: Reader | None = None
        number = 0
        try:
            for block in opened.blocks():
                reader = reader or self._reader(opened, block, line_format, of_input)
                number = block.first + len(block.lines)
                self._read(opened, reader, block)
        except UnreadableInput as error:
            rest = "; the rest is skipped" if number else ""
            self.report.unreadable(opened.name, number, f"{error}{rest}")
        if reader is not None:
            self._sink.add(reader.end(), opened.name, 0)
        self.progress(opened.bytes_read, self.report.lines)

    def finish(self) -> Report:
        """Save the last batch, and return the report. Raises what `read` raises."""
        self._sink.flush()
        self.report.seconds = time.perf_counter() - self.report.started
        return self.report

    def _read(self, opened: Input, reader: Reader, block: Block) -> None:
        report = self.report
        report.lines += len(block.lines)
        report.latin(opened.name, block.latin)
        for number in block.skipped:
            report.unreadable(opened.name, number, f"longer than {LONGEST_LINE >> 20} MiB")
            report.inputs[-1].blank -= 1  # a reader takes it for a blank line
        if self._sink.add(reader.read(block), opened.name, block.size):
            self.progress(opened.bytes_read, report.lines)

    def _reader(
        self, opened: Input, first: Block, line_format: str, of_input: InputReport
    ) -> Reader:
        """Return the reader for an input that begins with a block."""
        options = self._options
        source = opened.source if self._source is None else self._source
        setting = Setting(opened.mtime, options.zones, options.year)
        is_file = opened.path is not None
        structured = line_format == "auto" and not options.each_line
        if line_format == "jsonl" or (line_format == "auto" and is_json(first.lines)):
            of_input.formats = ["JSON"]
            maker = Maker(source, self._tags, setting, options, of_input)
            return JsonReader(
                maker,
                lambda number, reason: self.report.unreadable(opened.name, number, reason),
                strict=line_format == "jsonl",
                hold=is_file,
            )
        if (
            structured
            and options.record_start is None
            and (options.time_format is None or options.time_field is not None)
        ):
            header = header_of(first.lines, options)
            if header is not None:
                return self._table(source, header, setting, of_input)
            of_input.columns = column_names(first.lines)
        maker = Maker(source, self._tags, setting, options, of_input)
        dater = Dater(setting, options.time_format, _again(opened) if is_file else None)
        of_input.dater = dater
        return TextReader(maker, dater, hold=is_file)

    def _table(
        self, source: str, header: Header, setting: Setting, of_input: InputReport
    ) -> TableReader:
        of_input.formats = ["table"]
        if header.delimiter == " ":
            of_input.formats = ["W3C"]
            if header.utc and setting.zones.given is None:
                setting = replace(setting, zones=Zones(UTC))
        return TableReader(Maker(source, self._tags, setting, self._options, of_input), header)


def _again(opened: Input) -> Callable[[], Iterator[list[str]]]:
    """Return a function that gives all lines of a file again, as far as it can be read."""

    def again() -> Iterator[list[str]]:
        with suppress(UnreadableInput, OSError):  # `read` reports it
            for block in opened.again():
                yield bare(block.lines)

    return again
