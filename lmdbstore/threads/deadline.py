"""How long a call may wait for others: a limit in seconds, and how much of it is left.

Rules: a call has one deadline, which all of its waits share. It bounds waiting for other threads
and processes, and not the call's own work. A limit of None is no limit; a limit of 0 means that
each lock is tried once.
"""

from __future__ import annotations

import math
import threading
import time

__all__ = ["FOREVER", "NOW", "Deadline", "limit_of"]


class Deadline:
    """A limit, counted from when this was made."""

    __slots__ = ("_began", "limit", "whole")

    def __init__(self, limit: float | None, whole: float | None = None) -> None:
        """Begin to count; `limit` is in seconds, or None; `whole` is that of a call with pauses."""
        self.limit = limit
        self.whole = limit if whole is None else whole  # what an error says
        self._began = time.monotonic()

    @property
    def left(self) -> float:
        """Return the seconds that are left: 0 if it is over, infinity without a limit."""
        limit = self.limit
        if not limit:
            return math.inf if limit is None else 0.0
        return max(0.0, limit - self.waited)

    @property
    def waited(self) -> float:
        """Return the seconds since this was made."""
        return time.monotonic() - self._began

    def moment(self, seconds: float) -> Deadline:
        """Return a deadline that begins now and is this one, or in these seconds if it is later."""
        return Deadline(seconds if self.limit is None else min(seconds, self.left), self.whole)

    @property
    def for_lock(self) -> float:
        """Return what is left as `acquire` of a lock takes it: -1 without a limit."""
        limit = self.limit
        if not limit:
            return -1 if limit is None else 0
        return self.left


FOREVER, NOW = Deadline(None), Deadline(0)


def limit_of(value: object) -> float | None:
    """Return a limit in seconds, or None for no limit; raises ValueError for what is none.

    What no lock can wait for, about three centuries or more, is no limit.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("it is not a number")  # noqa: TRY004  reported as one of ours
    # Operators that a subclass overrides have no effect.
    number = int.__int__(value) if isinstance(value, int) else float.__float__(value)
    if not number >= 0:  # also if it is not a number
        raise ValueError("it is negative, or not a number")
    return None if number >= threading.TIMEOUT_MAX else float(number)
