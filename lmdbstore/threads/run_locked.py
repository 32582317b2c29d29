"""Run a function while a lock is held, and release the lock whatever interrupts it.

`with lock:` is not enough. From CPython 3.14 on, a signal handler can run after the lock is taken
and before the block begins, so an exception of the handler (Ctrl-C) leaves the lock held. The same
is true in every version if `__enter__` is written in Python, as that of `threading.Condition` is.

Here the lock is taken inside of the `try`. If `acquire` raises, the `finally` does not know whether
the lock was taken. It need not know, because the lock is an `RLock`: a thread that holds one takes
it again without waiting, so `acquire` raises only after it has taken it; a thread that does not
hold it cannot release it, and `release` raises RuntimeError.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, TypeVarTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import RLock

    from .deadline import Deadline

__all__ = ["run_if_free", "run_locked", "run_within"]

T = TypeVar("T")
A = TypeVarTuple("A")


def run_locked(lock: RLock, work: Callable[[*A], T], *arguments: *A) -> T:
    """Run `work` with these arguments while this thread holds `lock`; raises what `work` raises.

    A signal handler may take the lock while its own thread holds it.
    """
    try:
        lock.acquire()
        return work(*arguments)
    finally:
        try:  # noqa: SIM105  `suppress` is Python code: an interrupt could come before the release
            lock.release()
        except RuntimeError:  # interrupted while it waited for the lock
            pass


def run_if_free(lock: RLock, work: Callable[[*A], object], *arguments: *A) -> bool:
    """Run `work` if no other thread holds `lock`; return whether it ran."""
    try:
        if lock.acquire(blocking=False):
            work(*arguments)
            return True
        return False
    finally:
        try:  # noqa: SIM105  as above
            lock.release()
        except RuntimeError:  # another thread holds it
            pass


def run_within(
    lock: RLock,
    deadline: Deadline,
    refusal: Callable[[], Exception],
    work: Callable[[*A], T],
    *arguments: *A,
) -> T:
    """Run `work` as `run_locked` does, but wait for the lock no longer than the deadline allows.

    An `acquire` with a time limit that raises, or returns False, has not taken the lock either,
    unless the thread holds it; so the release is right for the same reasons.

    Raises:
        Exception: what `refusal` returns, if another thread held the lock all the time.
    """
    try:
        if not lock.acquire(timeout=deadline.for_lock):
            raise refusal()
        return work(*arguments)
    finally:
        try:  # noqa: SIM105  as above
            lock.release()
        except RuntimeError:  # it was not taken
            pass
