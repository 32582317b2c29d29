"""Locks that a forked child can take, whichever thread held them in the parent."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple
from weakref import ref

from .forking import at_fork
from .run_locked import run_locked, run_within

if TYPE_CHECKING:
    from collections.abc import Callable

    from .deadline import Deadline

__all__ = ["ForkLock"]

T = TypeVar("T")
A = TypeVarTuple("A")


class ForkLock:
    """A lock for short sections that leave nothing half done if a fork cuts them off.

    A forked child inherits the locks that other threads of its parent held, but not the threads
    that would release them. So the child makes all locks again before it has another thread. A
    signal handler may take the lock while its own thread holds it.
    """

    __slots__ = ("__weakref__", "_lock")

    def __init__(self) -> None:
        """Make a free lock."""
        self._lock = threading.RLock()
        _locks.add(ref(self, _locks.discard))

    def run(self, work: Callable[[*A], T], *arguments: *A) -> T:
        """Run `work` with these arguments while this thread holds the lock."""
        return run_locked(self._lock, work, *arguments)

    def run_within(
        self,
        deadline: Deadline,
        refusal: Callable[[], Exception],
        work: Callable[[*A], T],
        *arguments: *A,
    ) -> T:
        """Do the same, or raise what `refusal` returns; see `run_locked.run_within`."""
        return run_within(self._lock, deadline, refusal, work, *arguments)

    def renew(self) -> None:
        """Make it a free lock, in a forked child."""
        self._lock = threading.RLock()


# Changed and listed in built-in calls, so that it needs no lock. What is garbage leaves by itself.
_locks: set[ref[ForkLock]] = set()


def _renew() -> None:
    for found in list(_locks):
        if (lock := found()) is not None:
            lock.renew()


at_fork("locks", renew=_renew)
