"""The gate: every call into LMDB passes it, so that closing, growing and forking can keep all out.

Rules: an operation is inside while it calls LMDB, and never while it waits for another process or
runs the caller's code. Who bars the gate waits until everyone has left. Entering costs two list
operations, which are atomic, in place of a lock: an operation announces itself and then looks at
the bar, and who bars does it the other way round, so at least one of them sees the other.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from .errors import StoreClosed

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Gate"]

# Seconds. A waiter is told of every change; it looks again after so long only in case that a
# Ctrl-C struck between the change and the telling.
RECHECK = 0.1


class Gate:
    """A gate that many may be behind at once, and that one may bar."""

    def __init__(self) -> None:
        """Make an open gate."""
        self._inside: list[None] = []
        self._barred = False
        self._closed = False
        self._changed = threading.Condition()
        self._barring = threading.Lock()

    def __enter__(self) -> None:
        """Go in; wait while the gate is barred.

        Raises:
            StoreClosed: the gate was closed for good.
        """
        try:
            self._inside.append(None)
            while self._barred:
                self._wait_outside()
        except BaseException:
            self._leave()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Go out."""
        self._leave()

    def _leave(self) -> None:
        self._inside.pop()
        if self._barred:
            with self._changed:
                self._changed.notify_all()

    def _wait_outside(self) -> None:
        self._leave()
        try:
            with self._changed:
                while self._barred and not self._closed:
                    self._changed.wait(RECHECK)
        finally:
            self._inside.append(None)
        if self._closed:
            raise StoreClosed("the store is closed; open it again")

    def bar(self) -> None:
        """Keep everyone out, and return when nobody is inside. Never call it from inside."""
        self._barring.acquire()
        try:
            with self._changed:
                self._barred = True
                while self._inside:
                    self._changed.wait(RECHECK)
        except BaseException:
            self.unbar()
            raise

    def unbar(self) -> None:
        """Let everyone in again."""
        with self._changed:
            self._barred = self._closed
            self._changed.notify_all()
        self._barring.release()

    def close(self) -> None:
        """Keep everyone out for good; the gate is barred."""
        self._closed = True

    @property
    def closed(self) -> bool:
        """Whether everyone is kept out for good."""
        return self._closed
