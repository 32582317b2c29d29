"""A lock that a forked child can take, whoever held it in the parent."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["ForkLock"]


class ForkLock:
    """A lock for short sections that leave nothing half done if they are cut off by a fork.

    A forked child inherits the locks that other threads of its parent held, and nobody who will
    release them; so the child's first use makes a new one.
    """

    def __init__(self) -> None:
        """Make a free lock."""
        self._pid = os.getpid()
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        """Take the lock."""
        if self._pid != os.getpid():
            self._pid, self._lock = os.getpid(), threading.Lock()
        self._lock.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Release it."""
        self._lock.release()
