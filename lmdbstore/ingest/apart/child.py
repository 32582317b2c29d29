"""The second process: it reads one input, and sends its events.

Rules: it is a fork, so it has the open input and all that is known of it; it touches no store. It
ends with the first process, which reads its messages. Interrupts, and signals for which the first
process has a handler, do not reach it: that one decides what to do then. While it is busy with the
events it has, this one makes signatures for the runs that the next ones will be in.
"""

from __future__ import annotations

import os
import signal
import time
import traceback
from functools import partial
from operator import le
from typing import TYPE_CHECKING, NoReturn

from lmdbstore.ingest.report import Report
from lmdbstore.ingest.saving import is_complete
from lmdbstore.logs.common import Batch
from lmdbstore.patterns.made import made_for

from .messages import message, of_batch, of_filters
from .sending import Sender

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lmdbstore.contract.event import Event
    from lmdbstore.ingest.reading import Reading, Start
    from lmdbstore.ingest.saving import Progressing
    from lmdbstore.logs.input_report import InputReport
    from lmdbstore.logs.readers import LineFormat

    from .messages import Fields

__all__ = ["serve"]

IGNORED = signal.SIGINT, signal.SIGTERM  # a terminal and a service manager send them to both


def serve(
    reading: Reading, start: Start, line_format: LineFormat, mask: set[int], descriptor: int
) -> NoReturn:
    """Read an input in this fork, send what it has to a pipe, and end the process.

    All signals are blocked now, and only those of `mask` later.
    """
    try:
        for number in signal.valid_signals():
            if number in IGNORED or callable(signal.getsignal(number)):
                signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        sender = Sender(descriptor)
        try:
            _read(reading, start, line_format, sender)
        except BaseException as error:  # noqa: BLE001  the first process raises one
            text, whole = f"{type(error).__name__}: {error}", traceback.format_exc()
            sender.send(message({"kind": "failed", "error": text, "traceback": whole}))
        sender.end()
    finally:
        os._exit(0)  # nothing of the first process is flushed or closed here


def _read(reading: Reading, start: Start, line_format: LineFormat, sender: Sender) -> None:
    notes = _Notes(reading.of_input)
    sink = _PipeSink(notes, sender, lambda: reading.opened.bytes_read)
    reading.choice.refuse = partial(notes.unreadable, reading.opened.name)
    reading.sink, reading.report = sink, notes
    reached = reading.run(start, line_format)
    sink.flush()
    sender.send(
        message({
            "kind": "ended",
            "checkpoint": None if reached is None else reached.text(),
            "report": reading.of_input.as_fields(),
        })
    )  # fmt: skip  # one call


class _Notes(Report):
    """A report that keeps what is noted until it is sent."""

    def __init__(self, of_input: InputReport) -> None:
        super().__init__(inputs=[of_input])
        self._taken = 0  # lines
        self._latin_lines: list[int] = []
        self._refused: list[tuple[int, str]] = []

    def unreadable(self, name: str, number: int, reason: str) -> None:  # noqa: ARG002  there is one input
        self._refused.append((number, reason))

    def latin(self, name: str, numbers: Sequence[int]) -> None:  # noqa: ARG002  there is one input
        self._latin_lines += numbers

    def take(self) -> Fields:
        """Return what was noted since the last time."""
        lines, self._taken = self.lines - self._taken, self.lines
        fields = {"lines": lines, "latin": self._latin_lines, "refused": self._refused}
        self._latin_lines, self._refused = [], []
        return fields


class _PipeSink:
    """Sends what it is given, so much at once as is saved at once; see `Sink`."""

    def __init__(self, notes: _Notes, sender: Sender, position: Callable[[], int]) -> None:
        self._notes, self._sender, self._position = notes, sender, position
        self._batch = Batch([], [])
        self._size = 0
        self._progress: Progressing | None = None
        self._sent_at = time.monotonic()

    def add(self, batch: Batch, name: str, size: int, progress: Progressing | None) -> bool:  # noqa: ARG002  there is one input
        self._batch.events.extend(batch.events)
        self._batch.numbers.extend(batch.numbers)
        self._size += size
        self._progress = progress or self._progress
        if is_complete(len(self._batch.events), self._size, self._sent_at):
            self.flush()
        return False

    def replace(self, batch: Batch, name: str, former: str) -> None:  # noqa: ARG002  there is one input
        self.flush()
        fields, parts = of_batch(batch)
        self._sender.send(message({"kind": "replace", "former": former, **fields}, parts))

    def flush(self) -> None:
        """Send what was added."""
        fields, parts = of_batch(self._batch)
        digests, filters = of_filters(self._filters())
        fields |= digests | self._notes.take()
        fields |= {"kind": "added", "size": self._size, "position": self._position()}
        if self._progress is not None:
            fields["checkpoint"] = self._progress.checkpoint().text()
        self._sender.send(message(fields, [*parts, *filters]))
        self._batch, self._size, self._progress = Batch([], []), 0, None
        self._sent_at = time.monotonic()

    def _filters(self) -> dict[bytes, bytes]:
        """Return signatures for the runs that the events will be in, as far as there is time."""
        if not self._sender.is_ahead:
            return {}
        contents = _in_time_order(self._batch.events)
        encoded = [content.encode("utf-8", "surrogatepass") for content in contents]
        return made_for(encoded, lambda: self._sender.is_ahead)


def _in_time_order(events: Sequence[Event]) -> list[str]:
    """Return the contents."""
    times = [event.timestamp for event in events]
    if not all(map(le, times, times[1:])):
        events = sorted(events, key=lambda event: event.timestamp)
    return [event.content for event in events]
