"""Forking: what happens before and after a fork, in one place and one order.

Rules: while the process forks, no thread of it is inside LMDB, nor inside RE2, whose locks the
child would inherit as they are; and no store is being opened or closed. A child never touches what
belongs to its parent: each part of the package drops what it inherited. Parts register at import;
those that register later are held first and renewed last, so a part relies on those below it.
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
_barred: list[Gate] = []  # by the fork that is under way


def at_fork(
    *,
    renew: Callable[[], object],
    hold: Callable[[], Iterable[Gate]] = tuple,
    release: Callable[[], object] = tuple,
) -> None:
    """Register a part of the package.

    Before a fork, `hold` keeps the part as it is and returns the gates that are to be barred;
    after it, `release` lets the part go on in the parent, and `renew` makes it usable in the child.
    """
    _parts.insert(0, _Part(hold, release, renew))


def _before() -> None:
    """Keep everyone out; Ctrl-C has to wait, since a fork cannot be called off here."""
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
