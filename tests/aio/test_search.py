"""`async for` over a search."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import Event, LMDBEventStore, MemoryEventStore, Search, StoreClosed
from lmdbstore.aio import AsyncEventStore
from tests.tools.loops import KINDS, run_in

if TYPE_CHECKING:
    from pathlib import Path

MANY = 2000  # events: several pages


@pytest.fixture
def filled(path: Path) -> Path:
    with LMDBEventStore(path) as store:
        store.save_many(Event(str(n), timestamp=float(n)) for n in range(MANY))
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_a_search_gives_all_events_in_each_loop(kind: str, filled: Path) -> None:
    async def main() -> None:
        async with await AsyncEventStore.open(LMDBEventStore, filled) as store:
            found = [event.id async for event in store.search(order="desc")]
            assert found == [str(n) for n in reversed(range(MANY))]

    run_in(kind, main)


def test_a_search_continues_after_its_token(filled: Path) -> None:
    async def main() -> None:
        async with await AsyncEventStore.open(LMDBEventStore, filled) as store:
            search = store.search()
            assert search.token is None
            first = [await anext(search) for _ in range(777)]
            rest = [event async for event in store.search(after=search.token)]
            assert [*first, *rest] == [event async for event in store.search()]
            assert len([event async for event in search]) == MANY - 777
            with pytest.raises(StopAsyncIteration):
                await anext(search)
            assert not search.left_out.events

    asyncio.run(main())


def test_tasks_share_a_search(filled: Path) -> None:
    async def main() -> None:
        async with await AsyncEventStore.open(LMDBEventStore, filled) as store:
            search = store.search()
            found: list[str] = []

            async def take() -> None:
                async for event in search:
                    found.append(event.id)
                    await asyncio.sleep(0)

            await asyncio.gather(*(take() for _ in range(4)))
            assert sorted(map(int, found)) == [*range(MANY)]

    asyncio.run(main())


def test_a_cancelled_wait_loses_no_event() -> None:
    go, entered = threading.Event(), threading.Event()

    class Slow(MemoryEventStore):
        def search(self, *arguments: Any, **named: Any) -> Search:
            entered.set()
            go.wait()
            return super().search(*arguments, **named)

    async def main() -> None:
        sync = Slow()
        sync.save_many([Event("a", timestamp=1), Event("b", timestamp=2)])
        async with AsyncEventStore(sync) as store:
            search = store.search()
            task = asyncio.ensure_future(anext(search))
            while not entered.is_set():
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            go.set()
            assert [event.id async for event in search] == ["a", "b"]

    asyncio.run(main())


def test_a_closed_search_gives_no_more() -> None:
    async def main() -> None:
        sync = MemoryEventStore()
        sync.save_many([Event("a"), Event("b")])
        async with AsyncEventStore(sync) as store:
            async with store.search() as search:
                await anext(search)
            assert [event async for event in search] == []
            unread = store.search()
            await unread.aclose()
            assert [event async for event in unread] == []

    asyncio.run(main())


def test_a_search_ends_with_its_store(filled: Path) -> None:
    async def main() -> None:
        store = await AsyncEventStore.open(LMDBEventStore, filled)
        search = store.search()
        await anext(search)
        await store.close()
        with pytest.raises(StoreClosed):
            await anext(search)

    asyncio.run(main())
