"""The contract: what every event store does, whatever implements it.

`EventStore` has the names and parameters of `theia.storeapi.EventStore`, defines what that API
leaves open, and adds to it. `lmdbstore.testing` holds the tests that an implementation must pass. A
store must define the abstract methods. The other methods are defined here by means of those, and a
store overrides them where it can do better.
"""

from __future__ import annotations

from abc import abstractmethod
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, TypeVar, overload

from lmdbstore.errors import EventNotFound

from .closing import Closable
from .left_out import Count
from .query import checked_around
from .tables.api import EventTables
from .watching.api import EventFigures

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager
    from uuid import UUID

    from .event import Event
    from .search import Search
    from .types import (
        Checkpoint,
        Damaged,
        OnDuplicate,
        Order,
        SaveResult,
        Strings,
        Time,
        Timeout,
        Where,
    )

__all__ = ["EventStore", "EventView"]

T = TypeVar("T")


class EventView(EventTables):
    """The reading side of a store, and of one frozen state of it (`EventStore.snapshot`)."""

    @overload
    def get(self, event_id: str | UUID, *, timeout: Timeout = ...) -> Event: ...
    @overload
    def get(self, event_id: str | UUID, default: T, *, timeout: Timeout = ...) -> Event | T: ...
    @abstractmethod
    def get(self, event_id: str | UUID, default: object = ..., *, timeout: Timeout = ...) -> object:
        """Return the event with this id, or `default` if one is given and there is no such event.

        Args:
            event_id: The id.
            default: What to return if there is no such event.
            timeout: Seconds to wait for others, above all for a write that is under way; None: for
                ever; 0: not at all. If it is not given, that of the store is used. All calls that
                may wait have it; a view that never waits, such as a snapshot, only checks it.

        Raises:
            EventNotFound: there is no such event, and no default.
            InvalidQuery: the id is neither a string nor a UUID, or the timeout is invalid.
            ReadBusy: others wrote until the time limit.
            StoreClosed: the store was closed.
            EventReadException: the store could not be read, or the event differs from what was
                written (`StoreDamaged`).
        """

    @abstractmethod
    def search(  # noqa: PLR0913  the parameters of the contract
        self,
        ts_start: Time | None = None,
        ts_end: Time | None = None,
        flags: Strings | None = None,
        match: str | None = None,
        order: Order = "asc",
        *,
        source: str | None = None,
        any_flags: Strings | None = None,
        not_flags: Strings | None = None,
        where: Where | None = None,
        limit: int | None = None,
        after: Event | str | None = None,
        damaged: Damaged = "raise",
        at: str | None = None,
        timeout: Timeout = ...,
    ) -> Search:
        r"""Return an iterator over the events that meet every condition given.

        Args:
            ts_start: Seconds since 1970, or an aware datetime; inclusive; None (or -inf): no bound.
            ts_end: The same for the end. A reversed range holds no events.
            flags: Tags that an event must all carry, compared exactly.
            match: A regular expression found anywhere in the content; anchor it with `^` and `$`.
                `lmdbstore.patterns.pattern` defines the subset and its meaning.
            order: `"asc"` or `"desc"`, by timestamp. Events with equal timestamps come in the
                order they were saved, and exactly reversed in `"desc"`.
            source: The exact source of the events.
            any_flags: Tags of which an event must carry at least one; none are no condition.
            not_flags: Tags of which an event must carry none.
            where: What fields of a content that is a JSON object must be, such as
                `{"status": 500, "user.id": "x"}` or `{"status": (">=", 500)}`. Types are strict,
                and other contents never match. `lmdbstore.contract.asking.where` has the details.
            limit: At most this many events.
            after: An event of this store, or the token of an earlier search: continue after it
                in the given order, with no event lost or repeated among equal timestamps.
            damaged: What to do about events that are not what was written: `"raise"` StoreDamaged,
                or `"skip"` them; `Search.left_out` then says how many were left out.
            at: A position (see `EventStore.position`): what was saved after it does not show. What
                was deleted or replaced since then is gone.
            timeout: As in `get`, for this call; reading the events later does not wait.

        The arguments are checked, and the pattern is compiled, before this returns. Events saved
        after the call are not found, and neither are events deleted before their page was read.
        The first events come at once, and the memory used does not grow with the result.

        To ask again and again for what is new, with `after=token`, misses events: those that are
        saved late, with timestamps before the token. `EventStore.follow` gives all of them.

        Raises:
            InvalidQuery: an argument cannot be searched with.
            EventNotFound: `after` is an event that is not in the store.
            ReadBusy: others wrote until the time limit.
            StoreClosed: the store was closed; raised by the iterator too.
            EventReadException: the store could not be read; raised by the iterator too.
        """

    def count(  # noqa: PLR0913
        self,
        ts_start: Time | None = None,
        ts_end: Time | None = None,
        flags: Strings | None = None,
        match: str | None = None,
        order: Order = "asc",
        *,
        source: str | None = None,
        any_flags: Strings | None = None,
        not_flags: Strings | None = None,
        where: Where | None = None,
        limit: int | None = None,
        after: Event | str | None = None,
        damaged: Damaged = "raise",
        at: str | None = None,
        timeout: Timeout = ...,
    ) -> Count:
        """Return how many events `search` would give for the same arguments; raises the same.

        An event that is counted without being read may be damaged, except with `damaged="skip"`:
        then all are read, and `Count.left_out` says how many were left out.
        """
        found = self.search(
            *(ts_start, ts_end, flags, match, order),
            source=source,
            any_flags=any_flags,
            not_flags=not_flags,
            where=where,
            limit=limit,
            after=after,
            damaged=damaged,
            at=at,
            timeout=timeout,
        )
        return Count(sum(1 for _ in found), found.left_out)

    def explain(  # noqa: PLR0913
        self,
        ts_start: Time | None = None,
        ts_end: Time | None = None,
        flags: Strings | None = None,
        match: str | None = None,
        order: Order = "asc",
        *,
        source: str | None = None,
        any_flags: Strings | None = None,
        not_flags: Strings | None = None,
        where: Where | None = None,
        limit: int | None = None,
        after: Event | str | None = None,
        damaged: Damaged = "raise",
        at: str | None = None,
        timeout: Timeout = ...,
    ) -> str:
        """Return the plan of a search for the same arguments, as text; raises the same."""
        self.search(
            *(ts_start, ts_end, flags, match, order),
            source=source,
            any_flags=any_flags,
            not_flags=not_flags,
            where=where,
            limit=limit,
            after=after,
            damaged=damaged,
            at=at,
            timeout=timeout,
        ).close()
        return f"{type(self).__name__} does not say how it searches"

    def around(
        self,
        event: Event | str | UUID,
        before: int | None = 5,
        after: int | None = 5,
        *,
        same_source: bool = True,
        timeout: Timeout = ...,
    ) -> list[Event]:
        """Return an event between its neighbours: what led to it, and what came of it.

        The list is in the order of the timeline, and the event is in it, as it is stored. Sources
        keep their names when logs are rotated, so neighbours come from all files of a log.

        Args:
            event: The event, or its id.
            before: At most this many events before it; None: all of them.
            after: The same for those after it.
            same_source: Whether only events of its source are neighbours.
            timeout: As in `get`, for each of the three reads that this makes. For neighbours of one
                state of a store, ask a snapshot.

        Raises:
            EventNotFound: there is no such event.
            InvalidQuery, ReadBusy, StoreClosed, EventReadException: as `get` does.
        """
        wanted, earlier, later = checked_around(event, before, after, same_source)
        found = self.get(wanted, timeout=timeout)
        source = found.source if same_source else None
        named: Any = {"source": source, "after": found, "timeout": timeout}
        previous = list(self.search(order="desc", limit=earlier, **named))
        return [*reversed(previous), found, *self.search(limit=later, **named)]

    @abstractmethod
    def checkpoint(self, name: str, *, timeout: Timeout = ...) -> str | None:
        """Return the text that `save_many` has last stored under a name; None: there is none.

        It is a read like `get`: it waits for a write that is under way, and `timeout` is as there.

        Raises:
            InvalidQuery: the name is not a string, or the timeout is invalid.
            ReadBusy, StoreClosed: as `get` does.
            EventReadException: the store could not be read, or the checkpoint differs from what
                was written (`StoreDamaged`).
        """

    @abstractmethod
    def checkpoints(self, prefix: str = "", *, timeout: Timeout = ...) -> dict[str, str]:
        """Return the texts of all checkpoints whose names begin with `prefix`, by name, in order.

        All of them are of one state of the store; else it is as `checkpoint` for each of them, and
        raises the same.
        """

    def _one_state(self, timeout: Timeout) -> AbstractContextManager[EventView]:  # noqa: ARG002
        return nullcontext(self)

    def __len__(self) -> int:
        """Return the number of events."""
        return self.count()

    def __bool__(self) -> bool:
        """A store is true, also when it is empty."""
        return True

    def __contains__(self, event_id: str | UUID) -> bool:
        """Whether there is an event with this id; raises as `get` does."""
        try:
            self.get(event_id)
        except EventNotFound:
            return False
        return True


