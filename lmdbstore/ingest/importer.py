"""An import: the records of inputs become events, which are saved in batches.

Rules: an input that was read before goes on where it ended, whatever its name is now. A line that
cannot be read is counted and reported; the rest is imported.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from lmdbstore.contract.checking import checked
from lmdbstore.contract.event import Event
from lmdbstore.inputs.lines import START
from lmdbstore.inputs.unpacking import UnreadableInput
from lmdbstore.resume.checkpoint import Checkpoint, Registry
from lmdbstore.resume.content import Content
from lmdbstore.resume.recognise import Known, head_of, recognise
from lmdbstore.resume.tracked import Mark

from .common import Options
from .readers import ReaderChoice
from .reading import Reading, Start
from .report import InputReport, Report
from .saving import Preview, Saver

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lmdbstore.contract.api import EventStore
    from lmdbstore.inputs.opened import Input

    from .readers import LineFormat
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
        redo: bool = False,
    ) -> None:
        """Import into `store`; every event gets `tags`, and `source` if it has no source itself.

        Without a store, the first events are kept in `preview`, and nothing is saved. With `redo`,
        inputs that were read before are read again, and their events are replaced.

        `progress` may be set to a function. It is called after each batch and at the end of each
        input, with the bytes read of the current input, and the lines read of all inputs.

        Raises:
            InvalidEvent: the tags or the source cannot be stored.
            EventStoreException: the checkpoints of the store cannot be read.
        """
        self._tags = checked(Event("any", source or "", 0.0, tags)).tags
        self._source = source
        self._options = options or Options()
        self._redo = redo
        self._store = store
        self.report = Report()
        self.preview = Preview(self.report)
        self._sink: Sink = self.preview
        self._registry: Registry | None = None
        if store is not None:
            self._registry = Registry(store)
            self._sink = Saver(store, self._registry, self.report)
        self.progress: Callable[[int, int], None] = lambda _bytes, _lines: None

    def read(
        self, opened: Input, line_format: LineFormat = "auto", *, growing: bool = False
    ) -> None:
        """Import one input, or what is new of it. `line_format` is "lines", "jsonl", or "auto".

        With `growing`, a last line without an end is left for the next time.

        Raises:
            EventStoreException: the store failed; committed events stay.
        """
        of_input = InputReport(opened.name)
        self.report.inputs.append(of_input)
        try:
            start = self._start(opened, of_input)
        except UnreadableInput as error:
            self.report.unreadable(opened.name, 0, str(error))
            return
        if start is not None:
            choice = ReaderChoice(opened, start.checkpoint, self._tags, self._options, of_input)
            reading = Reading(opened, start, choice, self._sink, self.report, growing=growing)
            reading.saved = lambda: self.progress(opened.bytes_read, self.report.lines)
            reading.run(line_format)
        self.progress(opened.bytes_read, self.report.lines)

    def finish(self) -> Report:
        """Save the last batch, and return the report. Raises what `read` raises."""
        self._sink.flush()
        self.report.seconds = time.perf_counter() - self.report.started
        return self.report

    # -- where to begin ------------------------------------------------------------------------

    def _start(self, opened: Input, of_input: InputReport) -> Start | None:
        """Return where to begin; None if all of the input was read before."""
        source = opened.source if self._source is None else self._source
        begin = Mark(START, Content(), ())
        if self._registry is None:
            return Start(Checkpoint("", source, ""), begin)
        self._registry.refresh()
        head = head_of(opened)
        known = recognise(opened, source, head, self._registry)
        if known is None:
            if self._was_another(opened):
                of_input.notes.append("another file than the one imported before")
            new = self._registry.new(source, head, is_file=opened.is_file)
            return Start(new, begin)
        checkpoint = replace(known.checkpoint, head=head)
        if self._redo and not known.trimmed:
            return Start(replace(checkpoint, source=source), begin, redo=True)
        of_input.notes += _notes(known)
        self.report.present += checkpoint.events
        self.report.lines += known.mark.place.number - 1
        return Start(checkpoint, known.mark) if known.grown else None

    def _was_another(self, opened: Input) -> bool:
        """Whether an input that is not recognised has the place of one that was read."""
        if self._registry is None or opened.status is None:
            return False
        return bool(self._registry.of_file(opened.status)) or any(
            one.inode for one in self._registry.of_source(opened.source)
        )


def _notes(known: Known) -> list[str]:
    notes = [f"{known.lines:,} lines known"]
    if known.trimmed:
        notes.append("its front was trimmed away")
    if known.checkpoint.redo:
        notes.append("an earlier --redo of it did not end: run it again")
    return notes
