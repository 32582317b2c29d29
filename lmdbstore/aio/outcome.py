"""The outcome of a thread's work, and those that wait for it.

Rules: a waiter that gives up leaves nothing behind. A `Future` keeps each of its callbacks, and
with it whatever waited, until its work ends; what follows a store may wait for ever.
"""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Outcome"]

T = TypeVar("T")


class Outcome(Future[T]):
    """A future that calls what waits for it, as long as it waits."""

    def __init__(self) -> None:
        """Make one whose work has not begun."""
        super().__init__()
        self._wakes: set[Callable[[], object]] = set()  # listed in a built-in call
        self.add_done_callback(_wake)

    def wake(self) -> None:
        """Call all that wait."""
        for waiter in list(self._wakes):
            waiter()

    def join(self, waiter: Callable[[], object]) -> None:
        """Call `waiter` when the work has ended, perhaps twice, in any thread."""
        self._wakes.add(waiter)
        if self.done():
            waiter()

    def leave(self, waiter: Callable[[], object]) -> None:
        """Do not call it any more."""
        self._wakes.discard(waiter)

    def fulfil(self, work: Callable[[], T]) -> None:
        """Do the work in this thread, unless it was cancelled."""
        if self.set_running_or_notify_cancel():
            try:
                result = work()
            except BaseException as error:  # noqa: BLE001  as a pool does
                self.set_exception(error)
            else:
                self.set_result(result)


def _wake(outcome: Future[T]) -> None:
    assert isinstance(outcome, Outcome)  # noqa: S101  only one is given this
    outcome.wake()
