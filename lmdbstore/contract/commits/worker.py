"""A worker of a named cursor: it takes events, and acknowledges them.

Rules: events are read first, outside of any write, and then taken in one write, unless another
worker was quicker. What was taken is with the worker until its lease ends, or it is known to be
gone. Only `ack` makes it done. So after a crash at any moment, each event that was not acknowledged
comes again, and none is lost.
"""

from __future__ import annotations

import math
import threading
import time
from contextlib import suppress
from operator import length_hint
from typing import TYPE_CHECKING

from lmdbstore.contract.event import Event
from lmdbstore.errors import CursorLost, StoreClosed, shown
from lmdbstore.threads.run_locked import run_locked

from .cursor_state import Part
from .follower import Source
from .position import number_in

if TYPE_CHECKING:
    from .cursor_state import CursorState
    from .paged import Page
    from .shelf import Shelf

__all__ = ["Worker"]

WORTH_NOTING = 1024  # numbers without an event that matches: so many are noted as done
LOOK = 1.0  # seconds; how often a worker looks whether another one is gone


class _Taken:
    """A page of events that this worker has; `low` is the number after which it begins."""

    __slots__ = ("low", "page")

    def __init__(self, low: int, page: Page[Event, str]) -> None:
        self.low = low
        self.page = page

    def parts(self) -> tuple[Part, Part]:
        """Return what was given, and what is still to be given."""
        page = self.page
        reached, end = page.reached, page.end
        middle = self.low if reached is None else max(self.low, number_in(reached()))
        high = middle if end is None else number_in(end())
        return Part(self.low, middle), Part(middle, high)


