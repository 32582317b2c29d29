"""What the package's stores share: the calls about named cursors.

Rules: a store only has to keep a text under a name, changed in one write, and to know which of its
processes have ended.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from lmdbstore.contract.query import (
    checked_conditions,
    checked_number,
    checked_text,
    checked_timeout,
    refuse,
)
from lmdbstore.errors import InvalidQuery, shown
from lmdbstore.threads.deadline import limit_of

from .cursor import Cursor, CursorInfo, Lag
from .cursor_state import CursorState
from .following import Following
from .shelf import Shelf, state_in
from .worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmdbstore.contract.query import Query
    from lmdbstore.contract.types import Strings, Timeout
    from lmdbstore.threads.deadline import Deadline

__all__ = ["CursorCalls"]


class CursorCalls(Following):
    """The calls of a store about named cursors."""

    @abstractmethod
    def _cursor_text(self, name: str) -> str | None:
        """Return the text of a cursor, without waiting for a write."""

    @abstractmethod
    def _cursor_texts(self, wait: Deadline | None) -> dict[str, str]:
        """Return the texts of all cursors, by name, in order."""

    @abstractmethod
    def _change_cursor(
        self,
        name: str,
        change: Callable[[str | None], str | None],
        wait: Deadline | None = None,
    ) -> None:
        """Put what `change` returns in the place of a text, in one write; None: there is none.

        It may be called several times, and what it raises is raised.
        """

    @abstractmethod
    def _process(self) -> str:
        """Return a name for this process, unique for ever, without a slash."""

    @abstractmethod
    def _has_ended(self, process: str) -> bool:
        """Whether a process of this name is known to have ended."""

    def cursor(  # noqa: PLR0913
        self,
        name: str,
        after: str | None = "start",
        flags: Strings | None = None,
        match: str | None = None,
        *,
        source: str | None = None,
        hold: bool | None = None,
        lease: float = 60.0,
        batch: int = 100,
        timeout: float | None = None,
    ) -> Cursor:
        self._check_open()
        name, limit = _checked_name(name), checked_timeout(timeout)
        lease, most = _checked_lease(lease), _checked_batch(batch)
        if hold is not None and not isinstance(hold, bool):
            refuse("hold", hold, "pass True, False, or None to leave it as it is")
        query = checked_conditions(flags, match, source)
        present = self._present()
        low = present.last if after is None else present.after(after)

        def change(text: str | None) -> str:
            if text is None:
                state = _state_for(query)._replace(after=low)
            else:
                state = state_in(name, text)
                _check_same(name, state, query)
            return (state if hold is None else state._replace(hold=hold)).encode()

        text = self._cursor_text(name)
        if text is None or change(text) != text:
            self._change_cursor(name, change)
        shelf = Shelf(self, name)
        worker = Worker(shelf, lease=lease, batch=most, limit=limit)
        return self._track(Cursor(shelf, worker))

    def cursors(self, *, timeout: Timeout = ...) -> dict[str, CursorInfo]:
        wait = self._deadline(timeout)
        self._check_open()
        texts = self._cursor_texts(wait)
        return {name: self._info(name, state_in(name, text)) for name, text in texts.items()}

    def _info(self, name: str, state: CursorState) -> CursorInfo:
        shelf = Shelf(self, name)
        workers = {lease.worker for lease in state.leases if lease.until > 0}
        return CursorInfo(
            name,
            shelf.position(state.after),
            Lag(*shelf.lag(state)),
            state.hold,
            sum(not shelf.is_gone(worker) for worker in workers),
            state.flags,
            state.match,
            state.source,
        )

    def delete_cursor(self, name: str, *, timeout: Timeout = ...) -> None:
        wait = self._deadline(timeout)
        self._check_open()
        name = _checked_name(name)

        def change(text: str | None) -> None:
            if text is None:
                raise InvalidQuery(f"name: there is no cursor {shown(name)}")

        self._change_cursor(name, change, wait)


def _state_for(query: Query) -> CursorState:
    match = None if query.pattern is None else query.pattern.text
    return CursorState(query.flags, match, query.source)


def _check_same(name: str, state: CursorState, query: Query) -> None:
    given, there = _state_for(query), state
    for field in ("flags", "match", "source"):
        wanted, has = getattr(given, field), getattr(there, field)
        same = set(wanted) == set(has) if field == "flags" else wanted == has
        if wanted and not same:
            refuse(
                field,
                wanted,
                f"the cursor {shown(name)} is for {field}={has!r}; pass that or none, or use "
                "another name",
            )


def _checked_name(value: object) -> str:
    name = checked_text("name", value)
    if not name:
        refuse("name", value, "pass a name that is not empty")
    return name


def _checked_lease(value: object) -> float:
    try:
        number = limit_of(value)
    except ValueError:
        number = None
    if not number:
        refuse("lease", value, "pass seconds as a number above 0")
    return number


def _checked_batch(value: object) -> int:
    number = checked_number("batch", value)
    if not number:
        refuse("batch", value, "pass a whole number, 1 or more")
    return number
