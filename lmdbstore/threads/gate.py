"""The gate: every call into LMDB passes it, so that closing, growing and forking can bar it.

Rules: an operation is inside while it calls LMDB, and never while it waits for another process or
runs the caller's code. The thread that bars the gate waits until all other threads have left.
Entering costs two list operations, which are atomic, instead of a lock: an operation announces
itself and then checks whether the gate is barred. The thread that bars the gate first sets the bar
and then checks for operations, so at least one of them sees the other.

A thread may stay inside for long (a flush of a hung disk). The thread that bars the gate waits for
it, and no other thread does: from time to time the gate is opened for them.

An interrupt (Ctrl-C) may strike after any call. So a step that must happen, above all leaving, is a
call of a built-in function and comes first in its `finally`: nothing can come in between.
"""

from __future__ import annotations

import contextlib
import threading
from threading import get_ident
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple

from lmdbstore.errors import EventStoreException, StoreClosed

from .deadline import FOREVER, Deadline
from .reentry import reentry
from .run_locked import run_locked

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Gate", "StillInside"]

T = TypeVar("T")
A = TypeVarTuple("A")

# Seconds. A waiter is notified of every change. It checks again after this time only in case an
# interrupt struck between the change and the notification.
RECHECK = 0.1
# Seconds for which others are kept out by a thread that waits, and for which they are let in then.
# Almost every operation is shorter than the first: so in that time all leave, except for one that
# is slow.
PATIENCE, RESPITE = 0.25, 0.02


class StillInside(Exception):
    """Threads were inside the gate until the deadline, so it was not barred."""


class Gate:
    """A gate that many threads may be inside at once, and that one thread may bar."""

    def __init__(self) -> None:
        """Make an open gate."""
        self._inside: list[int] = []  # the thread of each operation
        self._barred = False
        self._closed = False
        self._mutex = threading.RLock()
        self._changed = threading.Condition(self._mutex)
        self._barring = threading.RLock()
        self._barring_thread = 0  # 0 if none; its signal handlers are let in

    def run(self, work: Callable[[*A], T], *arguments: *A) -> T:
        """Run `work` inside, with these arguments; wait while the gate is barred.

        Raises:
            StoreClosed: the gate was closed for good.
        """
        thread, inside = get_ident(), self._inside
        try:
            inside.append(thread)
            if self._barred:
                self._wait_until_open(thread)
            return work(*arguments)
        finally:
            inside.remove(thread)
            if self._barred:
                self._notify()

    def _notify(self) -> None:
        run_locked(self._mutex, self._changed.notify_all)

    def _wait_until_open(self, thread: int) -> None:
        """Wait until the gate is open; the thread is announced when this returns or raises."""
        inside = self._inside
        # Two threads pass: one that is inside already (this call is a signal handler's), because it
        # is being waited for; and the one that bars the gate, because it would wait for itself.
        while self._barred and self._barring_thread != thread and inside.count(thread) == 1:
            try:
                inside.remove(thread)
                self._notify()
                run_locked(self._mutex, self._wait_while_barred)
            finally:
                inside.append(thread)
            if self._closed:
                raise StoreClosed("the store is closed; open it again")

    def _wait_while_barred(self) -> None:
        while self._barred and not self._closed:
            self._changed.wait(RECHECK)

    def bar(self, deadline: Deadline = FOREVER, *, forking: bool = False) -> None:
        """Keep all other threads out, and return when none is inside.

        Raises:
            StillInside: one was inside until the deadline, and all are let in again.
            EventStoreException: this thread is inside itself: a signal handler made the call, and
                would wait for the operation that it interrupted. A fork does not wait for its own
                thread.
        """
        thread = get_ident()
        if thread in self._inside and not forking:
            raise reentry(EventStoreException, "this call")
        try:
            if self._barring.acquire(timeout=deadline.for_lock):
                self._barring_thread = thread
                if run_locked(self._mutex, self._keep_others_out, thread, deadline):
                    return
            raise StillInside  # noqa: TRY301  then the gate is opened again
        except BaseException:
            self.unbar()
            raise

    def _keep_others_out(self, thread: int, deadline: Deadline) -> bool:
        self._barred = True
        patience = None
        while any(other != thread for other in self._inside):
            left = deadline.left
            if not left:
                return False
            if patience is not None and not patience.left:
                self._let_in_for(min(RESPITE, left))
                patience = None
            patience = patience or Deadline(PATIENCE)
            self._changed.wait(min(RECHECK, left))
        return True

    def _let_in_for(self, seconds: float) -> None:
        until = Deadline(seconds)
        self._barred = self._closed
        self._changed.notify_all()
        while left := until.left:
            self._changed.wait(left)
        self._barred = True

    def unbar(self) -> None:
        """Let all threads in again; called by the thread that barred the gate."""
        if self._barring_thread == get_ident():
            run_locked(self._mutex, self._let_in)
        with contextlib.suppress(RuntimeError):  # interrupted before `bar` had the lock
            self._barring.release()

    def _let_in(self) -> None:
        self._barred = self._closed
        self._changed.notify_all()
        self._barring_thread = 0  # last: until then an interrupted `unbar` can be repeated

    def renew(self) -> None:
        """Let a call that a forked child is inside of leave, whichever thread had a lock."""
        self._barred = self._closed
        self._barring_thread = 0
        self._mutex = threading.RLock()
        self._changed = threading.Condition(self._mutex)
        self._barring = threading.RLock()

    def keep_out(self, work: Callable[[], T], deadline: Deadline = FOREVER) -> T:
        """Run `work` while the gate is barred; raises what `bar` raises.

        An interrupt that strikes in `unbar` does not leave the gate barred for ever.
        """
        self.bar(deadline)
        try:
            return work()
        finally:
            try:
                self.unbar()
            except BaseException:
                self.unbar()
                raise

    @property
    def inside_here(self) -> bool:
        """Whether this thread is inside, or bars the gate; for calls of signal handlers."""
        return get_ident() in self._inside or self.barred_here

    @property
    def entered_here(self) -> bool:
        """Whether this thread is inside; for a fork, which bars the gate."""
        return get_ident() in self._inside

    @property
    def barred_here(self) -> bool:
        """Whether this thread bars the gate; for calls of signal handlers."""
        return self._barring_thread == get_ident()

    def close(self) -> None:
        """Keep all threads out for good; the caller has barred the gate."""
        self._closed = True

    @property
    def closed(self) -> bool:
        """Whether all threads are kept out for good."""
        return self._closed
