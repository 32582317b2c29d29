"""The calls that count: `histogram`, `facets` and `stats`.

Rules: all numbers of an answer are of one state of the store. What has conditions is counted in
parts of the range of time, the newest first, so that it ends at its limit of time, or soon after
its client has gone.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from lmdbstore.version import __version__
from lmdbstore.web.parameters import CONDITIONS, Parameters

from .steps import Columns, columns, zone_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from lmdbstore.aio import AsyncEventStore, AsyncEventView
    from lmdbstore.web.limits import Limits
    from lmdbstore.web.parameters import Conditions

__all__ = ["facets", "histogram", "stats"]

FIRST = 20_000  # events of the range in the first part
QUICK, SLOW = 0.02, 0.06  # seconds; quicker parts are followed by larger ones, slower by smaller
GROWTH = 4
FIELDS = {"flags": "flags", "sources": "source"}
BUCKETS, MOST_BUCKETS = 120, 500
VALUES, MOST_VALUES = 20, 10_000


class _Span(NamedTuple):
    """A range of time, both ends inclusive."""

    low: float
    high: float


async def histogram(store: AsyncEventStore, query: bytes, limits: Limits) -> dict[str, Any]:
    """Return the numbers of events by time."""
    given = Parameters(query, (*CONDITIONS, "zone", "buckets"))
    conditions = given.conditions()
    name = given.text("zone") or "UTC"
    zone, most = zone_of(name), given.number("buckets", BUCKETS, 3, MOST_BUCKETS)
    async with store.snapshot() as view:
        span = await _span(view, conditions)
        if span is None:
            return _nothing(conditions, name)
        cut = columns(*span, most, zone)
        times: dict[str, Any] = {"ts_start": span.low, "ts_end": span.high, "at": conditions.at}
        every = cut.numbers()
        cut.add(every, await view.histogram(cut.step.bucket, zone, **times))
        matching, counted = None, _Counted()
        if not conditions.only_time:
            matching = cut.numbers()

            async def add(part: _Span) -> None:
                inside = conditions._replace(ts_start=part.low, ts_end=part.high)
                found = await view.histogram(cut.step.bucket, zone, **inside._asdict())
                cut.add(matching, found)

            counted = await _in_parts(view, span, conditions, add, limits.counting)
    return _drawn(cut, name, span) | {"all": every, "matching": matching} | counted._asdict()


def _drawn(cut: Columns, zone: str, span: _Span) -> dict[str, Any]:
    return {
        "step": cut.step.name,
        "seconds": cut.step.seconds,
        "zone": zone,
        "starts": cut.starts,
        "end": cut.end,
        "since": span.low,
        "until": span.high,
    }


def _nothing(conditions: Conditions, zone: str) -> dict[str, Any]:
    matching: list[int] | None = None if conditions.only_time else []
    times = {"since": conditions.ts_start, "until": conditions.ts_end}
    empty = {"step": "1 second", "seconds": 1.0, "zone": zone, "starts": [], "end": None}
    return empty | times | {"all": [], "matching": matching} | _Counted()._asdict()


async def _span(view: AsyncEventView, conditions: Conditions) -> _Span | None:
    """Return the range that is drawn; None: it has no event."""
    times: dict[str, Any] = {"ts_start": conditions.ts_start, "ts_end": conditions.ts_end}
    ends = []
    for order in ("asc", "desc"):
        search = view.search(**times, order=order, limit=1, at=conditions.at)
        ends += [event.timestamp async for event in search]
    if not ends:
        return None
    given = conditions.ts_start, conditions.ts_end
    return _Span(*[end if time is None else time for time, end in zip(given, ends, strict=True)])


async def facets(store: AsyncEventStore, query: bytes, limits: Limits) -> dict[str, Any]:
    """Return the most frequent flags and sources."""
    given = Parameters(query, (*CONDITIONS, "limit"))
    conditions, most = given.conditions(), given.number("limit", VALUES, 1, MOST_VALUES)
    numbers: dict[str, Counter[str]] = {name: Counter() for name in FIELDS}
    async with store.snapshot() as view:
        span = await _span(view, conditions)

        async def add(part: _Span | None) -> None:
            inside = conditions
            if part is not None:
                inside = conditions._replace(ts_start=part.low, ts_end=part.high)
            found = await view.facets(limit=None, **inside._asdict())
            for name, field in FIELDS.items():
                numbers[name].update(found[field].values)

        counted = _Counted()
        if conditions == type(conditions)():
            await add(None)  # without reading an event
        elif span is not None:
            counted = await _in_parts(view, span, conditions, add, limits.counting)
    return {name: _ranked(found, most) for name, found in numbers.items()} | counted._asdict()


def _ranked(numbers: Counter[str], most: int) -> list[dict[str, Any]]:
    ranked = sorted(numbers.items(), key=lambda item: (-item[1], item[0]))[:most]
    return [{"value": value, "count": number} for value, number in ranked]


# -- counting in parts ----------------------------------------------------------------------------


class _Counted(NamedTuple):
    """How far was counted."""

    complete: bool = True
    reached: float | None = None  # if not complete: events from this time on are counted


async def _in_parts(
    view: AsyncEventView,
    span: _Span,
    conditions: Conditions,
    add: Callable[[_Span], Awaitable[None]],
    seconds: float,
) -> _Counted:
    """Count the parts of a range, the newest first, as long as there is time."""
    end, size = time.monotonic() + seconds, [FIRST]
    reached: float | None = None
    async for part in _parts(view, span, conditions.at, size):
        began = time.monotonic()
        if began >= end:
            return _Counted(complete=False, reached=reached)
        await add(part)
        reached = part.low
        taken = time.monotonic() - began
        if taken < QUICK:
            size[0] *= GROWTH
        elif taken > SLOW:
            size[0] = max(1, size[0] // GROWTH)
    return _Counted()


async def _parts(
    view: AsyncEventView, span: _Span, at: str | None, size: list[int]
) -> AsyncIterator[_Span]:
    """Divide a range into parts with at most `size[0]` events, the newest first."""
    left = [span]
    while left:
        low, high = part = left.pop()
        number = await view.count(low, high, at=at)
        middle = low + (high - low) / 2
        if not number:
            continue
        if number <= size[0] or not low < middle < high:
            yield part
        else:
            left += [_Span(low, math.nextafter(middle, -math.inf)), _Span(middle, high)]


async def stats(store: AsyncEventStore, query: bytes, _: Limits) -> dict[str, Any]:
    """Return the figures of the store."""
    Parameters(query, ())
    position, found = await store.position(), await store.stats()
    sources = await store.sources()
    answer: dict[str, Any] = {
        "events": found.events,
        "flags": found.flags,
        "sources": len(sources),
        "first": found.oldest,
        "last": found.newest,
        "position": position,
        "version": __version__,
        "readonly": True,
    }
    sizes = {"bytes": "used_bytes", "free_bytes": "free_bytes", "file_bytes": "file_bytes"}
    known = {name: getattr(found, figure, None) for name, figure in sizes.items()}
    return answer | {name: size for name, size in known.items() if size is not None}
