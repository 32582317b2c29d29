"""A change: one caller's work on the databases, made in its own thread and applied by the writer.

A job is a change in the writer's queue, with the thread that waits for it and its outcome.

Rules: a change keeps all indexes in step with the records. It finds every error of the caller
before it writes anything, and `apply` returns the error; only a change that is alone in its
transaction may find it later. An exception raised by `apply` ends the transaction.
"""

from __future__ import annotations

import contextlib
import threading
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from lmdbstore.processes.write_set import EVERYTHING, Fields

if TYPE_CHECKING:
    from lmdbstore.errors import EventStoreException
    from lmdbstore.opening.place import Place
    from lmdbstore.threads.deadline import Deadline

    from .transaction import WriteTransaction

__all__ = ["Change", "EmptyCommit", "Job"]

# Seconds. A waiting caller is woken when its change is done or when it becomes the leader. It wakes
# by itself after this time only in case Ctrl-C struck the thread that should have woken it.
PATIENCE = 1.0


class Change(ABC):
    """One caller's change, made and checked in the caller's thread."""

    alone: ClassVar[bool] = False  # whether it needs a transaction of its own
    frees: ClassVar[bool] = False  # whether it frees space, and so may use the reserve for deletes
    writes: Fields = EVERYTHING  # the events that it may add or remove; not too few

    @abstractmethod
    def apply(self, txn: WriteTransaction) -> EventStoreException | None:
        """Carry it out; return None, or the error if it is refused and nothing was changed."""


class EmptyCommit(Change):
    """Change nothing, and commit: then pages freed by the transaction before may be used."""

    alone = True
    frees = True

    def apply(self, txn: WriteTransaction) -> EventStoreException | None:
        """See `Change.apply`."""
        txn.changed = True
        return None


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
