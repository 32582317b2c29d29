"""An import: the lines of inputs become events, which are saved in batches.

Rules: an event without an id gets one made from its source, its line number and its line
(`LineIds`). The same line of the same source is thus the same event in every import, and events
that are in the store already are skipped. A line that cannot be read is counted and reported; the
rest is imported. A batch is saved completely or not at all, so an import can be stopped at any
time and run again.
"""

from __future__ import annotations

import time
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

import orjson

from lmdbstore.contract.checking import checked
from lmdbstore.contract.event import Event
from lmdbstore.errors import DuplicateEvent, InvalidEvent, shown

from .inputs import LONGEST_LINE, UnreadableInput
from .report import Report
from .times import LogClock, log_time

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lmdbstore.contract.api import EventStore

    from .inputs import Input

__all__ = ["Importer", "LineIds"]

# Events in one commit. Larger batches are faster, but a strict reader waits for a whole batch.
BATCH_EVENTS = 10_000
BATCH_BYTES = 32 << 20  # of lines: a batch of very long lines must not fill the memory
BATCH_SECONDS = 1.0  # a slow pipe is saved at least this often, when a line comes
DAY = 86_400.0  # seconds: a log may be in a time zone ahead of that of the file's time
JSON_SUFFIXES = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")


class UnreadableLine(Exception):
    """A line that cannot be made into an event; the message gives the reason."""


class _Pending(NamedTuple):
    event: Event
    name: str
    number: int


class LineIds:
    """The ids for lines of a source that have none: 32 hexadecimal digits.

    The first 8 are the BLAKE2b digest, of 4 bytes, of the source in UTF-8. The next 8 are the
    number of the line, from 1. The last 16 are the BLAKE2b digest, of 8 bytes, of the source, a
    NUL, the number in decimal digits, a NUL, and the bytes of the line without its line end. The
    ids of a file therefore ascend, and a batch touches few pages of the index of ids.
    """

    def __init__(self, source: str) -> None:
        """Make ids for the lines of `source`."""
        name = source.encode()
        self._first = blake2b(name, digest_size=4).hexdigest()
        self._digest = blake2b(name + b"\0", digest_size=8)

    def of(self, number: int, line: bytes) -> str:
        """Return the id of the line with this number."""
        digest = self._digest.copy()
        digest.update(b"%d\0%b" % (number, line))
        return f"{self._first}{number:08x}{digest.hexdigest()}"


class Importer:
    """Imports inputs into one store, and has the report."""

    def __init__(
        self,
        store: EventStore,
        *,
        tags: Sequence[str] = (),
        source: str | None = None,
    ) -> None:
        """Import into `store`; every event gets `tags`, and `source` if it has no source itself.

        `progress` may be set to a function. It is called after each batch and at the end of each
        input, with the bytes read of the current input, and the lines read of all inputs.

        Raises:
            InvalidEvent: the tags or the source cannot be stored.
        """
        self._tags = checked(Event("any", source or "", 0.0, tags)).tags
        self._source = source
        self.report = Report()
        self._saver = _Saver(store, self.report)
        self.progress: Callable[[int, int], None] = lambda _bytes, _lines: None

    def read(self, opened: Input, line_format: str = "auto") -> None:
        """Import one input. `line_format` is "lines", "jsonl", or "auto": by the input's name.

        Raises:
            EventStoreException: the store failed; committed events stay.
        """
        source = opened.source if self._source is None else self._source
        json = line_format == "jsonl" or (
            line_format == "auto" and opened.name.lower().endswith(JSON_SUFFIXES)
        )
        lines = _Lines(opened, source, self._tags, self.report)
        self._read(opened, lines.from_json if json else lines.from_text)
        self.progress(opened.bytes_read, self.report.lines)

    def finish(self) -> Report:
        """Save the last batch, and return the report. Raises what `read` raises."""
        self._saver.flush()
        self.report.seconds = time.perf_counter() - self.report.started
        return self.report

    def _read(self, opened: Input, to_event: Callable[[int, bytes], Event]) -> None:
        number = 0
        try:
            for number, line in enumerate(opened.lines(), 1):
                self._read_line(opened, to_event, number, line)
        except UnreadableInput as error:
            self.report.unreadable(opened.name, number + 1, f"{error}; the rest is skipped")

    def _read_line(
        self,
        opened: Input,
        to_event: Callable[[int, bytes], Event],
        number: int,
        line: bytes | None,
    ) -> None:
        report = self.report
        report.lines += 1
        if line is None:
            report.unreadable(opened.name, number, f"longer than {LONGEST_LINE >> 20} MiB")
        elif not line or line.isspace():
            report.blank += 1
        else:
            try:
                event = to_event(number, line)
            except UnreadableLine as error:
                report.unreadable(opened.name, number, str(error))
                return
            if self._saver.add(event, opened.name, number, len(line)):
                self.progress(opened.bytes_read, report.lines)


