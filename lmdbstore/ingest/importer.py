"""An import: the records of inputs become events, which are saved in batches.

Rules: an input that was read before goes on where it ended, whatever its name is now. A line that
cannot be read is counted and reported; the rest is imported.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from lmdbstore.contract.checking import checked
from lmdbstore.contract.event import Event
from lmdbstore.errors import InvalidEvent, shown
from lmdbstore.inputs.unpacking import FailedRead, UnreadableInput
from lmdbstore.logs.common import Batch, Options
from lmdbstore.logs.input_report import InputReport
from lmdbstore.logs.readers import ReaderChoice
from lmdbstore.resume.checkpoint import Checkpoint, Registry
from lmdbstore.resume.recognise import copied_from, head_of, is_short, moved_to, recognise

from .apart.parent import read_apart
from .reading import Reading, Start
from .redo import Redo
from .report import Report
from .saving import Preview, Saver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from lmdbstore.contract.api import EventStore
    from lmdbstore.inputs.opened import Input
    from lmdbstore.logs.readers import LineFormat
    from lmdbstore.resume.recognise import Known

    from .saving import Sink

__all__ = ["SETTLED", "Importer"]

SETTLED = 1.0  # seconds without a change, after which a file is no copy that is being made


class _Into:
    """A store, and what an import needs of it."""

    def __init__(self, store: EventStore, report: Report) -> None:
        self.store = store
        self.saver = Saver(store, report)
        self.registry = Registry(store)


class Importer:
    """Imports inputs into one store, and has the report."""

    def __init__(  # noqa: PLR0913  the options of an import
        self,
        store: EventStore | None,
        *,
        tags: Sequence[str] = (),
        source: str | None = None,
        options: Options | None = None,
        redo: bool = False,
        processes: int = 1,
    ) -> None:
        """Import into `store`; every event gets `tags`, and `source` if it has no source itself.

        Without a store, the first events are kept in `preview`, and nothing is saved. With `redo`,
        inputs that were read before are read again, and their events are replaced. With 2
        `processes`, a fork reads each large file and dates its lines, while this one saves.

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
        self._run = Reading.run if processes == 1 else read_apart
        self.report = Report(dry_run=store is None)
        self.preview = Preview(self.report)
        self._into = None if store is None else _Into(store, self.report)
        self._sink: Sink = self.preview if self._into is None else self._into.saver
        self.progress: Callable[[int, int], None] = lambda _bytes, _lines: None

    def read(
        self,
        opened: Input,
        line_format: LineFormat = "auto",
        *,
        growing: bool = False,
        known_only: bool = False,
        or_missed: bool = False,
    ) -> InputReport:
        """Import one input, or what is new of it. `line_format` is "lines", "jsonl", or "auto".

        With `growing`, a last line without an end is left for the next time. With `known_only`,
        an input of which nothing was read before is passed over; with `or_missed`, unless it was
        written later than what was read of its source, if anything was.

        Raises:
            EventStoreException: the store failed; committed events stay.
        """
        of_input = InputReport(opened.name)
        self.report.inputs.append(of_input)
        choice = ReaderChoice(opened, self._tags, self._options, of_input)
        choice.refuse = partial(self.report.unreadable, opened.name)
        reading = Reading(opened, choice, self._sink, self.report, growing=growing)
        reading.saved = lambda: self.progress(opened.bytes_read, self.report.lines)
        if self._into is None:
            reading.run(Start(Checkpoint("", self._source_of(opened), "")), line_format)
        else:
            try:
                known_only = known_only and not (or_missed and self._was_missed(opened))
                self._continue(reading, opened, line_format, self._into, known_only=known_only)
            except FailedRead as error:  # before it was known which file it is
                self.report.unreadable(opened.name, 0, str(error))
                of_input.unsettled = True
        self.progress(opened.bytes_read, self.report.lines)
        return of_input

    def read_events(self, name: str, kind: str, pieces: Iterable[list[Event]]) -> InputReport:
        """Import events, which have ids of their own, from a file `name` that is a `kind`.

        There is no checkpoint: events that are in the store are passed over, or with `redo`
        replaced. UnreadableInput, which `pieces` may raise, is reported. Raises what `read` raises.
        """
        of_input = InputReport(name, [kind])
        self.report.inputs.append(of_input)
        with self._replacing():
            number = 0
            try:
                for piece in pieces:
                    batch = self._events(piece, name, number)
                    number += len(piece)
                    self.report.lines += len(piece)
                    of_input.own += len(batch.events)
                    self._sink.add(batch, name, sum(len(e.content) for e in batch.events), None)
                    self.progress(0, self.report.lines)
            except UnreadableInput as error:
                self.report.unreadable(name, number, str(error))
        return of_input

    @contextmanager
    def _replacing(self) -> Iterator[None]:
        """With `redo`, let events take the place of those with their ids."""
        if self._into is None or not self._redo:
            yield
            return
        saver = self._into.saver
        saver.flush()
        saver.on_duplicate = "replace"
        yield
        saver.flush()
        saver.on_duplicate = "ignore"

    def _events(self, piece: list[Event], name: str, number: int) -> Batch:
        """Return those of some events that can be stored, with the tags of the import."""
        batch = Batch([], [])
        for place, event in enumerate(piece, number + 1):
            try:
                valid = checked(event)
            except InvalidEvent as error:
                self.report.unreadable(name, place, str(error))
                continue
            tags = list(dict.fromkeys([*valid.tags, *self._tags]))
            batch.events.append(valid._replace(tags=tags))
            batch.numbers.append(place)
        return batch

    def flush(self) -> None:
        """Save what was read. Raises what `read` raises."""
        self._sink.flush()

    def finish(self) -> Report:
        """Save the last batch, and return the report. Raises what `read` raises."""
        self.flush()
        self.report.seconds = time.perf_counter() - self.report.started
        return self.report

    # -- what is known -------------------------------------------------------------------------

    def _source_of(self, opened: Input) -> str:
        return opened.source if self._source is None else self._source

    def _continue(
        self,
        reading: Reading,
        opened: Input,
        line_format: LineFormat,
        into: _Into,
        *,
        known_only: bool,
    ) -> None:
        """Read what is new of an input, or with `redo` all of it."""
        registry = into.registry
        if registry.is_old:
            self._sink.flush()
            registry.refresh()
        source = self._source_of(opened)
        head = head_of(opened)
        known = recognise(opened, source, head, registry)
        new = registry.new(source, head, opened.status)
        if known is None and registry.is_stored(new):  # by another process, a moment ago
            self._sink.flush()
            registry.refresh()
            known = recognise(opened, source, head, registry)
            new = registry.new(source, head, opened.status)
        if known is None:
            if known_only or self._is_copy(opened, head, registry, reading):
                return
            if self._was_another(opened, registry):
                reading.of_input.another = True
                reading.of_input.notes.append("another file than the one imported before")
            start = Start(new)
        elif self._redo and not known.trimmed:
            checkpoint = replace(known.checkpoint, head=head, source=source)
            redo = Redo(into.store, into.saver, checkpoint)
            fresh = replace(checkpoint, events=0, last_number=0, redo=False)
            start = Start(fresh, redo=redo)
        else:
            self._note(known, reading.of_input, counted=not reading.growing)
            if not known.grown:
                self._note_move(opened, known.checkpoint, into)
                return
            checkpoint = replace(known.checkpoint, head=head)
            start = Start(checkpoint, known.mark, known.chunks)
        if (reached := self._run(reading, start, line_format)) is not None:
            registry.put(reached)

    def _note_move(self, opened: Input, known: Checkpoint, into: _Into) -> None:
        """Store the new place of a file, by which copies of it are known."""
        if (moved := moved_to(opened, known)) is not None:
            self._sink.flush()
            into.store.save_many([], checkpoint=(moved.name, moved.text()))
            into.registry.put(moved)

    def _is_copy(self, opened: Input, head: str, registry: Registry, reading: Reading) -> bool:
        """Whether an input has no other lines than the start of a file that is known, and there."""
        one = copied_from(opened, head, registry) if opened.is_file else None
        if one is None:
            return False
        if is_short(opened):
            # Two logs may begin with the same lines. But one that is followed may be being copied.
            reading.of_input.unsettled = reading.growing and opened.age < SETTLED
            return reading.of_input.unsettled
        reading.of_input.notes.append(f"the start of {shown(one.path)}, which is known")
        return True

    def _note(self, known: Known, of_input: InputReport, *, counted: bool) -> None:
        if counted:
            number = known.mark.place.number - 1 if known.grown else known.checkpoint.lines
            self.report.lines += number
            self.report.present += known.checkpoint.events
        lines = known.checkpoint.lines
        of_input.notes.append(f"{lines:,} {'line' if lines == 1 else 'lines'} known")
        if known.trimmed:
            of_input.notes.append("its front was trimmed away")
        if known.checkpoint.redo:
            of_input.notes.append("an earlier --redo of it did not end: run it again")

    def _was_missed(self, opened: Input) -> bool:
        """Whether an input was written later than what was read of its source."""
        if self._into is None or opened.status is None:
            return False
        read = self._into.registry.of_source(self._source_of(opened))
        return bool(read) and opened.status.st_mtime_ns > max(one.mtime for one in read) > 0

    @staticmethod
    def _was_another(opened: Input, registry: Registry) -> bool:
        """Whether an input that is not recognised has the place of one that was read."""
        if opened.status is None:
            return False
        of_source = registry.of_source(opened.source)
        return bool(registry.of_file(opened.status)) or any(one.inode for one in of_source)
