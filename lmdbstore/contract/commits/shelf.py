"""Where a store keeps a named cursor: its state, and the events that it is for.

Rules: a state is read and written as a text, which the store keeps as safely as its events. A
change of it is one write; it may be carried out several times, until the write succeeds.
"""

from __future__ import annotations

import os
import time
from functools import partial
from typing import TYPE_CHECKING, Protocol

from lmdbstore.contract.query import Query, checked_conditions
from lmdbstore.errors import CursorLost, StoreDamaged, shown

from .cursor_state import CursorState, Part, decode_state
from .paged import Page

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmdbstore.contract.event import Event

    from .follower import Feed
    from .position import Lineage, Present

__all__ = ["KeepsCursors", "Shelf", "state_in"]

EVERY = Query()

_live: set[str] = set()  # the workers of this process; changed in built-in calls


class KeepsCursors(Protocol):
    """What a store does for its cursors."""

    def _present(self) -> Present: ...
    def _feed(
        self, lineage: Lineage, after: int, until: int | None, query: Query
    ) -> Feed[Event]: ...
    def _cursor_text(self, name: str) -> str | None: ...
    def _change_cursor(self, name: str, change: Callable[[str | None], str | None]) -> None: ...
    def _process(self) -> str: ...
    def _has_ended(self, process: str) -> bool: ...
    def _check_open(self) -> None: ...


class Shelf:
    """One named cursor of a store."""

    def __init__(self, store: KeepsCursors, name: str) -> None:
        """Use the cursor of this name."""
        self._store = store
        self.name = name

    def check_open(self) -> None:
        """Raise StoreClosed if the store was closed."""
        self._store._check_open()  # noqa: SLF001  the store gives itself

    def state(self) -> CursorState:
        """Return the state; raises CursorLost if there is none any more."""
        text = self._store._cursor_text(self.name)  # noqa: SLF001
        return self._there(text)

    def change(self, change: Callable[[CursorState], CursorState]) -> None:
        """Change the state, in one write; raises CursorLost if there is none any more."""
        self._store._change_cursor(  # noqa: SLF001
            self.name, lambda text: change(self._there(text)).encode()
        )

    def _there(self, text: str | None) -> CursorState:
        if text is None:
            raise CursorLost(f"the cursor {shown(self.name)} was deleted; make it again")
        return state_in(self.name, text)

    def last(self) -> int:
        """Return the number of the last event of the store."""
        return self._store._present().last  # noqa: SLF001

    def position(self, number: int) -> str:
        """Return the position after an event."""
        return self._store._present().lineage.position(number)  # noqa: SLF001

    def waiting(self) -> Feed[Event]:
        """Return a feed that is there only to wait for the next commit."""
        present = self._store._present()  # noqa: SLF001
        return self._store._feed(present.lineage, present.last, None, EVERY)  # noqa: SLF001

    def _events(self, state: CursorState, part: Part) -> Feed[Event]:
        query = checked_conditions(state.flags, state.match, state.source)
        return self._store._feed(self._store._present().lineage, *part, query)  # noqa: SLF001

    def page(self, state: CursorState, part: Part, most: int) -> Page[Event, str] | None:
        """Return the first events of a part that the cursor is for; None: there are none."""
        feed = self._events(state, part)
        try:
            while (page := feed.next_page()) is not None:
                if page.size > most:
                    return Page(page.events[:most], page.position, partial(page.position, most - 1))
                if page.size:
                    return page
        finally:
            feed.end()
        return None

    def lag(self, state: CursorState) -> tuple[int, float]:
        """Return how many events are to be acknowledged, and how old the first of them is."""
        number, oldest = 0, None
        low, last = state.after, self.last()
        for part in [*state.done, Part(last, last)]:
            feed = self._events(state, Part(low, part.low))
            while (page := feed.next_page()) is not None:
                number += page.size
                if oldest is None and page.size:
                    oldest = page.events[0].timestamp
            low = max(low, part.high)
        return number, 0.0 if oldest is None else max(0.0, time.time() - oldest)

    # -- workers ----------------------------------------------------------------------------------

    def new_worker(self) -> str:
        """Return the name of a worker of this process, unique for ever."""
        worker = f"{self._store._process()}/{os.urandom(8).hex()}"  # noqa: SLF001
        _live.add(worker)
        return worker

    def is_of_this_process(self, worker: str) -> bool:
        """Whether this process made a worker, and not one of which it is a forked child."""
        return worker.partition("/")[0] == self._store._process()  # noqa: SLF001

    def is_gone(self, worker: str) -> bool:
        """Whether a worker is known to have ended; if its process has, or here it was dropped."""
        if self.is_of_this_process(worker):
            return worker not in _live
        return self._store._has_ended(worker.partition("/")[0])  # noqa: SLF001

    @staticmethod
    def leave(worker: str) -> None:
        """Note that a worker of this process has ended."""
        _live.discard(worker)


def state_in(name: str, text: str) -> CursorState:
    """Return the state in a text that was kept."""
    try:
        return decode_state(text)
    except ValueError as error:
        raise StoreDamaged(f"the cursor {shown(name)} is not what was written: {error}") from error
