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
SIGNALS = signal.valid_signals()


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
    child = None
    # No signal handler must raise between the fork and the note of it, nor before the child ended.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        child = _forked(lambda descriptor: serve(reading, start, line_format, descriptor, before))
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if child is None:
            return reading.run(start, line_format)
        return _received(reading, child, start.checkpoint.name)
    finally:
        try:
            signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # a handler may raise here, after it
        finally:
            _ended(child, before)


def _ended(child: _Child | None, mask: set[int]) -> None:
    """End the second process, and let in the signals that are not in `mask`."""
    try:
        offer({})
        if child is not None:
            child.end()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


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
    """The second process."""

    def __init__(self, process: int, descriptor: int) -> None:
        self._process = process
        self._file = os.fdopen(descriptor, "rb", BUFFER)

    def messages(self) -> Iterator[tuple[Fields, Parts]]:
        """Give what the process sends, until it ends."""
        return messages(self._file)

    def why(self) -> str:
        """Return why the process has ended."""
        try:
            status = os.waitstatus_to_exitcode(os.waitpid(self._process, 0)[1])
        except ChildProcessError:  # another part of this program has waited for it
            return "ended early"
        if status >= 0:
            return f"ended early, with status {status}"
        memory = ", perhaps because memory ran out" if status == -signal.SIGKILL else ""
        return f"was ended by signal {-status}{memory}"

    def end(self) -> None:
        """End the process, if it has not ended."""
        self._file.close()
        with suppress(ChildProcessError, ProcessLookupError):  # it has ended, and was waited for
            if not os.waitpid(self._process, os.WNOHANG)[0]:
                os.kill(self._process, signal.SIGKILL)
                os.waitpid(self._process, 0)


def _forked(work: Callable[[int], None]) -> _Child | None:
    """Start a process that does some work, with the descriptor of its pipe; None if it cannot."""
    try:
        receiving, sending = os.pipe()
    except OSError:
        return None
    with suppress(AttributeError, OSError):  # another system, or its user has too many pipes
        fcntl.fcntl(sending, fcntl.F_SETPIPE_SZ, PIPE)
    try:
        process = os.fork()
    except BaseException as error:
        os.close(receiving)  # so a process that was started all the same ends
        os.close(sending)
        if isinstance(error, OSError):  # too many processes, or too little memory
            return None
        raise  # such as a warning of the fork, in a program that wants errors instead
    if not process:
        os.close(receiving)
        work(sending)
    os.close(sending)
    return _Child(process, receiving)


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
