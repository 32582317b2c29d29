"""The contract, continued: the order in which events were saved."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from lmdbstore.contract.query import checked_flags, checked_timeout
from lmdbstore.contract.search import Changes

from .follower import Follower, Polled

if TYPE_CHECKING:
    from lmdbstore.contract.types import Strings, Timeout

    from .cursor import Cursor, CursorInfo

__all__ = ["EventFeed"]


class EventFeed(ABC):
    """The calls of a store about the order in which events were saved."""

    @abstractmethod
    def position(self, *, timeout: Timeout = ...) -> str:
        """Return the present position: the place after every event saved so far.

        A position is a short string, for `changes` and `follow`. It counts the events in the order
        in which they were saved, and stays valid across restarts, and when events are deleted. It
        belongs to the store: a copy (a backup, say) has an identity of its own. Positions of the
        store that it is a copy of are positions of the copy too, up to the moment of the copy.

        It is a read like `get`: it waits for a write that is under way, and `timeout` is as there.

        Raises:
            InvalidQuery: the timeout is invalid.
            ReadBusy, StoreClosed: as `get` does.
            EventReadException: the store could not be read.
        """

    @abstractmethod
    def changes(  # noqa: PLR0913
        self,
        after: str,
        until: str | None = None,
        flags: Strings | None = None,
        match: str | None = None,
        *,
        source: str | None = None,
        timeout: Timeout = ...,
    ) -> Changes:
        """Return an iterator over the events saved after a position, in the order of saving.

        All events count that arrived since then, whatever their timestamps, and no event comes
        twice. An event that replaced another one comes at its own place, and the other one does
        not. Events that are deleted before their page is read do not come.

        Args:
            after: A position: that of `position`, or of an earlier iterator; or `"start"`, for all
                events.
            until: A position, after which no event comes; None: the present one.
            flags: As in `search`.
            match: As in `search`.
            source: As in `search`.
            timeout: As in `get`, for this call; reading the events later does not wait.

        The `position` of the iterator is the one after the last event that it gave. At the end it
        is the one given as `until` (or as `after`, if that is later), or the present one at the
        time of the call, also if no event matched: continue from there.

        Raises:
            InvalidQuery: an argument is invalid, or is not a position of the store's past.
            ReadBusy: others wrote until the time limit.
            StoreClosed: the store was closed; raised by the iterator too.
            EventReadException: the store could not be read, or an event is damaged
                (`StoreDamaged`); raised by the iterator too.
        """

    def follow(
        self,
        after: str | None = None,
        flags: Strings | None = None,
        match: str | None = None,
        *,
        source: str | None = None,
        timeout: float | None = None,
    ) -> Changes:
        """Return an iterator that gives events as they are saved, and waits for more.

        It is that of `changes`, and does not end: it gives the events of every thread and process,
        as soon as they are committed, in the order of commits, those with old timestamps included.
        So it waits for no write, and gives an event perhaps a moment before its `save` returns.

        Args:
            after: A position; `"start"`, for all events; None: the present one, so that every event
                comes whose `save` had not returned before this call.
            flags: As in `search`.
            match: As in `search`.
            source: As in `search`.
            timeout: Seconds. It ends when it has waited so long for one event; None: never; 0: when
                it has given what is there.

        The `position` of the iterator moves on while nothing matches, too. It never is after an
        event that is not committed. Closing the iterator, in another thread, ends a wait.

        Raises:
            InvalidQuery: an argument is invalid, or is not a position of the store's past.
            StoreClosed: the store was closed; raised by the iterator too, also while it waits.
            EventReadException: as `changes` does.
        """
        limit, tags = checked_timeout(timeout), checked_flags("flags", flags)
        start = self.position() if after is None else after

        def changes(place: str) -> Changes:
            return self.changes(place, None, tags, match, source=source)

        polled = Polled(changes, start)
        return Changes(Follower(polled, limit), polled.position)

    @abstractmethod
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
        """Return a worker of the named cursor, which is made if there is none.

        It is an iterator like that of `follow`, except that the store remembers what was
        acknowledged: `ack()` of the cursor acknowledges what it gave. Who calls this again, after a
        crash too, goes on after the last event acknowledged. Several workers, in any threads and
        processes of the machine, may share a name: each event is given to one of them, in the order
        of saving, and to another one if it was not acknowledged before that worker closed the
        cursor, or ended, or its lease ended. So every event is acknowledged at least once. An event
        that is deleted before it is given does not come.

        The state of a cursor is written as events are, and is kept by `backup`, `compact` and
        `repair`.

        Args:
            name: The name, which is not empty.
            after: Where a new cursor begins: a position, `"start"`, or None for the present one.
            flags: The events that it is for, as in `search`. A cursor that is there has its own
                conditions; those given must be the same, or none.
            match: The same.
            source: The same.
            hold: Whether `purge` leaves every event that the cursor has not come past, whether it
                matches or not. None: as it is; for a new one, False.
            lease: Seconds that a worker has for a batch, from its taking or the last `ack`. While
                it waits for an event, it renews the lease. The clock is that of the machine.
            batch: At most so many events are taken at once. They come to no other worker.
            timeout: Seconds. It ends when it has waited so long for one event; None: never; 0: when
                there is none. Events that other workers have are not there.

        Raises:
            InvalidQuery: an argument is invalid, or the conditions are not those of the cursor.
            StoreClosed: the store was closed; raised by the iterator too.
            CursorLost: the cursor was deleted; raised by the iterator.
            EventWriteException: as `save` does; raised by the iterator too, as it writes what it
                takes.
            EventReadException: as `changes` does; raised by the iterator too.
        """

    @abstractmethod
    def cursors(self, *, timeout: Timeout = ...) -> dict[str, CursorInfo]:
        """Return the named cursors by name, in order, each with its position and its lag.

        The events that are counted for the lag are read. `timeout` is as in `get`.

        Raises:
            InvalidQuery: the timeout is invalid.
            ReadBusy, StoreClosed, EventReadException: as `get` does.
        """

    @abstractmethod
    def delete_cursor(self, name: str, *, timeout: Timeout = ...) -> None:
        """Delete a named cursor; its workers then raise `CursorLost`. `timeout` is as in `save`.

        Raises:
            InvalidQuery: there is no cursor with this name, or the timeout is invalid.
            WriteBusy, StoreClosed, EventWriteException: as `save` does.
        """