class EventStore(EventView, EventFigures, Closable):
    """A store of events: atomic, thread-safe, strictly consistent.

    Strict consistency: a `get` or a `search` that begins while a write of another thread or process
    is in progress waits until the write commits or fails, and then sees the outcome. A write that
    begins after the read may or may not be seen by a `get`, and is not seen by a `search`. A store
    that cannot do this must say so in its docstring.
    """

    @abstractmethod
    def save(
        self, event: Event, *, on_duplicate: OnDuplicate = "raise", timeout: Timeout = ...
    ) -> None:
        """Save one event: all of it or nothing.

        When this returns the event is visible, and as durable as the store says.

        Args:
            event: Any object with the attributes `id`, `source`, `timestamp`, `tags` and
                `content`, such as a `theia.model.Event`.
            on_duplicate: What to do if its id is in the store already: `"raise"` DuplicateEvent,
                `"ignore"` the event, or `"replace"` the stored one, as `save_many` does; the result
                of that says which was done.
            timeout: Seconds to wait for others that write; None: for ever; 0: not at all. If it is
                not given, that of the store is used.

        Raises:
            InvalidEvent: the event cannot be stored; nothing was written.
            DuplicateEvent: its id is in the store already; the stored event is untouched.
            InvalidQuery: another argument is invalid; nothing was written.
            WriteBusy: others wrote until the time limit; unless the message says otherwise,
                nothing was written.
            StoreClosed: the store was closed.
            EventWriteException: the write failed; nothing was written.
        """

    @abstractmethod
    def save_many(
        self,
        events: Iterable[Event],
        *,
        on_duplicate: OnDuplicate = "raise",
        checkpoint: Checkpoint | None = None,
        timeout: Timeout = ...,
    ) -> SaveResult:
        """Save all of the events, or none if any of them is wrong.

        Returns how many, a number. `events` may be a generator; it is read to its end before
        anything is written, so it may itself read or write the store. Raises what `save` raises,
        and what the generator raises; if several events are wrong, for any one of them. `timeout`
        is as in `save`; it does not count the time in which the events are read.

        `on_duplicate` says what to do about an event whose id is in the store already, or was
        given before: `"raise"` DuplicateEvent; `"ignore"` it, so that the first event with the id
        stays as it is; or `"replace"` the other one, so that the last is kept. A replaced event is
        deleted and the new one saved, at once for every reader, also if both are equal; in the
        order of saving the new one is at its own place. A search that began before finds neither
        if it has not come to the deleted one. The result tells how many events were saved with new
        ids, how many were ignored, and how many replaced another; these add up to the number given.
        InvalidQuery: it is none of the three; nothing was read or written.

        `checkpoint` is a name and a text, which takes the place of the former text of that name.
        It is saved with the events: visible and durable as they are, and not if they are refused;
        an empty batch saves it alone. A program that notes there how far it has read its input
        reads `checkpoint(name)` when it starts again, and neither loses nor repeats an event.
        A dict of names and texts gives several. InvalidQuery: it is not such a pair, or dict;
        nothing was read or written.
        """

    @abstractmethod
    def delete(self, event_id: str | UUID, *, timeout: Timeout = ...) -> None:
        """Delete one event: the event and every trace of it, or nothing.

        `timeout` is as in `save`.

        Raises:
            EventNotFound: there is no such event.
            InvalidQuery: the id is neither a string nor a UUID, or the timeout is invalid.
            WriteBusy: as `save` does.
            StoreClosed: the store was closed.
            EventWriteException: the write failed; nothing was deleted.
        """

    @abstractmethod
    def delete_many(self, ids: Iterable[str | UUID], *, timeout: Timeout = ...) -> int:
        """Delete all events with these ids, or none if it fails; return how many were deleted.

        An id that no event has is passed over: so a call may be repeated, and the number says
        whether all were there. `ids` may be a generator; it is read to its end before anything is
        deleted, so it may itself read or write the store. `timeout` is as in `save`.

        Raises:
            InvalidQuery: an id is neither a string nor a UUID, or an argument is invalid.
            WriteBusy, StoreClosed, EventWriteException: as `delete` does; nothing was deleted.
        """

    @abstractmethod
    def snapshot(self, *, timeout: Timeout = ...) -> AbstractContextManager[EventView]:
        """Return a view of the store as it is now, to be used in a `with` block.

        Later writes, of any thread or process, are not visible in it. It ends with the block, or
        with the store, and then raises `StoreClosed`. Several threads may use it. While it is open,
        it may prevent the reuse of space. `timeout` is as in `get`.
        """

    def _one_state(self, timeout: Timeout) -> AbstractContextManager[EventView]:
        return self.snapshot(timeout=timeout)

    @abstractmethod
    def close(self, *, timeout: Timeout = ...) -> None:
        """Close the store. Every later call raises `StoreClosed`; closing again does nothing.

        A search that has not reported its end then raises `StoreClosed`. The end of a `with` block
        closes the store, with the limit of the store.

        Args:
            timeout: Seconds to wait for calls that other threads have under way; as in `save`.

        Raises:
            InvalidQuery: the timeout is invalid; the store is still open.
            StoreBusy: such a call was under way until the time limit. Later calls raise
                `StoreClosed` all the same; close it again to release what it has open.
        """
