"""Interrupts: call a signal handler at many moments of a piece of code, or at each of its steps."""

from __future__ import annotations

import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


AGAIN = 0.05  # seconds until a signal comes again


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
        # Again and again: Python does not notice a signal that comes right before a wait.
        signal.setitimer(signal.ITIMER_REAL, 1e-5 * (1 + number % 60), AGAIN)
        while pending:
            yield number

    before = signal.signal(signal.SIGALRM, once)
    try:
        yield strike
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def interrupted_at_each_step(work: Callable[[], object]) -> Iterator[int]:
    """Run `work` again and again, interrupted at a later step each time; yield after each run.

    A signal handler runs where a function begins, or after a call, and at the end of a loop's turn.
    So a step is the start or the end of a function, or the end of a built-in one. Descriptors may
    stay open: use it in a child.
    """
    number, reached = 0, True
    while reached:
        number, reached, left = number + 1, False, number + 1

        def step(_: object, event: str, __: object) -> None:
            nonlocal left, reached
            left -= event in {"call", "return", "c_return", "c_exception"}
            if not left:
                sys.setprofile(None)
                reached = True
                raise Interrupted

        before = sys.getprofile()
        try:
            sys.setprofile(step)
            work()
            sys.setprofile(before)
        except Interrupted:  # a step turns itself off
            sys.setprofile(before)
        yield number
