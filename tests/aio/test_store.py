"""The methods: the same names, arguments, results and errors as in the contract, in each loop."""

from __future__ import annotations

import asyncio
import inspect
import sys
import threading
from typing import TYPE_CHECKING, Any, assert_type
from uuid import UUID

import pytest

from lmdbstore import (
    Count,
    DuplicateEvent,
    Event,
    EventNotFound,
    EventStore,
    InvalidEvent,
    InvalidOption,
    InvalidQuery,
    LMDBEventStore,
    MemoryEventStore,
    SaveResult,
    StoreClosed,
    StoreOpenError,
)
from lmdbstore.aio import AsyncChanges, AsyncEventStore, AsyncEventView, AsyncSearch
from tests.tools.children import in_child, output_of
from tests.tools.loops import KINDS, run_in

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    Make = Callable[[], EventStore]

ABC = [Event(id_, "door", float(n), ["f"], f"opened {id_}") for n, id_ in enumerate("abc", 1)]


@pytest.fixture(params=["memory", "lmdb"])
def make(request: pytest.FixtureRequest, path: Path) -> Make:
    return MemoryEventStore if request.param == "memory" else lambda: LMDBEventStore(path)


async def use_view(view: AsyncEventView) -> None:
    assert_type(await view.get("a"), Event)
    assert_type(await view.get("x", None), Event | None)
    assert await view.get("a") == ABC[0]
    assert await view.get(UUID(int=7), 7) == 7
    assert_type(view.search(), AsyncSearch)
    assert [event async for event in view.search(2.0, None, ["f"], "opened", "desc")] == ABC[:0:-1]
    assert_type(await view.count(), Count)
    assert await view.count(source="door", limit=2) == 2
    assert await view.flags() == {"f": 3}
    assert await view.checkpoint("log") == "1"
    assert await view.checkpoints("l") == {"log": "1"}
    assert_type(await view.explain(match="x"), str)
    with pytest.raises(EventNotFound):
        await view.get("x")
    with pytest.raises(InvalidQuery):
        await view.count("yesterday")  # type: ignore[arg-type]
    with pytest.raises(InvalidQuery):
        await anext(view.search(match="("))


async def given() -> AsyncIterator[Event]:
    for event in ABC[1:]:
        yield event


async def use_store(make: Make) -> None:
    async with await AsyncEventStore.open(make) as store:
        assert_type(store, AsyncEventStore)
        await store.save(ABC[0])
        await store.save(Event("d", timestamp=4.0), timeout=60)
        saved = await store.save_many(given(), checkpoint=("log", "1"))
        assert_type(saved, SaveResult)
        assert (saved, await store.save_many(ABC, on_duplicate="ignore")) == (2, 0)
        await store.delete("d")
        await use_view(store)
        async with store.snapshot() as view:
            assert_type(view, AsyncEventView)
            await store.delete("a")
            await use_view(view)
        with pytest.raises(StoreClosed):
            await view.get("a")
        assert await store.get("a", None) is None
        with pytest.raises(DuplicateEvent):
            await store.save(ABC[1])
        await store.save(ABC[1], on_duplicate="ignore")
        await store.save(Event("e"))
        assert_type(await store.delete_many(["e", "x"]), int)
        assert await store.count() == 2
        assert_type(store.follow(), AsyncChanges)
        assert_type(store.changes("start"), AsyncChanges)
        assert_type(await store.position(), str)
        assert_type(await store.around("b", 1, 1), list[Event])
        assert await store.cursors() == {}
        with pytest.raises(InvalidQuery):
            await store.delete_cursor("x")
        with pytest.raises(InvalidEvent):
            await store.save(7)  # type: ignore[arg-type]
        with pytest.raises(EventNotFound):
            await store.delete("a")
        with pytest.raises(InvalidQuery):
            await store.save(ABC[0], timeout=-1)
    calls = [store.save(ABC[0]), store.get("b"), store.count(), anext(store.search())]
    for call in [*calls, store.save_many([]), store.delete("b")]:
        with pytest.raises(StoreClosed):
            await call
    await store.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_store_works_in_each_loop(kind: str, make: Make) -> None:
    run_in(kind, lambda: use_store(make))


