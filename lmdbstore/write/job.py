"""A job: a change in the writer's queue, with the thread that waits for it and its outcome."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lmdbstore.errors import EventStoreException
    from lmdbstore.opening.place import Place
    from lmdbstore.threads.deadline import Deadline

    from .change import Change

__all__ = ["Job"]

# Seconds. A waiting caller is woken when its change is done or when it becomes the leader. It wakes
# by itself after this time only in case Ctrl-C struck the thread that should have woken it.
PATIENCE = 1.0


class Job:
    """A change that waits for a leader, and its outcome."""

    __slots__ = ("_latch", "_woken", "change", "done", "error", "place", "thread", "withdrawn")

    def __init__(self, change: Change, place: Place) -> None:
        self.thread = threading.get_ident()
        self.change = change
        self.place = place
        self.done = False
        self.withdrawn = False  # whether its caller waits no longer
        self.error: EventStoreException | None = None
        self._latch: threading.Lock | None = None
        self._woken = False

    def wait(self, deadline: Deadline) -> None:
        """Sleep until woken, or until the deadline; an earlier wake counts too."""
        if self._latch is None:
            latch = threading.Lock()
            latch.acquire()
            self._latch = latch
        if not self._woken:
            self._latch.acquire(timeout=min(PATIENCE, deadline.left))
        self._woken = False

    def wake(self) -> None:
        """Wake the caller, now or in its next `wait`."""
        self._woken = True
        if self._latch is not None:
            with contextlib.suppress(RuntimeError):  # it was not asleep
                self._latch.release()

    def end(self, error: EventStoreException | None) -> None:
        """Report the outcome."""
        self.error = error
        self.done = True  # last: a thread that sees it reads the error next
