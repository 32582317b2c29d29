"""Workers of named cursors in event loops."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from lmdbstore import Event, InvalidQuery, LMDBEventStore, MemoryEventStore, StoreClosed
from lmdbstore.aio import AsyncCursor, AsyncEventStore
from tests.tools.loops import KINDS, run_in

if TYPE_CHECKING:
    from pathlib import Path

    from lmdbstore import EventStore


def filled(store: EventStore, number: int = 5) -> EventStore:
    store.save_many(Event(str(n), timestamp=float(n)) for n in range(number))
    return store


async def taken(cursor: AsyncCursor, number: int) -> list[str]:
    return [(await anext(cursor)).id for _ in range(number)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_cursor_goes_on_after_what_was_acknowledged(kind: str, path: Path) -> None:
    async def main() -> None:
        async with await AsyncEventStore.open(LMDBEventStore, path) as store:
            await store.save_many([Event(str(n)) for n in range(5)])
            async with store.cursor("shipper", batch=2, timeout=0) as cursor:
                assert await taken(cursor, 3) == ["0", "1", "2"]
                assert (await cursor.lag).events == 5
                await cursor.ack()
                assert (await cursor.lag).events == 2
                assert await taken(cursor, 1) == ["3"]
            async with store.cursor("shipper", timeout=0) as cursor:
                assert [event.id async for event in cursor] == ["3", "4"]
                await cursor.ack()
                assert await cursor.position == await store.position()
            assert (await store.cursors())["shipper"].lag.events == 0

    run_in(kind, main)


def test_wrong_arguments_raise_when_it_begins() -> None:
    async def main() -> None:
        async with AsyncEventStore(MemoryEventStore()) as store:
            with pytest.raises(InvalidQuery, match="name"):
                await anext(store.cursor(""))

    asyncio.run(main())


def test_what_was_given_is_acknowledged_while_a_thread_waits_for_more() -> None:
    """A wait that was cancelled goes on in its thread, and no event is lost."""

    async def main() -> None:
        inner = filled(MemoryEventStore(), 2)
        async with AsyncEventStore(inner) as store, store.cursor("shipper") as cursor:
            assert await taken(cursor, 2) == ["0", "1"]
            waits = asyncio.ensure_future(anext(cursor))
            while not any(thread.name == "lmdbstore.aio.apart" for thread in threading.enumerate()):
                await asyncio.sleep(0)
            waits.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waits
            await cursor.ack()
            assert (await cursor.lag).events == 0
            inner.save(Event("2"))
            assert await taken(cursor, 1) == ["2"]
            await cursor.ack()
            assert inner.cursors()["shipper"].lag.events == 0

    asyncio.run(main())


def test_closing_ends_a_wait_and_gives_back(path: Path) -> None:
    async def main() -> None:
        async with AsyncEventStore(filled(LMDBEventStore(path))) as store:
            cursor = store.cursor("shipper", lease=3600)
            assert await taken(cursor, 5) == ["0", "1", "2", "3", "4"]
            waits = asyncio.ensure_future(anext(cursor))
            await asyncio.sleep(0)
            await cursor.aclose()
            with pytest.raises(StopAsyncIteration):
                await waits
            async with store.cursor("shipper", timeout=0) as other:
                assert len(await taken(other, 5)) == 5

    asyncio.run(main())


def test_the_end_of_a_block_in_a_cancelled_scope_gives_back() -> None:
    """There, each wait of the task raises."""
    anyio = pytest.importorskip("anyio")

    async def main() -> None:
        inner = filled(MemoryEventStore())
        async with AsyncEventStore(inner) as store:
            cursor = store.cursor("shipper", lease=3600)
            with anyio.CancelScope() as scope:
                async with cursor:
                    await taken(cursor, 5)
                    scope.cancel()
                    await anyio.sleep(0)
            assert scope.cancelled_caught
            assert inner.cursors()["shipper"].workers == 0
            assert "shipper" in repr(cursor._reading.found)

    anyio.run(main)


def test_a_cursor_that_was_closed_before_it_began_is_closed() -> None:
    async def main() -> None:
        async with AsyncEventStore(filled(MemoryEventStore())) as store:
            cursor = store.cursor("shipper")
            await cursor.aclose()
            for call in (cursor.ack(), cursor.lag, cursor.position):
                with pytest.raises(StoreClosed, match="make it again"):
                    await call
            assert [event.id async for event in cursor] == []
            assert await store.cursors() == {}

    asyncio.run(main())