def test_the_methods_are_those_of_the_contract() -> None:
    """So are their arguments and docstrings: a program can be changed line by line."""
    names = {name for name in dir(EventStore) if not name.startswith("_")}
    assert names <= set(dir(AsyncEventStore)), names - set(dir(AsyncEventStore))
    for name in names - {"get"}:
        sync, own = getattr(EventStore, name), getattr(AsyncEventStore, name)
        assert [*inspect.signature(own).parameters] == [*inspect.signature(sync).parameters]
        assert own.__doc__


def test_the_loop_goes_on_while_the_store_works() -> None:
    """Each call waits in a thread until the loop has done something else."""
    go = threading.Event()

    class Waits(MemoryEventStore):
        pass

    def waits(name: str) -> Callable[..., Any]:
        def method(*arguments: Any, **named: Any) -> Any:
            assert threading.current_thread() is not threading.main_thread()
            assert go.wait(60), "the loop stands still"
            go.clear()
            return getattr(MemoryEventStore, name)(*arguments, **named)

        return method

    for name in ("get", "search", "save", "save_many", "delete", "count", "close"):
        setattr(Waits, name, waits(name))

    async def main() -> None:
        store = AsyncEventStore(Waits())
        calls = [store.save(ABC[0]), store.get("a"), store.count(), anext(store.search())]
        for call in [*calls, store.save_many([ABC[1]]), store.delete("b"), store.close()]:
            task = asyncio.ensure_future(call)
            while not task.done():
                await asyncio.sleep(0)
                go.set()
            await task
            go.clear()

    asyncio.run(main())


def test_an_opening_that_fails_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")

    async def main() -> None:
        with pytest.raises(StoreOpenError):
            await AsyncEventStore.open(LMDBEventStore, tmp_path / "file")
        with pytest.raises(InvalidOption, match=r"^store: "):
            await AsyncEventStore.open(lambda: 7)  # type: ignore[arg-type,return-value]

    asyncio.run(main())


def test_a_wrong_argument_is_refused_by_name() -> None:
    with pytest.raises(InvalidOption, match=r"^store: .* await AsyncEventStore\.open"):
        AsyncEventStore("events")  # type: ignore[arg-type]
    for wrong in (0, True, "8"):
        with pytest.raises(InvalidOption, match=r"^threads: "):
            AsyncEventStore(MemoryEventStore(), threads=wrong)  # type: ignore[arg-type]


def test_several_loops_may_use_one_store() -> None:
    store = AsyncEventStore(MemoryEventStore())

    async def save(name: str) -> None:
        await asyncio.gather(*(store.save(Event(f"{name}{n}")) for n in range(50)))

    threads = [threading.Thread(target=asyncio.run, args=(save(name),)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    async def end() -> None:
        async with store:
            assert await store.count() == 150

    asyncio.run(end())


def test_a_forked_child_begins_threads_of_its_own(path: Path) -> None:
    store = AsyncEventStore(LMDBEventStore(path))

    async def use(name: str) -> None:
        await store.save(Event(name))
        assert (await store.get(name)).id == name

    asyncio.run(use("parent"))
    store._saves._thread_comes = True  # as in the middle of a save

    def child() -> None:
        asyncio.run(use("child"))
        asyncio.run(store.close())

    in_child(child)
    store._saves._thread_comes = False
    asyncio.run(use("parent again"))
    asyncio.run(store.close())


AFTER_THE_MAIN_THREAD = """
import asyncio, concurrent.futures.thread as pools, threading, time
from lmdbstore import Event, MemoryEventStore
from lmdbstore.aio import AsyncEventStore

async def main():
    while not pools._shutdown:
        time.sleep(0.001)
    async with AsyncEventStore(MemoryEventStore()) as store:
        await store.save(Event("a"))
        print(await store.count())

threading.Thread(target=asyncio.run, args=(main(),)).start()
"""


def test_a_loop_in_a_thread_works_on_when_the_main_thread_has_ended() -> None:
    """Pools take no more then."""
    assert output_of([sys.executable, "-c", AFTER_THE_MAIN_THREAD]) == "1\n"
