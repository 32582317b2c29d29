"""A worker of a named cursor in an event loop.

Rules: what writes, and what reads the state, runs in a thread. Closing ends the wait for the next
event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from lmdbstore.contract.commits.cursor import Cursor
from lmdbstore.errors import StoreClosed

from .cancelling import Work, result_of
from .paged import AsyncPaged

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from lmdbstore.contract.commits.cursor import Lag

__all__ = ["AsyncCursor"]

T = TypeVar("T")


class AsyncCursor(AsyncPaged[Cursor]):
    """The events that one worker gets from a named cursor: `async for` gives them.

    It begins at the start of an `async with` block, or when the first event is asked for. It is for
    one task. The end of the block gives back what was not acknowledged. If the task is cancelled
    while it waits for an event, none is lost.
    """

    async def ack(self) -> None:
        """Acknowledge every event that was given so far; see `Cursor.ack`."""
        await self._call(Cursor.ack, Work.CHANGE)

    @property
    def lag(self) -> Coroutine[Any, Any, Lag]:
        """How far the cursor is behind, to be awaited; see `Cursor.lag`."""
        return self._call(lambda cursor: cursor.lag, Work.READ)

    @property
    def position(self) -> Coroutine[Any, Any, str]:
        """Up to here every event was acknowledged; to be awaited. See `Cursor.position`."""
        return self._call(lambda cursor: cursor.position, Work.READ)

    async def aclose(self) -> None:
        """Give no more events, and give back what was not acknowledged; see `Cursor.close`."""
        # One call, and nothing before it: in a scope that is cancelled each wait raises.
        await result_of(self._run(self._close), Work.MUST)

    def _close(self) -> bool:
        self._reading.close()
        return True

    async def _call(self, work: Callable[[Cursor], T], kind: Work) -> T:
        """Run `work` in a thread, when the cursor has begun."""
        while (found := self._reading.found) is None:
            if not await self._in_thread(self._reading.begin):
                raise StoreClosed("the cursor is closed; make it again")
        results: list[T] = []

        def run() -> bool:
            results.append(work(found))
            return True

        await result_of(self._run(run), kind)
        return results[0]

    def __del__(self) -> None:
        """Leave what was not acknowledged to its lease: this may not wait for the disk."""
        self._reading.drop()
