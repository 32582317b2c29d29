"""`async for` over a search, and over what follows a store."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import (
    Event,
    InvalidQuery,
    LMDBEventStore,
    MemoryEventStore,
    Search,
    StoreClosed,
)
from lmdbstore.aio import AsyncChanges, AsyncEventStore
from tests.tools.children import LONG, output_of
from tests.tools.loops import KINDS, run_in

if TYPE_CHECKING:
    from collections.abc import Callable
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


@pytest.mark.parametrize("kind", KINDS)
def test_a_follower_gives_events_as_they_are_saved_in_each_loop(kind: str, path: Path) -> None:
    async def main() -> None:
        async with await AsyncEventStore.open(LMDBEventStore, path) as store:
            async with store.follow() as events:
                await store.save(Event("late", timestamp=2.0))
                await store.save(Event("early", timestamp=1.0))
                assert [(await anext(events)).id for _ in range(2)] == ["late", "early"]
                place = events.position
            assert place == await store.position()
            await store.save(Event("a"))
            assert [event.id async for event in store.changes(place or "")] == ["a"]
            assert [event.id async for event in store.follow("start", timeout=0)] == [
                "late",
                "early",
                "a",
            ]

    run_in(kind, main)


def test_many_followers_leave_threads_for_other_calls(path: Path) -> None:
    async def main() -> None:
        async with AsyncEventStore(LMDBEventStore(path), threads=1) as store:
            followers = [store.follow("start") for _ in range(20)]
            waiting = [asyncio.ensure_future(anext(one)) for one in followers]
            await store.save(Event("a"))
            assert {event.id for event in await asyncio.gather(*waiting)} == {"a"}

    asyncio.run(main())


def followed(path: Path, end: Callable[[AsyncEventStore, AsyncChanges], Any]) -> None:
    """Let a task wait for an event, and end that; it must get an end or StoreClosed."""

    async def main() -> None:
        async with await AsyncEventStore.open(LMDBEventStore, path) as store:
            events = store.follow()
            async with events:
                task = asyncio.ensure_future(anext(events))
                await asyncio.sleep(0.01)
                await end(store, events)
                with pytest.raises((StopAsyncIteration, StoreClosed)):
                    await task

    asyncio.run(main())


def test_a_follower_that_waits_ends_when_it_is_closed(path: Path) -> None:
    followed(path, lambda _, events: events.aclose())


def test_a_follower_that_waits_ends_with_its_store(path: Path) -> None:
    followed(path, lambda store, _: store.close())


def test_a_cancelled_wait_of_a_follower_loses_no_event(path: Path) -> None:
    async def main() -> None:
        async with (
            await AsyncEventStore.open(LMDBEventStore, path) as store,
            store.follow() as events,
        ):
            for _ in range(5):
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(anext(events), 0.001)
            assert len(waiting_threads()) == 1
            assert not events._under_way._wakes  # type: ignore[union-attr]  # a thread waits
            await store.save_many(Event(str(n), timestamp=float(n)) for n in range(1000))
            found = list[str]()
            while len(found) < 1000:
                with suppress(TimeoutError):
                    found.append((await asyncio.wait_for(anext(events), 0.001)).id)
            assert found == [str(n) for n in range(1000)]

    asyncio.run(main())


def waiting_threads() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "lmdbstore.aio.apart"]


def test_a_follower_that_is_dropped_ends_its_thread(path: Path) -> None:
    async def main() -> None:
        async with await AsyncEventStore.open(LMDBEventStore, path) as store:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(store.follow()), 0.01)
            await asyncio.sleep(0)  # until then the loop has the wait at hand that it woke last
            gc.collect()
            for thread in waiting_threads():
                thread.join(LONG)
                assert not thread.is_alive()

    asyncio.run(main())


def test_tasks_share_a_follower(path: Path) -> None:
    async def main() -> None:
        async with (
            await AsyncEventStore.open(LMDBEventStore, path) as store,
            store.follow() as events,
        ):
            tasks = [asyncio.ensure_future(anext(events)) for _ in range(4)]
            await asyncio.sleep(0)
            tasks[0].cancel()
            await store.save_many([Event("a"), Event("b"), Event("c")])
            found = await asyncio.gather(*tasks, return_exceptions=True)
            assert isinstance(found[0], asyncio.CancelledError)
            assert sorted(one.id for one in found[1:] if isinstance(one, Event)) == ["a", "b", "c"]

    asyncio.run(main())


def test_an_end_of_the_program_waits_for_no_follower(path: Path) -> None:
    code = f"""
import asyncio
from lmdbstore import LMDBEventStore
from lmdbstore.aio import AsyncEventStore

store = AsyncEventStore(LMDBEventStore({str(path)!r}))
events = store.follow()

async def main():
    task = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0.1)

asyncio.run(main())
print("end")
"""
    assert output_of([sys.executable, "-c", code]) == "end\n"


def test_a_block_of_a_search_begins_it() -> None:
    async def main() -> None:
        async with AsyncEventStore(MemoryEventStore()) as store:
            await store.save(Event("a"))
            async with store.search() as search:
                await store.save(Event("b"))
                assert [event.id async for event in search] == ["a"]
            with pytest.raises(InvalidQuery):
                async with store.search(match="("):
                    raise AssertionError("not reached")

    asyncio.run(main())
