"""The calls that give events: `search` and `event`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from lmdbstore.errors import InvalidQuery
from lmdbstore.patterns.pattern import compile_pattern
from lmdbstore.web.parameters import CONDITIONS, Parameters
from lmdbstore.web.refusals import Refusal, refused
from lmdbstore.web.texts import encoded, event_object

if TYPE_CHECKING:
    from lmdbstore.aio import AsyncEventStore, AsyncSearch
    from lmdbstore.contract.event import Event
    from lmdbstore.contract.types import Order
    from lmdbstore.patterns.pattern import Pattern
    from lmdbstore.web.limits import Limits

__all__ = ["event", "order_of", "pattern_of", "search"]

EVENTS = 100
NEIGHBOURS, MOST_NEIGHBOURS = 5, 100


async def search(store: AsyncEventStore, query: bytes, limits: Limits) -> bytes:
    """Return a list of events, and the token to go on with."""
    given = Parameters(query, (*CONDITIONS, "order", "limit", "after"))
    conditions, after = given.conditions(), given.text("after")
    number = given.number("limit", EVENTS, 1, limits.events)
    pattern = await pattern_of(conditions.match)
    position = await store.position()
    found = store.search(**conditions._asdict(), order=order_of(given), after=after)
    async with found:  # what is invalid raises
        events, why = await _gathered(found, number, limits)
    token = found.token if why != "limit" else found.reached or after
    answer = {
        "token": token,
        "more": why is not None,
        "complete": why != "limit",
        "position": position,
    }
    return await asyncio.to_thread(_encoded, events, pattern, limits, answer)


def order_of(given: Parameters) -> Order:
    """Return the order that is asked for: newest first, unless it is the other one."""
    return "asc" if given.choice("order", "desc", "asc") == "asc" else "desc"


async def pattern_of(match: str | None) -> Pattern | None:
    """Return a compiled pattern; raises Refusal."""
    if match is None:
        return None
    try:
        return await asyncio.to_thread(compile_pattern, match)
    except InvalidQuery as error:
        raise refused(error, match) from None


async def _gathered(
    found: AsyncSearch, number: int, limits: Limits
) -> tuple[list[Event], str | None]:
    """Return the next events, and why there are no more of them; None: it was the end."""
    events: list[Event] = []
    characters = 0
    try:
        async with asyncio.timeout(limits.seconds):
            async for each in found:
                events.append(each)
                characters += min(len(each.content), limits.shown)
                if len(events) == number or characters > limits.characters:
                    return events, "full"
    except TimeoutError:
        return events, "limit"
    return events, None


def _encoded(
    events: list[Event], pattern: Pattern | None, limits: Limits, answer: dict[str, Any]
) -> bytes:
    return encoded({"events": [event_object(each, pattern, limits) for each in events]} | answer)


async def event(store: AsyncEventStore, named: str | None, query: bytes, limits: Limits) -> bytes:
    """Return an event, and its neighbours; its id is in the path, or one of the parameters."""
    allowed = ("before", "after", "match", "at")
    given = Parameters(query, allowed if named is not None else ("id", *allowed))
    wanted = given.text("id") if named is None else named
    if wanted is None:
        raise Refusal(400, "invalid_query", "id: it is missing; give it", field="id")
    before = given.number("before", NEIGHBOURS, 0, MOST_NEIGHBOURS)
    after = given.number("after", NEIGHBOURS, 0, MOST_NEIGHBOURS)
    pattern = await pattern_of(given.text("match"))
    found = await store.get(wanted)
    # As `around` does, which knows no position.
    alike: Any = {"source": found.source, "after": found, "at": given.text("at")}
    earlier = [each async for each in store.search(order="desc", limit=before, **alike)]
    later = [each async for each in store.search(limit=after, **alike)]
    return await asyncio.to_thread(_placed, earlier[::-1], found, later, pattern, limits)


def _placed(
    before: list[Event], found: Event, after: list[Event], pattern: Pattern | None, limits: Limits
) -> bytes:
    def shown(events: list[Event]) -> list[dict[str, Any]]:
        return [event_object(each, pattern, limits) for each in events]

    whole = event_object(found, pattern, limits, whole=True)
    return encoded({"event": whole, "before": shown(before), "after": shown(after)})
