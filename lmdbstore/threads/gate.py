"""The gate: every call into LMDB passes it, so that closing, growing and forking can keep all out.

Rules: an operation is inside while it calls LMDB, and never while it waits for another process or
runs the caller's code. Who bars the gate waits until everyone has left. Entering costs two list
operations, which are atomic, in place of a lock: an operation announces itself and then looks at
the bar, and who bars does it the other way round, so at least one of them sees the other.

An interrupt (Ctrl-C) may strike behind any call. So what has to happen, leaving above all, is a
call of a built-in function that stands first in its `finally`: nothing can come in between.
"""

from __future__ import annotations

import contextlib
import threading
from threading import get_ident
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple

from lmdbstore.errors import EventStoreException, StoreClosed

from .reentry import reentry

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Gate"]

T = TypeVar("T")
A = TypeVarTuple("A")

# Seconds. A waiter is told of every change; it looks again after so long only in case that an
# interrupt struck between the change and the telling.
RECHECK = 0.1


class Gate:
    """A gate that many may be behind at once, and that one may bar."""

    def __init__(self) -> None:
        """Make an open gate."""
        self._inside: list[int] = []  # the thread of each operation
        self._barred = False
        self._closed = False
        self._changed = threading.Condition()
        self._barring = threading.RLock()
        self._barrer = 0  # the thread that bars the gate; its signal handlers are let in

    def run(self, work: Callable[[*A], T], *arguments: *A) -> T:
        """Run `work` inside, with these arguments; wait while the gate is barred.

        Raises:
            StoreClosed: the gate was closed for good.
        """
        thread, inside = get_ident(), self._inside
        try:
            inside.append(thread)
            if self._barred:
                self._wait_outside(thread)
            return work(*arguments)
        finally:
            inside.remove(thread)
            if self._barred:
                self._tell()

    def _tell(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _wait_outside(self, thread: int) -> None:
        """Wait until the gate is open; the thread is announced when this returns or raises."""
        inside = self._inside
        # A thread that is inside already (this is a signal handler's call) is being waited for, and
        # the one that bars the gate would wait for itself.
        while self._barred and self._barrer != thread and inside.count(thread) == 1:
            try:
                inside.remove(thread)
                self._tell()
                with self._changed:
                    while self._barred and not self._closed:
                        self._changed.wait(RECHECK)
            finally:
                inside.append(thread)
            if self._closed:
                raise StoreClosed("the store is closed; open it again")

    def bar(self, *, forking: bool = False) -> None:
        """Keep everyone out, and return when nobody is inside.

        Raises:
            EventStoreException: this thread is inside itself: a signal handler's call, which would
                wait for what it has interrupted. A fork does not wait for its own thread.
        """
        thread = get_ident()
        if thread in self._inside and not forking:
            raise reentry(EventStoreException, "this call")
        try:
            self._barring.acquire()
            self._barrer = thread
            with self._changed:
                self._barred = True
                while any(other != thread for other in self._inside):
                    self._changed.wait(RECHECK)
        except BaseException:
            self.unbar()
            raise

    def unbar(self) -> None:
        """Let everyone in again; the thread that barred does it."""
        if self._barrer == get_ident():
            with self._changed:
                self._barrer = 0
                self._barred = self._closed
                self._changed.notify_all()
        with contextlib.suppress(RuntimeError):  # interrupted before it was barred
            self._barring.release()

    def keep_out(self, work: Callable[[], T]) -> T:
        """Run `work` while the gate is barred; raises what `bar` raises.

        An interrupt that strikes in the unbarring does not keep everyone out for ever.
        """
        self.bar()
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
        """Whether this thread is inside, or bars the gate: a signal handler asks."""
        return get_ident() in self._inside or self.barred_here

    @property
    def barred_here(self) -> bool:
        """Whether this thread bars the gate: a signal handler asks."""
        return self._barrer == get_ident()

    def close(self) -> None:
        """Keep everyone out for good; the gate is barred."""
        self._closed = True

    @property
    def closed(self) -> bool:
        """Whether everyone is kept out for good."""
        return self._closed
