"""Locks that a forked child can take, whichever thread held them in the parent."""

from __future__ import annotations

import threading
from weakref import WeakSet

from .forking import at_fork

__all__ = ["ForkLock"]


class ForkLock:
    """A lock for short sections that leave nothing half done if a fork cuts them off.

    A forked child inherits the locks that other threads of its parent held, but not the threads
    that would release them. So the child makes all locks again before it has another thread. Use it
    as `with forklock.lock:`, which takes and releases in built-in code, so that no interrupt can
    come in between (before CPython 3.14; there one can strike after the lock is taken and before
    the block begins). A signal handler may take it while its own thread holds it.
    """

    __slots__ = ("__weakref__", "lock")

    def __init__(self) -> None:
        """Make a free lock."""
        self.lock = threading.RLock()
        _locks.add(self)


_locks: WeakSet[ForkLock] = WeakSet()


def _renew() -> None:
    for lock in _locks:
        lock.lock = threading.RLock()


at_fork("locks", renew=_renew)
