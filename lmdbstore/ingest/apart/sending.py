"""Sending messages while the next ones are made.

Rules: a thread writes, and the one that sends waits only while `AHEAD` bytes are not written. So
the process runs ahead of the reader by that, the message that comes next, and the pipe.
"""

from __future__ import annotations

import os
import threading
from collections import deque

__all__ = ["AHEAD", "Sender"]

AHEAD = 8 << 20  # bytes: more than the events of one commit, which the reader saves meanwhile
ENDED = 1  # the exit status where no one reads any more


class Sender:
    """Writes messages to a pipe."""

    def __init__(self, descriptor: int) -> None:
        """Write to a descriptor; the process ends where no one reads it any more."""
        self._descriptor = descriptor
        self._waiting: deque[bytes] = deque()  # the first of them is being written
        self._size = 0
        self._changed = threading.Condition()
        self._ending = False
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    @property
    def is_ahead(self) -> bool:
        """Whether the reader has not taken all messages yet."""
        return bool(self._waiting)

    def send(self, data: bytes) -> None:
        """Send a message, when there is room for it."""
        with self._changed:
            self._changed.wait_for(lambda: self._size < AHEAD)
            self._waiting.append(data)
            self._size += len(data)
            self._changed.notify_all()

    def end(self) -> None:
        """Wait until all is written; nothing is sent after this."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        self._thread.join()

    def _write(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._ending)
                if not self._waiting:
                    return
                data = self._waiting[0]
            view = memoryview(data)
            while view:
                try:
                    view = view[os.write(self._descriptor, view) :]
                except OSError:
                    os._exit(ENDED)
            with self._changed:
                self._waiting.popleft()
                self._size -= len(data)
                self._changed.notify_all()
