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
from lmdbstore.web.refusals import refused
from lmdbstore.web.texts import encoded, event_object

from .reading import pattern_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from lmdbstore.aio import AsyncChanges, AsyncEventStore, AsyncSearch
    from lmdbstore.contract.event import Event
    from lmdbstore.contract.types import Order
    from lmdbstore.patterns.pattern import Pattern
    from lmdbstore.web.limits import Limits

__all__ = ["Stream", "export", "follow"]

PIECE = 512  # events of an export that are written at once
TYPES = {"jsonl": "application/x-ndjson", "csv": "text/csv; charset=utf-8"}


class Stream(NamedTuple):
    """What is sent, piece by piece."""

    type: str  # of the content
    headers: dict[str, str]
    pieces: AsyncIterator[bytes]


# -- follow ---------------------------------------------------------------------------------------


async def follow(store: AsyncEventStore, query: bytes, last: str | None, limits: Limits) -> Stream:
    """Give the events that are saved after a position: `last`, or that of the parameters."""
    given = Parameters(query, (*FOLLOWED, "after"))
    asked = given.conditions()
    pattern = await pattern_of(asked.match)
    # The store follows by three conditions.
    others = Query(
        any_flags=asked.any_flags, not_flags=asked.not_flags, where=checked_where(asked.where)
    )
    changes = store.follow(
        last or given.text("after"), asked.flags, asked.match, source=asked.source
    )
    await changes.__aenter__()  # what is invalid raises
    pieces = _messages(changes, others, pattern, limits)
    return Stream("text/event-stream; charset=utf-8", {"X-Accel-Buffering": "no"}, pieces)


async def _messages(
    changes: AsyncChanges, others: Query, pattern: Pattern | None, limits: Limits
) -> AsyncIterator[bytes]:
    try:
        yield _place(changes)
        pause = 0.0
        while True:
            events = await _batch(changes, others, pause, limits)
            if events is None:
                return
            if events:
                yield await asyncio.to_thread(_message, events, pattern, limits, _place(changes))
            else:
                yield _place(changes)
            pause = limits.pause if events else 0.0
    except Exception as error:  # noqa: BLE001  the answer has begun
        yield b"event: error\ndata: " + encoded(refused(error).body()) + b"\n\n"
    finally:
        await changes.aclose()


async def _batch(
    changes: AsyncChanges, others: Query, pause: float, limits: Limits
) -> list[Event] | None:
    """Return what comes next: after a pause, or when something comes; None at the end.

    Nothing, if nothing comes for long.
    """
    events: list[Event] = []
    characters, end = 0, time.monotonic() + pause
    until = time.monotonic() + limits.keep
    while len(events) < limits.message and characters < limits.characters:
        left = (end if events else until) - time.monotonic()
        try:
            async with asyncio.timeout(max(0.0, left)):
                event = await anext(changes, None)
        except TimeoutError:
            break
        if event is None:
            return events or None
        if others.admits(event):
            events.append(event)
            characters += min(len(event.content), limits.shown)
    return events


def _place(changes: AsyncChanges) -> bytes:
    """Return the position, which a client that comes back names; it keeps the connection open."""
    return f": \nid: {changes.position}\n\n".encode()


def _message(events: list[Event], pattern: Pattern | None, limits: Limits, place: bytes) -> bytes:
    shown = [event_object(event, pattern, limits) for event in events]
    data = encoded({"events": shown, "dropped": 0})
    return b"event: events\ndata: " + data + b"\n" + place.removeprefix(b": \n")


# -- export ---------------------------------------------------------------------------------------


async def export(store: AsyncEventStore, query: bytes, _: Limits) -> Stream:
    """Give the events as the lines of a file."""
    given = Parameters(query, (*CONDITIONS, "order", "format"))
    kind: Literal["jsonl", "csv"] = (
        "csv" if given.choice("format", "jsonl", "csv") == "csv" else "jsonl"
    )
    order: Order = "asc" if given.choice("order", "desc", "asc") == "asc" else "desc"
    found = store.search(**given.conditions()._asdict(), order=order)
    await found.__aenter__()  # what is invalid raises
    head = f"{HEADER}\n".encode() if kind == "csv" else b""
    name = {"Content-Disposition": f'attachment; filename="events.{kind}"'}
    return Stream(TYPES[kind], name, _rows(found, head, row_of(kind)))


async def _rows(
    found: AsyncSearch, head: bytes, row: Callable[[Event], bytes]
) -> AsyncIterator[bytes]:
    try:
        text = bytearray(head)
        number = 0
        async for event in found:
            text += row(event)
            number += 1
            if number % PIECE == 0 or len(text) > 1 << 18:
                yield bytes(text)
                text.clear()
        yield bytes(text)
    finally:
        await found.aclose()
