"""Group commit: threads that write at the same moment share a transaction.

Rules: a caller queues its change and leads if no other thread does. The leader waits for the lock
of the store in the server, and then takes its own change and all that wait; so a change that is
still in the queue was not written, and its caller may withdraw it when its time is over. If a
leader has taken it, its outcome is unknown until the leader says it. What ends a leader, such as
Ctrl-C, is reported to the others of its batch.
"""

from __future__ import annotations

import threading
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from lmdbstore.errors import EventWriteException, WriteBusy
from lmdbstore.threads.reentry import reentry
from lmdbstore.threads.run_locked import run_if_free

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmdbstore.errors import EventStoreException
    from lmdbstore.threads.deadline import Deadline

    from .changes import Change

__all__ = ["Group", "Job"]

MOST = 1024  # changes in a batch, which bounds how long a caller waits
PATIENCE = 1.0  # seconds; in case an interrupt struck the thread that should have woken another one


class Job:
    """A change that waits for a leader, and its outcome."""

    __slots__ = ("_latch", "change", "done", "error")

    def __init__(self, change: Change) -> None:
        """Wait with a change."""
        self.change = change
        self.done = False
        self.error: EventStoreException | None = None
        self._latch = threading.Event()

    def wait(self, deadline: Deadline) -> None:
        """Sleep until woken, or until the deadline."""
        self._latch.wait(min(PATIENCE, deadline.left))
        self._latch.clear()

    def wake(self) -> None:
        """Wake the caller, now or in its next `wait`."""
        self._latch.set()

    def end(self, error: EventStoreException | None = None) -> None:
        """Report the outcome."""
        self.error = error
        self.done = True
        self.wake()


class Carrier(Protocol):
    """Carries out the changes of a batch, and reports to each job its outcome."""

    def __call__(self, take: Callable[[], list[Job]], deadline: Deadline) -> None:
        """Wait for the lock, take the batch and carry it out.

        Raises:
            EventStoreException: nothing was taken.
        """


class Group:
    """The writers of one store object."""

    def __init__(self, carry_out: Carrier) -> None:
        """Let leaders carry out their batches."""
        self._carry_out = carry_out
        self._leading = threading.RLock()
        self._leader = 0
        self._queue: deque[Job] = deque()

    @property
    def leads_here(self) -> bool:
        """Whether this thread leads: then the caller is a signal handler."""
        return self._leader == threading.get_ident()

    def write(self, change: Change, deadline: Deadline) -> None:
        """Carry out a change; when this returns it is committed.

        Raises:
            WriteBusy: others wrote until the deadline.
            EventStoreException: the change was refused, or could not be written.
        """
        if self.leads_here:
            raise reentry(EventWriteException, "a write")
        job = Job(change)
        self._queue.append(job)
        try:
            while not job.done:
                if run_if_free(self._leading, self._lead, job, deadline):
                    self._wake_next()
                elif deadline.left:
                    job.wait(deadline)
                else:
                    self._give_up(job, deadline)
        finally:
            with suppress(ValueError):  # it is not there any more
                self._queue.remove(job)
            self._wake_next()
        if job.error is not None:
            raise job.error

    def _give_up(self, job: Job, deadline: Deadline) -> None:
        try:
            self._queue.remove(job)
        except ValueError:
            written = (
                "another thread had begun to write this change together with its own, so it is not "
                "known whether it will be written: search for it later"
            )
        else:
            written = "nothing was written"
        if not job.done:
            raise WriteBusy(
                f"the store is busy: waited {deadline.limit or 0:.3g} s for other threads of this "
                f"process that write; {written}; wait longer (timeout=)"
            )

    def _lead(self, own: Job, deadline: Deadline) -> None:
        batch: list[Job] = []

        def take() -> list[Job]:
            with suppress(ValueError):
                self._queue.remove(own)
            batch.append(own)
            while self._queue and len(batch) < MOST:
                batch.append(self._queue.popleft())
            return batch

        if own.done:
            return
        try:
            self._leader = threading.get_ident()
            self._carry_out(take, deadline)
        finally:
            self._leader = 0
            for job in batch[1:]:
                if not job.done:
                    job.end(
                        EventWriteException(
                            "the thread that wrote this change together with its own was "
                            "interrupted, so it is not known whether it was written; repeat it "
                            "(on_duplicate='ignore')"
                        )
                    )

    def _wake_next(self) -> None:
        with suppress(IndexError):  # there is none
            self._queue[0].wake()
