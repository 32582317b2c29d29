"""The calls that count: `histogram`, `facets` and `stats`.

Rules: the numbers of a histogram, and of facets, are of one state of the store. What has conditions
is counted in parts of the range of time, the newest first, so that it ends at its limit of time,
or soon after its client has gone.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from lmdbstore.version import __version__
from lmdbstore.web.parameters import CONDITIONS, Conditions, Parameters

from .reading import pattern_of
from .steps import NO_COLUMNS, columns, zone_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from lmdbstore.aio import AsyncEventStore, AsyncEventView
    from lmdbstore.contract.types import Order
    from lmdbstore.web.limits import Limits

    from .steps import Columns

__all__ = ["facets", "histogram", "stats"]

FIRST = 20_000  # events of the range in the first part
QUICK, SLOW = 0.02, 0.06  # seconds; quicker parts are followed by larger ones, slower by smaller
GROWTH = 4
FIELDS = {"flags": "flags", "sources": "source"}
BUCKETS, FEWEST_BUCKETS, MOST_BUCKETS = 120, 3, 500
VALUES, MOST_VALUES = 20, 10_000


class _Span(NamedTuple):
    """A range of time, both ends inclusive."""

    low: float
    high: float

    def of(self, conditions: Conditions) -> dict[str, Any]:
        """Return the conditions inside of the range, by the parameters of a call."""
        return conditions._replace(ts_start=self.low, ts_end=self.high)._asdict()


class _Counted(NamedTuple):
    """How far was counted."""

    complete: bool = True
    reached: float | None = None  # if not complete: events from this time on are counted


async def _span(view: AsyncEventView, conditions: Conditions) -> _Span | None:
    """Return the range from the first event to the last, or as it is given; None: it is empty."""
    low, high, at = conditions[:3]
    ends: list[float] = []
    orders: tuple[Order, ...] = ("asc", "desc")
    for order in orders:
        search = view.search(low, high, order=order, limit=1, at=at)
        ends += [event.timestamp async for event in search]
    if ends:
        return _Span(ends[0] if low is None else low, ends[-1] if high is None else high)
    return _Span(low, high) if low is not None and high is not None and low <= high else None


# -- histogram ------------------------------------------------------------------------------------


async def histogram(store: AsyncEventStore, query: bytes, limits: Limits) -> dict[str, Any]:
    """Return the numbers of events by time."""
    given = Parameters(query, (*CONDITIONS, "zone", "buckets"))
    conditions, name = given.conditions(), given.text("zone") or "UTC"
    zone = zone_of(name)
    most = given.number("buckets", BUCKETS, FEWEST_BUCKETS, MOST_BUCKETS)
    await pattern_of(conditions.match)
    async with store.snapshot() as view:
        if (span := await _span(view, conditions)) is None:
            return _drawn(name, _Span(math.nan, math.nan), NO_COLUMNS, [], conditions)
        cut = await asyncio.to_thread(columns, *span, most, zone)

        async def numbers(into: list[int], part: _Span, asked: Conditions) -> None:
            cut.add(into, await view.histogram(cut.step.bucket, zone, **part.of(asked)))

        every = [0] * len(cut.starts)
        await numbers(every, span, Conditions(at=conditions.at))
        answer = _drawn(name, span, cut, every, conditions)
        if conditions.only_time:
            return answer
        add = partial(numbers, answer["matching"], asked=conditions)
        counted = await _in_parts(view, span, conditions.at, add, limits)
        return answer | counted._asdict()


def _drawn(
    zone: str, span: _Span, cut: Columns, every: list[int], conditions: Conditions
) -> dict[str, Any]:
    """Return what is drawn; matches are still to be counted. What is not there is null."""
    return {
        "step": cut.step.name,
        "seconds": cut.step.seconds,
        "zone": zone,
        "starts": cut.starts,
        "end": cut.end,
        "all": every,
        "matching": None if conditions.only_time else [0] * len(every),
        "since": span.low,
        "until": span.high,
    } | _Counted()._asdict()


# -- facets ---------------------------------------------------------------------------------------


async def facets(store: AsyncEventStore, query: bytes, limits: Limits) -> dict[str, Any]:
    """Return the most frequent flags and sources."""
    given = Parameters(query, (*CONDITIONS, "limit"))
    conditions, most = given.conditions(), given.number("limit", VALUES, 1, MOST_VALUES)
    await pattern_of(conditions.match)
    numbers: dict[str, Counter[str]] = {name: Counter() for name in FIELDS}
    async with store.snapshot() as view:

        async def add(asked: dict[str, Any]) -> None:
            found = await view.facets(limit=None, **asked)
            for name, field in FIELDS.items():
                numbers[name].update(found[field].values)

        counted = _Counted()
        if conditions == Conditions():
            await add({})  # without reading an event
        elif span := await _span(view, conditions):
            counted = await _in_parts(
                view, span, conditions.at, lambda part: add(part.of(conditions)), limits
            )
    return {name: _ranked(found, most) for name, found in numbers.items()} | counted._asdict()


def _ranked(numbers: Counter[str], most: int) -> list[dict[str, Any]]:
    ranked = sorted(numbers.items(), key=lambda item: (-item[1], item[0]))[:most]
    return [{"value": value, "count": number} for value, number in ranked]


# -- counting in parts ----------------------------------------------------------------------------


async def _in_parts(
    view: AsyncEventView,
    span: _Span,
    at: str | None,
    add: Callable[[_Span], Awaitable[None]],
    limits: Limits,
) -> _Counted:
    """Count the parts of a range, the newest first, as long as there is time."""
    end, size = time.monotonic() + limits.counting, [FIRST]
    reached: float | None = None
    async for part in _parts(view, span, at, size):
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
        middle = low / 2 + high / 2
        if not number:
            continue
        if number <= size[0] or not low < middle < high:
            yield part
        else:
            left += [_Span(low, math.nextafter(middle, -math.inf)), _Span(middle, high)]


# -- stats ----------------------------------------------------------------------------------------


async def stats(store: AsyncEventStore, query: bytes, _: Limits) -> dict[str, Any]:
    """Return the figures of the store."""
    Parameters(query, ())
    position, found = await store.position(), await store.stats()
    answer: dict[str, Any] = {
        "events": found.events,
        "flags": found.flags,
        "sources": len(await store.sources()),
        "first": found.oldest,
        "last": found.newest,
        "position": position,
        "version": __version__,
        "readonly": True,
    }
    sizes = {"bytes": "used_bytes", "free_bytes": "free_bytes", "file_bytes": "file_bytes"}
    known = {name: getattr(found, figure, None) for name, figure in sizes.items()}
    return answer | {name: size for name, size in known.items() if size is not None}
