"""The contract, continued: how many events there are by time, and by what they carry."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Protocol

from lmdbstore.contract.query import checked_number

from .buckets import Buckets, Tally, checked_buckets
from .facets import FLAGS, SOURCE, Facet, Values, checked_fields

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from datetime import tzinfo

    from lmdbstore.contract.search import Search
    from lmdbstore.contract.types import Strings, Time, Timeout, Where

__all__ = ["EventCounts", "Searched"]


class Searched(Protocol):
    """One state of a store."""

    def search(self, *positional: Any, **named: Any) -> Search:
        """Search it."""


class EventCounts(ABC):
    """The calls of a view that count events, all in one state of the store."""

    @abstractmethod
    def _one_state(self, timeout: Timeout) -> AbstractContextManager[Searched]:
        """Return a view of one state."""

    def histogram(  # noqa: PLR0913  the conditions of a search
        self,
        bucket: float | str,
        tz: str | tzinfo = "UTC",
        *,
        ts_start: Time | None = None,
        ts_end: Time | None = None,
        flags: Strings | None = None,
        match: str | None = None,
        source: str | None = None,
        any_flags: Strings | None = None,
        not_flags: Strings | None = None,
        where: Where | None = None,
        at: str | None = None,
        timeout: Timeout = ...,
    ) -> list[tuple[float, int]]:
        """Return how many events there are in each bucket of time.

        The result has a pair for each bucket, in order of time: its start, in seconds since 1970,
        and its number of events. The first and the last one have events, and those between are
        there too, with a 0. No events: an empty list. All events are those of one state of the
        store, and none is read of which the time is enough.

        Args:
            bucket: The length of a bucket in seconds: they are counted from 1970 in UTC. Or
                `"hour"`, `"day"` or `"month"` of the local time in `tz`: days have 23 or 25 hours
                where the clock is set, and an hour that comes twice is two buckets.
            tz: A zone by its name, such as `"Europe/Berlin"` or `"+02:00"`, or as a `tzinfo`.
                Abbreviations such as `"CET"` are fixed offsets, without summer time.
            ts_start: As in `search`.
            ts_end: As in `search`.
            flags: As in `search`.
            match: As in `search`.
            source: As in `search`.
            any_flags: As in `search`.
            not_flags: As in `search`.
            where: As in `search`.
            at: As in `search`.
            timeout: As in `get`.

        Raises:
            InvalidQuery: an argument is invalid; or there would be more than 100,000 buckets, or
                one beyond the years 1 to 9999: give longer buckets, or a shorter range.
            ReadBusy: others wrote until the time limit.
            StoreClosed: the store was closed.
            EventReadException: the store could not be read, or what was read is damaged
                (`StoreDamaged`).
        """
        conditions = {
            "ts_start": ts_start,
            "ts_end": ts_end,
            "flags": flags,
            "match": match,
            "source": source,
            "any_flags": any_flags,
            "not_flags": not_flags,
            "where": where,
            "at": at,
        }
        return self._tally(checked_buckets(bucket, tz), conditions, timeout).pairs()

    def _tally(self, buckets: Buckets, conditions: dict[str, Any], timeout: Timeout) -> Tally:
        """Count the events that a search finds, in buckets."""
        tally = Tally(buckets)
        with self._one_state(timeout) as view:
            for event in view.search(**conditions, timeout=timeout):
                tally.add([event.timestamp])
        return tally

    def facets(  # noqa: PLR0913  the conditions of a search
        self,
        of: Strings = (FLAGS, SOURCE),
        limit: int | None = 10,
        *,
        ts_start: Time | None = None,
        ts_end: Time | None = None,
        flags: Strings | None = None,
        match: str | None = None,
        source: str | None = None,
        any_flags: Strings | None = None,
        not_flags: Strings | None = None,
        where: Where | None = None,
        at: str | None = None,
        timeout: Timeout = ...,
    ) -> dict[str, Facet]:
        """Return the most frequent values of some fields, in the events that a search finds.

        For each field there is a `Facet`: `values`, how many events have each of them, the most
        frequent first; and `others`, how many values there are besides. All numbers are of one
        state of the store. Without conditions no event is read; with conditions on time, flags and
        source, few headers and no contents.

        Args:
            of: `"flags"` and `"source"`, or one of them in a list.
            limit: At most this many values of each field; None: all.
            ts_start: As in `search`.
            ts_end: As in `search`.
            flags: As in `search`.
            match: As in `search`.
            source: As in `search`.
            any_flags: As in `search`.
            not_flags: As in `search`.
            where: As in `search`.
            at: As in `search`.
            timeout: As in `get`.

        Raises:
            InvalidQuery: an argument is invalid.
            ReadBusy, StoreClosed, EventReadException: as `histogram` does.
        """
        conditions = {
            "ts_start": ts_start,
            "ts_end": ts_end,
            "flags": flags,
            "match": match,
            "source": source,
            "any_flags": any_flags,
            "not_flags": not_flags,
            "where": where,
            "at": at,
        }
        fields, most = checked_fields(of), checked_number("limit", limit)
        return self._values(fields, conditions, timeout).facets(most)

    def _values(
        self, fields: tuple[str, ...], conditions: dict[str, Any], timeout: Timeout
    ) -> Values:
        """Count the values of some fields of the events that a search finds."""
        values = Values(fields)
        with self._one_state(timeout) as view:
            for event in view.search(**conditions, timeout=timeout):
                values.add_event(event.source, event.tags)
        return values

    def flags(self, *, timeout: Timeout = ...) -> dict[str, int]:
        """Return every flag with the number of events that carry it; `timeout` is as in `get`."""
        return self._values((FLAGS,), {}, timeout).in_order(FLAGS)

    def sources(self, *, timeout: Timeout = ...) -> dict[str, int]:
        """Return every source with its number of events; `timeout` is as in `get`."""
        return self._values((SOURCE,), {}, timeout).in_order(SOURCE)