class _Lines:
    """Makes the lines of one input into events."""

    def __init__(self, opened: Input, source: str, tags: list[str], report: Report) -> None:
        self._name = opened.name
        self._source = source
        self._tags = tags
        self._report = report
        self._latest = opened.mtime + DAY
        self._clock = LogClock(self._latest)
        self._seconds = opened.mtime  # until a line has a time
        self._ids = LineIds(source)

    def from_text(self, number: int, line: bytes) -> Event:
        try:
            content = line.decode()
        except UnicodeDecodeError:
            content = line.decode("utf-8", "backslashreplace")
            self._report.not_utf8(self._name, number)
        return Event(
            self._ids.of(number, line),
            self._source,
            self._time(content),
            self._tags,
            content,
        )

    def from_json(self, number: int, line: bytes) -> Event:
        try:
            found = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise UnreadableLine(f"not JSON: {error.msg} at column {error.colno}") from None
        if not isinstance(found, dict) or "content" not in found:
            raise UnreadableLine('not an event: give a JSON object with "content"')
        unknown = found.keys() - set(Event._fields)
        if unknown:
            names = ", ".join(sorted(unknown))
            raise UnreadableLine(f"not an event: an event has no field {names}; remove it")
        try:
            return self._from_fields(number, line, **found)
        except InvalidEvent as error:
            raise UnreadableLine(str(error)) from None

    def _from_fields(  # noqa: PLR0913  the fields of an event
        self,
        number: int,
        line: bytes,
        *,
        id: str | None = None,  # noqa: A002  the field's name in the contract
        source: str | None = None,
        timestamp: float | str | None = None,
        tags: list[str] | None = None,
        content: str | None = None,
    ) -> Event:
        event = checked(
            Event(
                self._ids.of(number, line) if id is None else id,
                self._source if source is None else source,
                0.0,
                tags,
                content,
            )
        )
        tags = list(dict.fromkeys([*event.tags, *self._tags]))
        seconds = self._stated_time(timestamp, event.content)
        event = checked(event._replace(timestamp=seconds, tags=tags))
        self._seconds = event.timestamp
        return event

    def _stated_time(self, timestamp: float | str | None, content: str) -> float:
        if timestamp is None:
            return self._time(content)
        if not isinstance(timestamp, str):
            return timestamp
        seconds = log_time(timestamp, self._latest)
        if seconds is None:
            raise UnreadableLine(
                f"timestamp: {shown(timestamp)} is not a time; give seconds since 1970, or ISO 8601"
            )
        return seconds

    def _time(self, content: str) -> float:
        seconds = self._clock.read(content)
        if seconds is None:
            return self._seconds
        self._seconds = seconds
        return seconds


class _Saver:
    """Saves events in batches, without those that are in the store already."""

    def __init__(self, store: EventStore, report: Report) -> None:
        self._store = store
        self._report = report
        self._pending: list[_Pending] = []
        self._bytes = 0
        self._expecting = False  # the last batch had events that were in the store already
        self._saved_at = time.monotonic()

    def add(self, event: Event, name: str, number: int, size: int) -> bool:
        """Add an event, made from `size` bytes; return True if this saved a batch."""
        self._pending.append(_Pending(event, name, number))
        self._bytes += size
        if (
            len(self._pending) < BATCH_EVENTS
            and self._bytes < BATCH_BYTES
            and time.monotonic() < self._saved_at + BATCH_SECONDS
        ):
            return False
        self.flush()
        return True

    def flush(self) -> None:
        """Save the pending events."""
        pending, self._pending, self._bytes = self._pending, [], 0
        # While all events are new, saving without asking first is cheaper.
        if self._expecting or not self._saved(pending):
            absent = self._absent(pending)
            if not self._saved(absent):  # one is invalid, or was saved a moment ago
                self._save_apart(absent)
        self._saved_at = time.monotonic()

    def _saved(self, pending: list[_Pending]) -> bool:
        """Save all and return True, or none and return False if one of them is refused."""
        try:
            if pending:
                self._report.new += self._store.save_many([one.event for one in pending])
        except (DuplicateEvent, InvalidEvent):
            return False
        return True

    def _save_apart(self, pending: list[_Pending]) -> None:
        """Save what can be saved, by halves: a commit for each event would take too long."""
        middle = len(pending) // 2
        if not middle:
            self._save_one(*pending)
            return
        for half in (pending[:middle], pending[middle:]):
            if not self._saved(half):
                self._save_apart(half)

    def _save_one(self, one: _Pending) -> None:
        try:
            self._store.save(one.event)
            self._report.new += 1
        except DuplicateEvent:
            self._report.present += 1
        except InvalidEvent as error:
            self._report.unreadable(one.name, one.number, str(error))

    def _absent(self, pending: list[_Pending]) -> list[_Pending]:
        """Return the events that are not in the store, each id once."""
        by_id = {one.event.id: one for one in reversed(pending)}
        with self._store.snapshot() as view:
            absent = [one for event_id, one in by_id.items() if event_id not in view]
        self._report.present += len(pending) - len(absent)
        self._expecting = len(absent) < len(pending)
        absent.reverse()
        return absent
