"""The reading of one input, from where it begins or goes on to its end.

Rules: the checkpoint of the input is saved with its events. The last record of an input that goes
on is read again: it takes the place of the stored one if it has grown. While an input is read
again to replace its events (`redo`), its checkpoint stays as it was; the records that it had, and
has no more, are deleted at the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lmdbstore.inputs.lines import LONGEST_LINE, START, blocks
from lmdbstore.inputs.unpacking import UnreadableInput
from lmdbstore.resume.progress import Progress
from lmdbstore.resume.tracked import HashedText, Mark, Marks, content_digest

from .common import Batch

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmdbstore.inputs.lines import Block
    from lmdbstore.inputs.opened import Input
    from lmdbstore.resume.checkpoint import Checkpoint

    from .common import Reader
    from .readers import LineFormat, ReaderChoice
    from .report import Report
    from .saving import Sink

__all__ = ["Reading", "Start"]


class Start(NamedTuple):
    """Where the reading of an input begins."""

    checkpoint: Checkpoint
    mark: Mark
    redo: bool = False


class Reading:
    """Reads one input."""

    def __init__(  # noqa: PLR0913, PLR0917  the parts of an import
        self,
        opened: Input,
        start: Start,
        choice: ReaderChoice,
        sink: Sink,
        report: Report,
        *,
        growing: bool,
    ) -> None:
        """Give the events to `sink`; with `growing`, not that of a last line without an end.

        `saved` may be set to a function that is called after each batch.
        """
        self._opened, self._choice = opened, choice
        self._sink, self._report = sink, report
        self._checkpoint, self._mark = start.checkpoint, start.mark
        self._growing = growing
        self.saved: Callable[[], None] = lambda: None

    def run(self, line_format: LineFormat) -> None:
        """Read the input to its end; raises EventStoreException."""
        reader, end = self._resumed(line_format)
        text = HashedText(self._opened.chunks(self._mark.place.offset), self._mark.content.copy())
        self._progress = Progress(self._opened, self._checkpoint, Marks(text, self._mark))
        number, complete = 0, True
        try:
            for block in blocks(iter(text), self._mark.place, end, growing=self._growing):
                reader = reader or self._choice.reader(block, line_format)
                number = block.following.number
                self._read(reader, block)
        except UnreadableInput as error:
            complete = False
            rest = "; the rest is skipped" if number else ""
            self._report.unreadable(self._opened.name, number, f"{error}{rest}")
        if reader is not None:
            self._add(reader.end(), 0)
            self._progress.end(complete=complete)
            self._sink.add(Batch([], []), self._opened.name, 0, self._progress)

    def _resumed(self, line_format: LineFormat) -> tuple[Reader | None, bytes]:
        """Return the reader of an input that goes on, and its line end."""
        if self._mark.place == START:
            return None, b""
        first = next(blocks(self._opened.looked_at()))
        reader = self._choice.reader(first, line_format, self._mark.place)
        reader.resume(first.lines, self._checkpoint.time)
        return reader, first.end

    def _read(self, reader: Reader, block: Block) -> None:
        report, name = self._report, self._opened.name
        report.lines += len(block.lines)
        report.latin(name, block.latin)
        for number in block.skipped:
            report.unreadable(name, number, f"longer than {LONGEST_LINE >> 20} MiB")
            report.inputs[-1].blank -= 1  # a reader takes it for a blank line
        batch = reader.read(block)
        self._progress.pass_block(block, reader.open_record)
        self._add(batch, len(block.data))

    def _add(self, batch: Batch, size: int) -> None:
        last = self._checkpoint.last_number
        if last and batch.numbers and batch.numbers[0] <= last:
            batch = self._without_known(batch, last)
        self._progress.add(*batch)
        if batch.events and self._sink.add(batch, self._opened.name, size, self._progress):
            self.saved()

    def _without_known(self, batch: Batch, last: int) -> Batch:
        """Return a batch without the records that are stored, of which the last may have grown."""
        events = Batch([], [])
        for number, event in zip(batch.numbers, batch.events, strict=True):
            if number > last:
                events.numbers.append(number)
                events.events.append(event)
            elif number == last and content_digest(event.content) != self._checkpoint.last_digest:
                self._sink.replace(event, self._opened.name, number)
        return events
