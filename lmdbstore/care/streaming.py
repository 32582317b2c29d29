"""The data file as it is: what LMDB writes into a pipe, taken from it piece by piece.

So the progress is known, and a copy can be ended: where nobody takes any more, LMDB's next write
fails. Rules: LMDB is behind the gate while it writes, and who closes the store or forks waits for
it. So the thread that asks for the copy does not take the pieces itself: its progress function, or
a signal handler, may be the one who waits. It only watches two threads of ours, to which all
descriptors belong: no interrupt strikes there. And it waits in built-in code alone: the waits of
`threading` tell an interrupt as another error, where it strikes at their end.
"""

from __future__ import annotations

import _thread
import os
import signal
from queue import SimpleQueue
from typing import TYPE_CHECKING, TypeVarTuple

from lmdbstore.errors import EventWriteException

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

    from lmdbstore.engine.environment import Environment

__all__ = ["copy_file"]

A = TypeVarTuple("A")

PIECE = 1 << 20  # bytes that are taken at once


def copy_file(environment: Environment, name: str, mode: int, watch: Callable[[int], None]) -> None:
    """Write one state of the data file to the new file `name`, and flush it.

    `watch` is told how many bytes are written. If it raises, the copy is ended.

    Raises:
        OSError, EventReadException, EventWriteException: it could not be done.
    """
    stream = _Stream(environment, name, mode)
    try:
        _start(stream.take)
        while not stream.ended:
            stream.news.get()
            watch(stream.size)
    finally:
        stream.stopped = True
        if not stream.is_called_off():
            while not stream.ended:
                stream.news.get()
    if stream.failure is not None:
        raise stream.failure


def _start(work: Callable[[*A], object], *arguments: *A) -> None:
    try:
        _thread.start_new_thread(work, arguments)
    except RuntimeError as error:
        raise EventWriteException(
            f"a thread that copies could not be started: {error}; see how many there may be"
        ) from error


class _Stream:
    """A copy that is under way."""

    def __init__(self, environment: Environment, name: str, mode: int) -> None:
        self._environment = environment
        self._name = name
        self._mode = mode
        self.size = 0  # bytes written
        self.stopped = False  # by who asked for it
        self.ended = False
        self.news: SimpleQueue[None] = SimpleQueue()  # for who asked for it
        self.failure: BaseException | None = None
        self._turn = [None]  # for who is first: the thread that takes, or who calls it off

    def is_called_off(self) -> bool:
        """Whether it has not begun, and now never will: an interrupt struck as it was started."""
        return self._is_first()

    def _is_first(self) -> bool:
        try:
            self._turn.pop()
        except IndexError:
            return False
        return True

    def take(self) -> None:
        """Take what LMDB writes, until its end or until it is told to stop."""
        if not self._is_first():
            return
        try:
            self._take()
        except BaseException as error:  # noqa: BLE001  raised in the thread that asked
            self.failure = error
        finally:
            self.ended = True
            self.news.put(None)

    def _take(self) -> None:
        sent: SimpleQueue[BaseException | None] = SimpleQueue()
        begun, failure = False, None
        with open(self._name, "xb", buffering=0) as file:
            source, sink = os.pipe()
            try:
                # The pipe is closed before LMDB is waited for: then its next write fails.
                with os.fdopen(source, "rb", buffering=0) as pipe:
                    try:
                        _start(self._send, sink, sent)
                    except EventWriteException:
                        os.close(sink)
                        raise
                    begun = True
                    while (piece := pipe.read(PIECE)) and not self.stopped:
                        self._write(file, piece)
            finally:
                failure = sent.get() if begun else None
            if failure is not None:
                raise failure
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), self._mode)

    def _write(self, file: BinaryIO, piece: bytes) -> None:
        left = memoryview(piece)
        while left:
            left = left[file.write(left) :]
        self.size += len(piece)
        if self.news.empty():  # else it will be told of this piece too
            self.news.put(None)

    def _send(self, sink: int, sent: SimpleQueue[BaseException | None]) -> None:
        # Where an application lets SIGPIPE end it, the end of a copy would.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGPIPE})
        failure: BaseException | None = None
        try:
            self._environment.copy(sink)
        except BaseException as error:  # noqa: BLE001  raised in the thread that asked
            failure = error
        finally:
            os.close(sink)
            sent.put(failure)
