"""Forking: what happens before and after a fork, in one place and one order.

Rules: while the process forks, no thread is inside LMDB or RE2, because the child would inherit
their locks in the state they are in; and no store is being opened or closed. A child never touches
what belongs to its parent: each part of the package drops what it inherited.

Order: the gates of stores are barred first, because a thread calls RE2 inside the gate of a store:
the fork would wait for it there, and it for the fork at RE2's gate. The last is the gate of files
that calls open for themselves, inside which no thread enters another. In the child, parts are
renewed in the opposite order, locks first, because the others use them.

Limits: a fork cannot be refused, and a thread may stay inside LMDB for long (a flush of a hung
disk). So a fork waits no longer than the smallest time limit of the open stores, but at least
`LEAST`, and then goes on. `renew` finds that a gate is not barred, and the child does not use what
it guards. Without limits a fork waits; for RE2 always, whose work has an end.
"""

from __future__ import annotations

import _thread
import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Literal, NamedTuple

from .deadline import FOREVER, Deadline
from .gate import StillInside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .gate import Gate

__all__ = ["at_fork", "process_lock"]

# Seconds. Almost every operation is shorter, also one of a store that is opened with no time to
# wait: its child should not depend on what its threads are doing at that moment.
LEAST = 1.0

ORDER: tuple[Literal["stores", "re2", "files", "locks"], ...] = ("stores", "re2", "files", "locks")


class _Part(NamedTuple):
    gates: Callable[[], Iterable[Gate]]
    renew: Callable[[], object]
    limits: Callable[[], Iterable[float | None]] | None


_parts: dict[str, _Part] = {}
_barred: list[Gate] = []  # by the fork in progress
_lock = threading.RLock()


def process_lock() -> threading.RLock:
    """Return the lock under which this process opens and closes stores, and forks."""
    return _lock


def at_fork(
    name: Literal["stores", "re2", "files", "locks"],
    *,
    renew: Callable[[], object],
    gates: Callable[[], Iterable[Gate]] = tuple,
    limits: Callable[[], Iterable[float | None]] | None = None,
) -> None:
    """Register a part of the package.

    Before a fork, the gates that `gates` returns are barred. After it, `renew` makes the part
    usable in the child. `limits` returns time limits in seconds, or None for no limit; without it,
    a fork waits until the gates are barred.
    """
    _parts[name] = _Part(gates, renew, limits)


def _deadline(limits: Iterable[float | None]) -> Deadline:
    given = [limit for limit in limits if limit is not None]
    return Deadline(max(LEAST, min(given))) if given else FOREVER


def _before() -> None:
    """Keep all threads out. Ctrl-C has to wait, because a fork cannot be cancelled here."""
    interrupted: BaseException | None = None
    parts = [_parts[name] for name in ORDER if name in _parts]
    deadlines = [_deadline(part.limits()) if part.limits else FOREVER for part in parts]
    for_lock = deadlines[0] if parts else FOREVER  # the lock is about the first part: stores
    while True:
        try:
            _lock.acquire(timeout=for_lock.for_lock)
            break
        except BaseException as error:  # noqa: BLE001  raised below
            interrupted = error
            with suppress(RuntimeError):  # interrupted before it was taken
                _lock.release()
    for part, deadline in zip(parts, deadlines, strict=True):
        # A gate that this thread has barred already stays barred: a signal handler of it forks.
        for gate in [gate for gate in part.gates() if not gate.barred_here]:
            _barred.append(gate)
            interrupted = _bar(gate, deadline) or interrupted
    _raise(interrupted)


def _bar(gate: Gate, deadline: Deadline) -> BaseException | None:
    """Bar a gate, unless threads are inside until the deadline; return what interrupted it."""
    interrupted: BaseException | None = None
    while not gate.barred_here:
        try:
            gate.bar(deadline, forking=True)
        except StillInside:
            break
        except BaseException as error:  # noqa: BLE001  raised at the end
            interrupted = error
    return interrupted


def _raise(interrupted: BaseException | None) -> None:
    if isinstance(interrupted, KeyboardInterrupt):
        _thread.interrupt_main()
    elif interrupted is not None:
        raise interrupted


def _after_in_parent() -> None:
    """Let all threads in again; here too Ctrl-C has to wait."""
    interrupted: BaseException | None = None
    while _barred:
        try:
            _barred[-1].unbar()
            _barred.pop()
        except BaseException as error:  # noqa: BLE001  raised below
            interrupted = error
    with suppress(RuntimeError):  # another thread has it: the fork did not wait longer
        _lock.release()
    _raise(interrupted)


def _after_in_child() -> None:
    global _lock  # noqa: PLW0603  the inherited one is held by a thread that is not here
    _lock = threading.RLock()
    failure: BaseException | None = None
    for name in reversed(ORDER):
        try:
            _parts[name].renew()
        except BaseException as error:  # noqa: BLE001  raised when all are renewed
            failure = error
    while _barred:  # last, because a part asks whether its gate is barred
        _barred.pop().renew()
    if failure is not None:
        raise failure


os.register_at_fork(
    before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child
)