class Worker(Source[Event]):
    """One worker of a cursor, for one thread; times are in seconds."""

    name = ""  # in the state of the cursor

    def __init__(self, shelf: Shelf, *, lease: float, batch: int, limit: float | None) -> None:
        """Take at most `batch` events at once; end when none came for `limit` seconds."""
        self._shelf = shelf
        self._lease, self._batch = lease, batch
        self._limit = math.inf if limit is None else limit
        self._since: float | None = None  # when waiting for the next event began
        self._taken: list[_Taken] = []
        self._taking = threading.RLock()  # while that or the state changes; not during a wait
        self._empty: tuple[object, Part] = None, Part(0, 0)  # no event of it meets the conditions
        self._ended = False
        self._waiting = shelf.waiting()
        self.name = shelf.new_worker()

    def __del__(self) -> None:
        self._shelf.leave(self.name)

    def next_page(self) -> Page[Event, str] | None:
        """Return the next events, which this worker has now; None at the end.

        After an interrupt, the next call continues.
        """
        self._check_process()
        for taken in self._taken:
            if length_hint(taken.page.rest):  # it was taken before an interrupt
                return taken.page
        while not self._ended:
            left = self._left()
            wait = run_locked(self._taking, self._take)
            if wait is None:
                self._since = None
                return self._taken[-1].page
            if wait and left <= 0:
                self._ended = True
                self._waiting.end()
            elif wait:
                self._waiting.wait(min(left, wait))
        return None

    def end(self) -> None:
        """End a wait; there is no more to read."""
        self._ended = True
        self._waiting.end()

    def ack(self) -> None:
        """Acknowledge what was given; see `Cursor.ack`. Another thread may wait for more."""
        self._check_process()
        run_locked(self._taking, self._ack)

    def _ack(self) -> None:
        parts = [taken.parts() for taken in self._taken]
        given = [part for part, _ in parts if part.low < part.high]
        if not given:
            return
        is_own = True

        def change(state: CursorState) -> CursorState:
            nonlocal is_own
            is_own = True
            for part in given:
                state, whole = state.acknowledged(part, self.name)
                is_own &= whole
            left = state.kept(self.name, [rest for _, rest in parts])
            return left.extended(self.name, self._until())

        self._shelf.change(change)
        # An interrupt before this is harmless: what is done may be acknowledged again.
        self._taken = [
            _Taken(rest.low, taken.page)
            for taken, (_, rest) in zip(self._taken, parts, strict=True)
            if rest.low < rest.high
        ]
        if not is_own:
            raise CursorLost(
                f"the lease of the cursor {shown(self._shelf.name)} ended before these events were "
                "acknowledged, and another worker has some of them; acknowledge more often, or "
                "pass a longer lease="
            )

    def leave(self) -> None:
        """Give back what was not acknowledged; see `Cursor.close`. A forked child has nothing."""
        if self._shelf.is_of_this_process(self.name):
            run_locked(self._taking, self._leave)

    def _leave(self) -> None:
        taken, self._taken = self._taken, []
        self._shelf.leave(self.name)
        if taken:
            with suppress(StoreClosed, CursorLost):
                self._shelf.change(lambda state: state.kept(self.name, ()))

    def _check_process(self) -> None:
        if not self._shelf.is_of_this_process(self.name):
            raise CursorLost(
                f"the cursor {shown(self._shelf.name)} was made by the process of which this one "
                "is a forked child; make it again here"
            )

    def _until(self) -> float:
        return time.time() + self._lease

    def _left(self) -> float:
        """Return how many seconds are left to wait for an event."""
        now = time.monotonic()
        if self._since is None:
            self._since = now
        return self._since + self._limit - now

    def _is_gone(self, worker: str) -> bool:
        return worker != self.name and self._shelf.is_gone(worker)

    def _free(self, state: CursorState) -> Part | None:
        """Return what another worker has given back, or left."""
        return state.extended(self.name, math.inf).free(time.time(), self._is_gone)

    def _take(self) -> float | None:
        """Take a page; or return how long to wait for one, at most: 0 to look again at once."""
        if self._ended:  # while this waited for the lock: `leave` has given back all there was
            return 0.0
        shelf = self._shelf
        state = self._own(shelf.state())
        free = self._free(state)
        part = free or Part(state.frontier, shelf.last())
        page = shelf.page(state, self._unread(state, part), self._batch)
        end = None if page is None else page.end
        reached = part.high if end is None else number_in(end())
        if page is None and free is None and reached - part.low < WORTH_NOTING:
            self._empty = _conditions(state), part
            return self._patience(state)
        took = self._took(
            state, Part(part.low, reached), again=free is not None, empty=page is None
        )
        if not took or page is None:
            return 0.0
        self._taken.append(_Taken(part.low, page))
        return None

    def _unread(self, state: CursorState, part: Part) -> Part:
        """Return a part without what the last look found empty at its beginning."""
        conditions, empty = self._empty
        if empty.low == part.low and empty.high <= part.high and conditions == _conditions(state):
            return Part(empty.high, part.high)
        return part

    def _took(self, read: CursorState, part: Part, *, again: bool, empty: bool) -> bool:
        """Take a part, if no other worker was quicker, or note that it is empty."""
        took, conditions = False, _conditions(read)

        def change(state: CursorState) -> CursorState:
            nonlocal took
            state = self._own(state)
            free = self._free(state) if again else Part(state.frontier, part.high)
            took = free is not None and free.low == part.low and part.high <= free.high
            took = took and conditions == _conditions(state)
            if not took:
                return state
            return state.finished(part) if empty else state.taken(part, self.name, self._until())

        self._shelf.change(change)
        return took

    def _patience(self, state: CursorState) -> float:
        """Return how long to wait; renew the lease of what was given, if it ends before long."""
        now = time.time()
        ends = [lease.until - now for lease in state.leases if lease.worker == self.name]
        if min(ends, default=math.inf) < self._lease / 2:
            self._shelf.change(lambda state: state.extended(self.name, self._until()))
        others = [lease.until - now for lease in state.leases if lease.worker != self.name]
        return max(0.001, min([LOOK, self._lease / 4, *others]))

    def _own(self, state: CursorState) -> CursorState:
        """Return a state in which this worker has no more than it knows of.

        It has more if an interrupt came before it could note what it took.
        """
        parts = [Part(taken.low, taken.parts()[1].high) for taken in self._taken]
        return state.kept(self.name, parts)


def _conditions(state: CursorState) -> object:
    """Return what an event must meet: another cursor of the same name may have been made since."""
    return state.flags, state.match, state.source
