"""A named cursor: an iterator over events, of which the store remembers what was acknowledged."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lmdbstore.contract.event import Event
from lmdbstore.errors import StoreClosed, shown

from .paged import Paged

if TYPE_CHECKING:
    from collections.abc import Callable

    from .paged import Page
    from .shelf import Shelf
    from .worker import Worker

__all__ = ["Cursor", "CursorInfo", "Lag"]


class Lag(NamedTuple):
    """How far a cursor is behind."""

    events: int
    """Events that are still to be acknowledged."""
    seconds: float
    """The age of the first of them in the order of saving, by its timestamp; 0: there is none."""


class CursorInfo(NamedTuple):
    """A named cursor, as `cursors` lists it."""

    name: str
    position: str
    """Up to here every event was acknowledged, or does not match."""
    lag: Lag
    hold: bool
    """Whether `purge` leaves what is after the position."""
    workers: int
    """How many have events that they did not acknowledge yet."""
    flags: tuple[str, ...] = ()
    match: str | None = None
    source: str | None = None


class Cursor(Paged[Event, str]):
    """The events that one worker gets from a named cursor, one after the other.

    `cursor` of a store makes it. It is for one thread, and not for a forked child, where it raises
    `CursorLost`: another worker calls `cursor` for itself. The end of a `with` block gives back
    what was not acknowledged; in a forked child it leaves that to the parent.
    """

    def __init__(self, shelf: Shelf, worker: Worker) -> None:
        """Give the events of a worker."""
        super().__init__(worker.next_page, "a cursor")
        self._shelf = shelf
        self._worker = worker
        self._is_open = True

    @property
    def name(self) -> str:
        """The name of the cursor."""
        return self._shelf.name

    @property
    def position(self) -> str:
        """Up to here every event was acknowledged, by any worker, or does not match."""
        return self._shelf.position(self._shelf.state().after)

    @property
    def lag(self) -> Lag:
        """How far the cursor is behind, with all of its workers.

        The events that are counted are read.
        """
        return Lag(*self._shelf.lag(self._shelf.state()))

    def ack(self) -> None:
        """Acknowledge every event that was given so far: none of them comes again.

        It is one write, as durable as a save, and renews the lease of what is still to be given.

        Raises:
            CursorLost: the lease of some of the events had ended, and another worker has them; or
                the cursor was deleted. The other events are acknowledged.
            StoreClosed: the store or the cursor was closed.
            EventWriteException: as `save` does; nothing was acknowledged.
        """
        self._shelf.check_open()
        if not self._is_open:
            raise StoreClosed(f"the cursor {shown(self.name)} is closed; make it again")
        self._worker.ack()

    def close(self) -> None:
        """Give no more, and give back what was not acknowledged, for other workers.

        Closing again does nothing. If the store is closed, it is given back when the lease ends.

        Raises:
            EventWriteException: as `save` does; then it is given back when the lease ends.
        """
        super().close()
        self._worker.leave()

    def stop(self, next_page: Callable[[], Page[Event, str] | None] | None) -> None:
        """Drop what was not given, and continue with `next_page` (for stores)."""
        self._is_open = False
        super().stop(next_page)
        self._worker.end()

    def __repr__(self) -> str:
        """The name, and whether it is closed."""
        return f"<Cursor {shown(self.name)}{'' if self._is_open else ', closed'}>"
