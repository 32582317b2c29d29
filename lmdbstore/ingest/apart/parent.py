"""Reading in a second process, from the one that saves.

Rules: only a large regular file is read so; not one that is followed, nor to replace its events.
Otherwise, and where no process can be started, the input is read here. Events, checkpoints and
report are the same either way: only this process saves, and only what it has received whole. The
second process is a fork: it inherits the open file, which may have another name by now, and leaves
the stores of this process alone, see `threads.forking`. It never survives this call.
"""

from __future__ import annotations

import fcntl
import os
import signal
from contextlib import suppress
from functools import partial
from itertools import chain, starmap
from typing import TYPE_CHECKING, NamedTuple

from lmdbstore.errors import EventReadException
from lmdbstore.patterns.made import offer
from lmdbstore.resume.checkpoint import Checkpoint

from .child import serve
from .messages import batch_in, filters_in, messages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lmdbstore.ingest.reading import Reading, Start
    from lmdbstore.logs.readers import LineFormat

    from .messages import Fields, Parts

__all__ = ["processors", "read_apart"]

LEAST = 8 << 20  # bytes of text that are left to read; two processes take longer for less
UNPACKED = 4  # bytes of text in a packed byte, at a low guess
BUFFER = 1 << 18  # bytes
PIPE = 1 << 20  # bytes, the most that Linux gives every user: fewer switches between the two


def processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "process_cpu_count"):
        return os.process_cpu_count() or 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def read_apart(reading: Reading, start: Start, line_format: LineFormat) -> Checkpoint | None:
    """Read an input as `Reading.run` does, in a second process if that is faster.

    Raises:
        EventStoreException: the store failed.
        EventReadException: the second process was killed, or failed. What was saved stays, and
            another import continues from there.
    """
    if not _pays(reading, start):
        return reading.run(start, line_format)
    child = _Child()
    try:
        if not _started(child, reading, start, line_format):
            return reading.run(start, line_format)
        return _received(reading, child, start.checkpoint.name)
    finally:
        try:
            child.end()
        except BaseException:  # a signal handler has raised it
            child.end()
            raise
        finally:
            offer({})


def _started(child: _Child, reading: Reading, start: Start, line_format: LineFormat) -> bool:
    """Start the second process; return whether that was possible.

    All signals are blocked meanwhile: they would call handlers of this process in that one.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        return child.start(partial(serve, reading, start, line_format, before))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _pays(reading: Reading, start: Start) -> bool:
    status = reading.opened.status
    if status is None or reading.growing or start.redo is not None:
        return False
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:  # then no process can be waited for
        return False
    if reading.opened.is_packed:
        return status.st_size * UNPACKED >= LEAST
    return status.st_size - start.mark.place.offset >= LEAST


class _Child:
    """The second process, and the pipe from it.

    Where a descriptor, or its id, is noted, that is one call with the one that makes it: so no
    signal handler can raise an exception in between.
    """

    def __init__(self) -> None:
        """Prepare it; `start` starts it, and `end` ends it."""
        self._ends: list[int] = []  # of the pipe: where this process reads, where that one writes
        self._processes: list[int] = []  # its id, when it was started

    def start(self, work: Callable[[int], None]) -> bool:
        """Start a process that does some work, with its end of the pipe; False if it cannot."""
        try:
            self._ends.extend(chain.from_iterable(starmap(os.pipe, [()])))
            with suppress(AttributeError, OSError):  # another system, or too many pipes
                fcntl.fcntl(self._ends[1], fcntl.F_SETPIPE_SZ, PIPE)
            self._processes.extend(starmap(os.fork, [()]))
        except OSError:  # too many files or processes, or too little memory
            self.end()
            return False
        if not self._processes[0]:
            os.close(self._ends[0])
            work(self._ends[1])
        os.close(self._ends.pop())
        return True

    def messages(self) -> Iterator[tuple[Fields, Parts]]:
        """Give what the process sends, until it ends."""
        with open(self._ends[0], "rb", BUFFER, closefd=False) as file:
            yield from messages(file)

    def why(self) -> str:
        """Return why the process has ended."""
        try:
            status = os.waitstatus_to_exitcode(os.waitpid(self._processes[0], 0)[1])
        except ChildProcessError:  # another part of this program has waited for it
            return "ended early"
        if status >= 0:
            return f"ended early, with status {status}"
        memory = ", perhaps because memory ran out" if status == -signal.SIGKILL else ""
        return f"was ended by signal {-status}{memory}"

    def end(self) -> None:
        """End the process, if it has not ended. If a signal handler raises, call it again."""
        while self._ends:  # a process that was started, but is not noted, ends by this
            os.close(self._ends.pop())
        with suppress(ChildProcessError, ProcessLookupError):  # it has ended, and was waited for
            for process in self._processes:
                if not os.waitpid(process, os.WNOHANG)[0]:
                    os.kill(process, signal.SIGKILL)
                    os.waitpid(process, 0)


class _Sent(NamedTuple):
    """The progress of the second process, as it was with some events."""

    name: str
    text: str

    def checkpoint(self) -> Checkpoint:
        """See `Progress.checkpoint`."""
        found = Checkpoint.of(self.name, self.text)
        assert found is not None  # noqa: S101  our own text
        return found


def _received(reading: Reading, child: _Child, checkpoint: str) -> Checkpoint | None:
    """Save what the process sends; return its last checkpoint, which has a name."""
    sink, name = reading.sink, reading.opened.name
    for fields, parts in child.messages():
        kind = fields["kind"]
        if kind == "added":
            _note(reading, fields)
            offer(filters_in(fields, parts))
            text = fields.get("checkpoint")
            progress = None if text is None else _Sent(checkpoint, text)
            if sink.add(batch_in(fields, parts), name, fields["size"], progress):
                reading.saved()
        elif kind == "replace":
            sink.replace(batch_in(fields, parts), name, fields["former"])
        elif kind == "ended":
            reading.of_input.take_fields(fields["report"])
            text = fields["checkpoint"]
            return None if text is None else _Sent(checkpoint, text).checkpoint()
        elif kind == "failed":
            error = EventReadException(f"{name} cannot be read: {fields['error']}")
            error.add_note(fields["traceback"])
            raise error
    raise EventReadException(
        f"the process that reads {name} {child.why()}; "
        "what was saved stays: run the import again to continue"
    )


def _note(reading: Reading, fields: Fields) -> None:
    report, name = reading.report, reading.opened.name
    reading.opened.pass_to(fields["position"])
    report.lines += fields["lines"]
    report.latin(name, fields["latin"])
    for number, reason in fields["refused"]:
        report.unreadable(name, number, reason)
