"""Sending messages while the next ones are made.

Rules: a thread writes, and the one that sends waits only while `AHEAD` bytes are not written. So
the process runs ahead of the reader by that, the message that comes next, and the pipe. Where no
thread can be started, each message is written before the next one is made.
"""

from __future__ import annotations

import os
import threading
from queue import SimpleQueue

__all__ = ["AHEAD", "Sender"]

AHEAD = 8 << 20  # bytes: more than the events of one commit, which the reader saves meanwhile
ENDED = 1  # the exit status where no one reads any more, or nothing can be written


class Sender:
    """Writes messages to a pipe."""

    def __init__(self, descriptor: int) -> None:
        """Write to a descriptor; the process ends where no one reads it any more."""
        self._descriptor = descriptor
        self._waiting: SimpleQueue[bytes | None] = SimpleQueue()  # None: nothing comes any more
        self._sent = 0  # bytes; the thread that sends counts them
        self._written = 0  # bytes; the thread that writes counts them
        self._more_written = threading.Event()
        self._thread: threading.Thread | None = threading.Thread(target=self._write, daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # too many threads and processes
            self._thread = None

    @property
    def is_ahead(self) -> bool:
        """Whether the reader has not taken all messages yet."""
        return self._written < self._sent

    def send(self, data: bytes) -> None:
        """Send a message, when there is room for it."""
        if self._thread is None:
            self._write_all(data)
            return
        while self._sent - self._written >= AHEAD:
            self._more_written.clear()
            if self._sent - self._written >= AHEAD:  # else it was written before the call above
                self._more_written.wait()
        self._sent += len(data)
        self._waiting.put(data)

    def end(self) -> None:
        """Wait until all is written; nothing is sent after this."""
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join()

    def _write(self) -> None:
        while (data := self._waiting.get()) is not None:
            self._write_all(data)
            self._written += len(data)
            self._more_written.set()

    def _write_all(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._descriptor, view) :]
            except BaseException:  # noqa: BLE001  the other thread must not wait for ever
                os._exit(ENDED)
