"""The bounded queue of one process, and the thread that writes what is in it.

Rules: lines are written in the order in which they were put. A line is taken from the queue once,
and then it is written, or counted as dropped. The queue is `SimpleQueue`, whose `put` a signal
handler may call at any moment. A waiter puts a mark behind its lines: the thread sets the mark when
it has done with all that is in front of it. A forked child has a sender of its own, and never
touches that of its parent, which belongs to a thread that the child does not have.

If there is no thread, since the interpreter is ending or the sender was stopped, the caller's
thread does its work.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from lmdbstore.errors import (
    EventStoreException,
    InvalidEvent,
    ReadOnlyStore,
    StoreClosed,
    StoreMoved,
)
from lmdbstore.threads.run_locked import run_locked

from .records import Line, cleaned, dropped_event, event_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmdbstore.contract.event import Event
    from lmdbstore.threads.deadline import Deadline

    from .target import Target

__all__ = ["Sender"]

BATCH = 1024  # events that are saved at once, at most
# Seconds for which lines are collected, unless a thread waits for them. A flush for each line, and
# a change of threads for each line, would slow down the caller.
COLLECTED = 0.02
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0  # seconds until a write that failed is tried again
GRACE = 0.5  # seconds in which the thread notices that it is to give up

FULL = "the queue was full"
REFUSED = "the store refused them"
INTERRUPTED = "an interrupt came while they were written"
LATE = "they could not be written before the end"


class _Mark:
    """What a waiter puts in the queue."""

    __slots__ = ("done",)

    def __init__(self) -> None:
        self.done = threading.Event()


class Sender:
    """Writes lines to a store, in the process that made it."""

    def __init__(
        self,
        target: Target,
        tags: list[str],
        limit: float | None,
        report: Callable[[Exception, str], None],
    ) -> None:
        """Write to `target`; `limit` is in seconds, and bounds one write.

        `report` is called with an exception while it is handled, and says what became of the lines.
        `tags` are those of the event that tells of dropped lines.
        """
        self.pid = os.getpid()
        self.waits = False  # whether every caller waits for its line
        self.queue: SimpleQueue[Line | _Mark | None] = SimpleQueue()
        self.stopped = False
        self.writing = 0  # the thread that writes at this moment, or waits for lines
        self._target = target
        self._tags = tags
        self._limit = limit
        self._report = report
        self._reported: type[Exception] | None = None
        self._hurry = threading.Event()
        self._given_up = threading.Event()
        self._lock = threading.RLock()  # around the counts, and the start of the thread
        self._turn = threading.RLock()  # of the threads that do the work of the thread
        self._thread: threading.Thread | None = None
        self._drops: Counter[str] = Counter()
        self._told: Counter[str] = Counter()

    @property
    def dropped(self) -> int:
        """The number of lines that were not written, and will not be."""
        return self._drops.total()

    def drop(self, reason: str, number: int = 1) -> None:
        """Count lines that are not written."""
        run_locked(self._lock, self._count, reason, number)

    def _count(self, reason: str, number: int) -> None:
        self._drops[reason] += number

    # -- in the caller's thread -------------------------------------------------------------------

    def put(self, line: Line) -> None:
        """Hand a line to the thread."""
        self.queue.put(line)
        if self._thread is None and not self.stopped:
            run_locked(self._lock, self._start)
        if self.stopped:  # perhaps since the line was put: then it may be behind the end
            self._work_here()

    def _start(self) -> None:
        if self._thread is None and not self.stopped:
            # Noted first: a signal handler may come here too, and must not start another one.
            self._thread = threading.Thread(
                target=self._run, name="lmdbstore.LoggingHandler", daemon=True
            )
            try:
                self._thread.start()
            except RuntimeError:  # the interpreter is ending
                self.stopped = True

    def wait(self, deadline: Deadline) -> bool:
        """Wait until the lines that were put are written or dropped; False: not by the deadline."""
        if self.writing == threading.get_ident():
            return False  # it would wait for itself
        if self.stopped:
            self._work_here()
            return True
        if self._thread is None:  # nothing was put
            return True
        mark = _Mark()
        self.queue.put(mark)
        self._hurry.set()
        if self.stopped:  # since it was looked at: then the mark may be behind the end
            self._work_here()
        left = None if deadline.limit is None else deadline.left
        return mark.done.wait(left)

    def stop(self, deadline: Deadline) -> bool:
        """Write what is left and end the thread; from now on callers write themselves.

        What is not written at the deadline is dropped. Returns False if a write is under way then.
        """
        thread = run_locked(self._lock, self._last_thread)
        if not self.stopped and thread is not None and thread.ident is not None:
            self.queue.put(None)
            self._hurry.set()
            thread.join(None if deadline.limit is None else deadline.left)
            self._given_up.set()  # also for what other threads do here from now on: no pauses
            thread.join(GRACE)
            if thread.is_alive():
                return False
        self._given_up.set()
        self.stopped = True
        self._work_here()
        return True

    def _last_thread(self) -> threading.Thread | None:
        """Return the thread; if there is none, none is started from now on."""
        self.stopped |= self._thread is None
        return self._thread

    # -- in the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        self.writing = threading.get_ident()
        try:
            while self._next_batch(self.queue.get(), COLLECTED):
                if self.queue.empty():
                    self._tell_of_drops()
            self._tell_of_drops()
        finally:
            self.stopped = True
            self.writing = 0

    def _work_here(self) -> None:
        """Do the work of the thread, which is not there, in this one."""
        run_locked(self._turn, self._drain)

    def _drain(self) -> None:
        if self.writing == threading.get_ident():
            return  # the store, or a signal handler, logs: the call that it interrupts goes on
        if (thread := self._thread) is not None and thread.ident and thread.is_alive():
            thread.join(GRACE)  # it has just come to its end
        self.writing = threading.get_ident()
        try:
            while not self.queue.empty():
                self._next_batch(self.queue.get(), 0)
            self._tell_of_drops()
        finally:
            self.writing = 0

    def _next_batch(self, first: Line | _Mark | None, collected: float) -> bool:
        """Write the next lines, and wake those that wait for them; False at the end."""
        if collected:
            self._hurry.wait(collected)
            self._hurry.clear()  # before the queue is read: each mark comes before it is set
        taken = [first]
        while len(taken) < BATCH:
            try:
                taken.append(self.queue.get_nowait())
            except Empty:
                break
        else:
            self._hurry.set()  # there may be a mark among the others
        try:
            if lines := [item for item in taken if isinstance(item, Line)]:
                self._write([event_of(line) for line in lines])
        finally:
            for item in taken:
                if isinstance(item, _Mark):
                    item.done.set()
        return None not in taken

    def _tell_of_drops(self) -> None:
        if self._drops != self._told and not self._given_up.is_set():
            self._write([])

    def _write(self, events: list[Event]) -> None:
        """Save events and how many were dropped; try again, or count them as dropped."""
        drops = run_locked(self._lock, self._drops.copy)
        new = drops - self._told
        told = [dropped_event(new.total(), new, self._tags)] if new else []
        try:
            saved = self._saved(events, told)
        except BaseException:  # Ctrl-C, where this is the caller's thread
            self.drop(INTERRUPTED, len(events))
            raise
        if saved:
            self._told = drops
        elif events:
            self.drop(LATE if self._given_up.is_set() else REFUSED, len(events))

    def _saved(self, events: list[Event], told: list[Event]) -> bool:
        pause, clean = FIRST_PAUSE, False
        while True:
            try:
                self._target.save(events + told, self._limit)
                self._reported = None
                return True
            except InvalidEvent as error:
                if clean:
                    return self._each_saved(events, told, error)
                events[:] = map(cleaned, events)
                clean = True
                continue
            except Exception as error:  # noqa: BLE001  whatever a store raises, the thread goes on
                if isinstance(error, StoreMoved) and error.committed:
                    self._tell(error, "the records are in the store that moved")
                    return True
                if self._final(error):
                    self._tell(error, "the records are dropped")
                    return False
                self._tell(error, "it is tried again")
            self._given_up.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _each_saved(self, events: list[Event], told: list[Event], error: InvalidEvent) -> bool:
        """Save each event alone, because one of them is invalid; return whether `told` is saved."""
        if len(events) > 1:
            for event in events:
                if not self._saved([event], []):
                    self.drop(REFUSED)
            events.clear()
            return self._saved([], told) if told else True
        self._tell(error, "the record is dropped")
        return False

    def _final(self, error: Exception) -> bool:
        """Whether it is of no use to try again, or too late."""
        if self._given_up.is_set() or not isinstance(error, EventStoreException):
            return True
        if isinstance(error, StoreClosed):
            return not self._target.reopens
        return isinstance(error, ReadOnlyStore)

    def _tell(self, error: Exception, outcome: str) -> None:
        """Report an error, but not each time that it comes again."""
        if self._reported is not type(error):
            self._reported = type(error)
            self._report(error, outcome)
