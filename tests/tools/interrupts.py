"""Interrupts: call a signal handler at many moments of a piece of code."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Interrupted(BaseException):
    """The exception of the signal handler, as Ctrl-C raises KeyboardInterrupt."""


@contextmanager
def struck_by(handler: Callable[[], object]) -> Iterator[Callable[[int], Iterator[int]]]:
    """Yield a function that yields until the handler was called, a little later each time."""
    pending = False

    def once(*_: object) -> None:
        nonlocal pending
        if pending:
            pending = False
            handler()

    def strike(number: int) -> Iterator[int]:
        nonlocal pending
        pending = True
        signal.setitimer(signal.ITIMER_REAL, 1e-5 * (1 + number % 60))
        while pending:
            yield number

    before = signal.signal(signal.SIGALRM, once)
    try:
        yield strike
    finally:
        signal.signal(signal.SIGALRM, before)
