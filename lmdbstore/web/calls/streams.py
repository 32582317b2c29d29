"""The calls that go on: `follow`, as server-sent events, and `export`, as a download.

Rules: a stream begins when its arguments are checked, so that a mistake has a status of its own. It
reads on when its client has taken what it was sent, so a slow client costs no memory, and misses
nothing.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Literal, NamedTuple

from lmdbstore.contract.asking.where import checked_where
from lmdbstore.contract.query import Query
from lmdbstore.rows import HEADER
from lmdbstore.transfer.export import row_of
from lmdbstore.web.parameters import CONDITIONS, FOLLOWED, Parameters
from lmdbstore.web.texts import encoded, event_object

from .reading import order_of, pattern_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from lmdbstore.aio import AsyncChanges, AsyncEventStore, AsyncSearch
    from lmdbstore.contract.event import Event
    from lmdbstore.patterns.pattern import Pattern
    from lmdbstore.web.limits import Limits
    from lmdbstore.web.refusals import Refusal

__all__ = ["Stream", "export", "follow"]

PIECE = 1 << 18  # bytes of an export that are sent at once
TYPES = {"jsonl": "application/x-ndjson", "csv": "text/csv; charset=utf-8"}


class Stream(NamedTuple):
    """What is sent, piece by piece."""

    headers: dict[str, str]
    source: AsyncChanges | AsyncSearch  # to be closed at the end
    pieces: AsyncIterator[bytes]
    failed: Callable[[Refusal], bytes] | None = None  # the last piece after a failure


# -- follow ---------------------------------------------------------------------------------------


async def follow(store: AsyncEventStore, query: bytes, last: str | None, limits: Limits) -> Stream:
    """Give the events that are saved after a position: `last`, or that of the parameters."""
    given = Parameters(query, (*FOLLOWED, "after"))
    asked = given.conditions()
    pattern = await pattern_of(asked.match)
    # The store follows by the other three conditions.
    others = Query(
        any_flags=asked.any_flags, not_flags=asked.not_flags, where=checked_where(asked.where)
    )
    after = last or given.text("after")
    changes = store.follow(after, asked.flags, asked.match, source=asked.source)
    await changes.__aenter__()  # what is invalid raises
    headers = {"Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"}
    return Stream(headers, changes, _messages(changes, others, pattern, limits), _failed)


def _failed(refusal: Refusal) -> bytes:
    return b"event: error\ndata: " + encoded(refusal.body()) + b"\n\n"


async def _messages(
    changes: AsyncChanges, others: Query, pattern: Pattern | None, limits: Limits
) -> AsyncIterator[bytes]:
    """Give what is sent: first the position, and then events as they come."""
    events: list[Event] | None = []
    while events is not None:
        # A browser that comes back names the position; the line before it is a comment.
        place = f"id: {changes.position}\n\n".encode()
        if events:
            yield await asyncio.to_thread(_message, events, pattern, limits) + place
        else:
            yield b":\n" + place
        pause = limits.pause if events else 0.0
        events = await _batch(changes, others, pause, limits)


def _message(events: list[Event], pattern: Pattern | None, limits: Limits) -> bytes:
    shown = [event_object(event, pattern, limits) for event in events]
    return b"event: events\ndata: " + encoded({"events": shown, "dropped": 0}) + b"\n"


async def _batch(
    changes: AsyncChanges, others: Query, pause: float, limits: Limits
) -> list[Event] | None:
    """Return the events that come in a pause, or the first ones after it; None at the end.

    It returns nothing if nothing comes for long.
    """
    events: list[Event] = []
    characters, began = 0, time.monotonic()
    while len(events) < limits.message and characters < limits.characters:
        left = began + (pause if events else limits.keep) - time.monotonic()
        if left < 0 and not events:
            break
        try:
            async with asyncio.timeout(max(0.0, left)):  # it takes what is there also after 0
                event = await anext(changes, None)
        except TimeoutError:
            break
        if event is None:
            return events or None
        if others.admits(event):
            events.append(event)
            characters += min(len(event.content), limits.shown)
    return events


# -- export ---------------------------------------------------------------------------------------


async def export(store: AsyncEventStore, query: bytes) -> Stream:
    """Give the events as the lines of a file."""
    given = Parameters(query, (*CONDITIONS, "order", "format"))
    kind: Literal["jsonl", "csv"] = "jsonl"
    if given.choice("format", "jsonl", "csv") == "csv":
        kind = "csv"
    conditions = given.conditions()
    await pattern_of(conditions.match)
    found = store.search(**conditions._asdict(), order=order_of(given))
    await found.__aenter__()  # what is invalid raises
    file = f'attachment; filename="events.{kind}"'
    headers = {"Content-Type": TYPES[kind], "Content-Disposition": file}
    head = f"{HEADER}\n".encode() if kind == "csv" else b""
    return Stream(headers, found, _rows(found, head, row_of(kind)))


async def _rows(
    found: AsyncSearch, head: bytes, row: Callable[[Event], bytes]
) -> AsyncIterator[bytes]:
    text = bytearray(head)
    async for event in found:
        text += row(event)
        if len(text) > PIECE:
            yield bytes(text)
            text.clear()
    yield bytes(text)
