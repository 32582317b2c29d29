"""Forking: what happens before and after a fork, in one place and one order.

Rules: while the process forks, no thread is inside LMDB or RE2, because the child would inherit
their locks in the state they are in; and no store is being opened or closed. A child never touches
what belongs to its parent: each part of the package drops what it inherited. Parts register at
import. Those that register later are held first and renewed last, so a part can rely on the parts
that it imports.
"""

from __future__ import annotations

import _thread
import os
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .gate import Gate

__all__ = ["at_fork"]


class _Part(NamedTuple):
    hold: Callable[[], Iterable[Gate]]
    release: Callable[[], object]
    renew: Callable[[], object]


_parts: list[_Part] = []
_barred: list[Gate] = []  # by the fork in progress


def at_fork(
    *,
    renew: Callable[[], object],
    hold: Callable[[], Iterable[Gate]] = tuple,
    release: Callable[[], object] = tuple,
) -> None:
    """Register a part of the package.

    Before a fork, `hold` keeps the part from changing and returns the gates to bar. After the fork,
    `release` lets the part continue in the parent, and `renew` makes it usable in the child.
    """
    _parts.insert(0, _Part(hold, release, renew))


def _before() -> None:
    """Keep all threads out. Ctrl-C has to wait, because a fork cannot be cancelled here."""
    interrupted: BaseException | None = None
    gates = [gate for part in _parts for gate in part.hold()]
    for gate in gates:
        while gate not in _barred:
            try:
                gate.bar(forking=True)
                _barred.append(gate)
            except BaseException as error:  # noqa: BLE001  raised below
                interrupted = error
    if isinstance(interrupted, KeyboardInterrupt):
        _thread.interrupt_main()
    elif interrupted is not None:
        raise interrupted


def _after_in_parent() -> None:
    try:
        while _barred:
            _barred.pop().unbar()
    finally:
        for part in reversed(_parts):
            part.release()


def _after_in_child() -> None:
    _barred.clear()
    for part in reversed(_parts):
        part.renew()


os.register_at_fork(
    before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child
)
