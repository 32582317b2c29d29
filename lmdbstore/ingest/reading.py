"""The reading of one input, from where it begins or goes on to its end.

Rules: the checkpoint of the input is saved with its events. The last record of an input that goes
on is read again: it takes the place of the stored one if it has grown. No checkpoint is saved while
an input is read again to replace its events.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, NamedTuple

from lmdbstore.inputs.lines import LONGEST_LINE, START, blocks
from lmdbstore.inputs.unpacking import ChangedInput, FailedRead, UnreadableInput
from lmdbstore.logs.common import Batch
from lmdbstore.resume.progress import Progress
from lmdbstore.resume.tracked import BEGINNING, HashedText, Mark, Marks, content_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lmdbstore.inputs.lines import Block
    from lmdbstore.inputs.opened import Input
    from lmdbstore.logs.common import Reader
    from lmdbstore.logs.readers import LineFormat, ReaderChoice
    from lmdbstore.resume.checkpoint import Checkpoint

    from .redo import Redo
    from .report import Report
    from .saving import Sink

__all__ = ["Reading", "Start"]


class Start(NamedTuple):
    """Where the reading of an input begins."""

    checkpoint: Checkpoint
    mark: Mark = BEGINNING
    chunks: Iterator[bytes] | None = None  # the text from there on, if it is being read already
    redo: Redo | None = None


class Reading:
    """Reads one input."""

    def __init__(
        self, opened: Input, choice: ReaderChoice, sink: Sink, report: Report, *, growing: bool
    ) -> None:
        """Give the events to `sink`; with `growing`, not that of a last line without an end.

        `saved` may be set to a function that is called after each batch.
        """
        self.opened, self.choice = opened, choice
        self.sink, self.report = sink, report
        self.growing = growing
        self._has_events = False
        self.of_input = choice.report
        self.saved: Callable[[], None] = lambda: None

    def run(self, start: Start, line_format: LineFormat) -> Checkpoint | None:
        """Read the input to its end; return its checkpoint, which is saved with the last events.

        Return None if there was nothing to read.

        Raises:
            EventStoreException: the store failed.
        """
        self._start = start
        self._progress = Progress(self.opened, start.checkpoint)
        number, complete = 0, True
        reader: Reader | None = None
        try:
            reader, end = self._resumed(line_format)
            self.opened.keep_no_more()
            chunks = self.opened.chunks() if start.chunks is None else start.chunks
            text = HashedText(chunks, start.mark.content.copy())
            self._progress.begin(Marks(text, start.mark))
            for block in blocks(iter(text), start.mark.place, end, growing=self.growing):
                reader = reader or self._reader(block, line_format)
                number = block.following.number
                self._read(reader, block)
        except UnreadableInput as error:
            complete = False
            self.of_input.unsettled = isinstance(error, FailedRead)
            rest = "; the rest is skipped" if number else ""
            if not (self.growing and isinstance(error, ChangedInput)):  # it will be read again
                self.report.unreadable(self.opened.name, number, f"{error}{rest}")
        if reader is None:
            return None
        return self._end(reader, complete=complete)

    def _end(self, reader: Reader, *, complete: bool) -> Checkpoint:
        self._add(reader.end(), 0)
        if self._start.redo is not None:
            self._start.redo.end(complete=complete)
            if not complete:
                return self._start.redo.noted
        self._progress.end(complete=complete)
        self.sink.add(Batch([], []), self.opened.name, 0, self._progress)
        return self._progress.checkpoint()

    def _reader(self, first: Block, line_format: LineFormat) -> Reader:
        start = self._start
        return self.choice.reader(first.lines, start.checkpoint, line_format, start.mark.place)

    def _resumed(self, line_format: LineFormat) -> tuple[Reader | None, bytes]:
        """Return the reader of an input that goes on, and its line end."""
        if self._start.mark.place == START:
            return None, b""
        first = next(blocks(self.opened.looked_at()), None)
        if first is None:
            raise ChangedInput("it was truncated while it was read")
        reader = self._reader(first, line_format)
        known = self._start.checkpoint
        reader.resume(first.lines, known.time, known.cut, known.directives)
        return reader, first.end

    def _read(self, reader: Reader, block: Block) -> None:
        report, name = self.report, self.opened.name
        report.lines += len(block.lines)
        report.latin(name, block.latin)
        for number in block.skipped:
            report.unreadable(name, number, f"longer than {LONGEST_LINE >> 20} MiB")
            report.inputs[-1].blank -= 1  # a reader takes it for a blank line
        batch = reader.read(block)
        self._progress.pass_block(block, reader.open_record, reader.cut, reader.directives)
        self._add(batch, len(block.data))

    def _add(self, batch: Batch, size: int) -> None:
        last = self._start.checkpoint.last_number
        read = batch
        if last and batch.numbers and batch.numbers[0] <= last:
            batch = self._without_known(batch, last)
        self._progress.add(read.numbers, read.events, new=len(batch.events))
        self._has_events = self._has_events or bool(batch.events)
        progress = self._progress if self._has_events else None  # else some may be held back
        if self._start.redo is not None:
            self._start.redo.add(batch.events)
            progress = None
        if self.sink.add(batch, self.opened.name, size, progress):
            self.saved()

    def _without_known(self, batch: Batch, last: int) -> Batch:
        """Return a batch without the records that are stored, of which the last may have grown."""
        former = self._start.checkpoint
        first, behind = bisect_left(batch.numbers, last), bisect_right(batch.numbers, last)
        again = Batch(batch.events[first:behind], batch.numbers[first:behind])
        if again.events and content_digest(again.events[-1].content) != former.last_digest:
            is_of_line = former.last_id.startswith(former.key)  # the line had no id of its own
            self.sink.replace(again, self.opened.name, former.last_id if is_of_line else "")
        return Batch(batch.events[behind:], batch.numbers[behind:])
