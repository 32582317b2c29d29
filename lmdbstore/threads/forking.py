"""Forking: what happens before and after a fork, in one place and one order.

Rules: while the process forks, no thread is inside LMDB or RE2, because the child would inherit
their locks in the state they are in; and no store is being opened or closed. A child never touches
what belongs to its parent: each part of the package drops what it inherited.

Order: the gates of stores are barred first and that of RE2 last, because a thread calls RE2 inside
the gate of a store: the fork would wait for it there, and it for the fork at RE2's gate. In the
child, parts are renewed in the opposite order, locks first, because the others use them.
"""

from __future__ import annotations

import _thread
import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .gate import Gate

__all__ = ["at_fork", "process_lock"]

ORDER: tuple[Literal["stores", "re2", "locks"], ...] = ("stores", "re2", "locks")


class _Part(NamedTuple):
    gates: Callable[[], Iterable[Gate]]
    renew: Callable[[], object]


_parts: dict[str, _Part] = {}
_barred: list[Gate] = []  # by the fork in progress
_lock = threading.RLock()


def process_lock() -> threading.RLock:
    """Return the lock under which this process opens and closes stores, and forks."""
    return _lock


def at_fork(
    name: Literal["stores", "re2", "locks"],
    *,
    renew: Callable[[], object],
    gates: Callable[[], Iterable[Gate]] = tuple,
) -> None:
    """Register a part of the package.

    Before a fork, the gates that `gates` returns are barred. After it, `renew` makes the part
    usable in the child.
    """
    _parts[name] = _Part(gates, renew)


def _before() -> None:
    """Keep all threads out. Ctrl-C has to wait, because a fork cannot be cancelled here."""
    interrupted: BaseException | None = None
    while True:
        try:
            _lock.acquire()
            break
        except BaseException as error:  # noqa: BLE001  raised below
            interrupted = error
            with suppress(RuntimeError):  # interrupted before it was taken
                _lock.release()
    gates = [gate for name in ORDER if name in _parts for gate in _parts[name].gates()]
    # A gate that this thread has barred already stays barred: a signal handler of it forks.
    _barred.extend([gate for gate in gates if not gate.barred_here])
    for gate in _barred:
        while not gate.barred_here:
            try:
                gate.bar(forking=True)
            except BaseException as error:  # noqa: BLE001  raised below
                interrupted = error
    _raise(interrupted)


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
    _lock.release()
    _raise(interrupted)


def _after_in_child() -> None:
    global _lock  # noqa: PLW0603  the inherited one is held by a thread that is not here
    _lock = threading.RLock()
    _barred.clear()
    failure: BaseException | None = None
    for name in reversed(ORDER):
        try:
            _parts[name].renew()
        except BaseException as error:  # noqa: BLE001  raised when all are renewed
            failure = error
    if failure is not None:
        raise failure


os.register_at_fork(
    before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child
)
