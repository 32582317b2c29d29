"""A cancelled call has happened or not, and says which."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import (
    DuplicateEvent,
    Event,
    EventWriteException,
    LMDBEventStore,
    MemoryEventStore,
    StoreMoved,
    WriteBusy,
)
from lmdbstore.aio import AsyncEventStore, cancelling, happened
from lmdbstore.aio.cancelling import NOTES
from tests.tools.loops import HeldStore, run_in

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

LOOPS = ["asyncio", "uvloop", "anyio on asyncio"]
TRIO = ["trio", "anyio on trio"]


async def begun(store: HeldStore) -> None:
    while not store.entered.is_set():
        await asyncio.sleep(0)


async def rounds(number: int) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


def cancelled_while_written(
    kind: str, error: Exception | None = None
) -> tuple[HeldStore, asyncio.CancelledError]:
    """Cancel a save that a thread has begun, and let it end then."""
    store = HeldStore()

    async def main() -> asyncio.CancelledError:
        opened = AsyncEventStore(store)
        task = asyncio.ensure_future(opened.save(Event("a")))
        await begun(store)
        for _ in range(3):  # once is enough; more make no difference
            task.cancel("from outside")
            await rounds(3)
            assert not task.done()
        store.error = error
        store.free.set()
        with pytest.raises(asyncio.CancelledError, match="from outside") as caught:
            await task
        assert task.cancelled()
        opened._workers.close()
        return caught.value

    return store, run_in(kind, main)


@pytest.mark.parametrize("kind", LOOPS)
def test_a_save_that_has_begun_is_waited_for_and_says_that_it_happened(kind: str) -> None:
    store, error = cancelled_while_written(kind)
    assert len(store) == 1
    assert happened(error) is True
    assert error.__notes__ == [f"lmdbstore.aio: {NOTES[True]}"]


OUTCOMES: list[tuple[Exception, bool | None]] = [
    (DuplicateEvent("x"), False),
    (StoreMoved("x", committed=True), True),
    (StoreMoved("x", committed=False), False),
    (WriteBusy("x"), None),
    (EventWriteException("x"), None),
]


@pytest.mark.parametrize(("failure", "known"), OUTCOMES)
def test_a_save_that_failed_says_so(failure: Exception, known: bool | None) -> None:
    _, error = cancelled_while_written("asyncio", failure)
    assert happened(error) is known
    assert type(error.__cause__) is type(failure)


@pytest.mark.parametrize("kind", LOOPS)
def test_a_save_that_has_not_begun_is_withdrawn(kind: str) -> None:
    store = HeldStore()

    async def main() -> None:
        opened = AsyncEventStore(store)
        first = asyncio.ensure_future(opened.save(Event("a")))
        await begun(store)
        tasks = [asyncio.ensure_future(opened.save(Event(id_))) for id_ in "bc"]
        await rounds(3)
        tasks[0].cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await tasks[0]
        assert happened(caught.value) is False
        assert not first.done()  # it did not wait for this
        store.free.set()
        await asyncio.gather(first, tasks[1])
        await opened.close()

    run_in(kind, main)
    assert store.batches == [["a"], ["c"]]


@pytest.mark.parametrize("name", ["save_many", "delete", "save with a limit"])
def test_other_changes_wait_or_are_withdrawn_as_well(name: str) -> None:
    go, entered = threading.Event(), threading.Event()

    class Slow(MemoryEventStore):
        def _add(self, *arguments: Any) -> Any:
            entered.set()
            go.wait()
            return super()._add(*arguments)

        def _remove(self, ids: set[str]) -> int:
            entered.set()
            go.wait()
            return super()._remove(ids)

    def call(store: AsyncEventStore) -> Coroutine[Any, Any, object]:
        if name == "delete":
            return store.delete("there")
        return store.save_many([Event()]) if name == "save_many" else store.save(Event(), timeout=9)

    async def main() -> None:
        go.set()
        sync = Slow()
        sync.save(Event("there"))
        go.clear()
        entered.clear()
        store = AsyncEventStore(sync, threads=1)
        task = asyncio.ensure_future(call(store))
        while not entered.is_set():
            await asyncio.sleep(0)
        second = asyncio.ensure_future(call(store))
        await rounds(3)
        task.cancel()
        second.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await second
        assert happened(caught.value) is False
        go.set()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert happened(caught.value) is True
        assert await store.count() == (0 if name == "delete" else 2)
        await store.close()

    asyncio.run(main())


async def freed_when_cancelled(store: HeldStore, task: asyncio.Task[Any], times: int = 1) -> None:
    """Let the write of a task end when the task was cancelled."""
    while task.cancelling() < times:
        await asyncio.sleep(0)
    store.free.set()


async def saved_within(opened: AsyncEventStore, store: HeldStore, how: str) -> None:
    """Save, with a time limit that ends when a thread has begun to write."""
    if how == "timeout":
        task = asyncio.current_task()
        assert task is not None
        async with asyncio.timeout(None) as limit, asyncio.TaskGroup() as group:
            group.create_task(begun(store)).add_done_callback(lambda _: limit.reschedule(0))
            group.create_task(freed_when_cancelled(store, task))
            await opened.save(Event("a"))
    else:
        save = asyncio.ensure_future(opened.save(Event("a")))
        await begun(store)
        freed = asyncio.ensure_future(freed_when_cancelled(store, save))
        try:
            await asyncio.wait_for(save, 0)
        finally:
            await freed


@pytest.mark.parametrize("how", ["timeout", "wait_for"])
def test_a_timeout_of_asyncio_says_whether_the_call_happened(how: str) -> None:
    store = HeldStore()

    async def main() -> None:
        opened = AsyncEventStore(store)
        with pytest.raises(TimeoutError) as caught:
            await saved_within(opened, store, how)
        assert happened(caught.value) is True
        assert len(store) == 1
        await opened.close()

    asyncio.run(main())


def test_a_timeout_of_asyncio_says_that_the_call_was_withdrawn() -> None:
    store = HeldStore()

    async def main() -> None:
        opened = AsyncEventStore(store)
        first = asyncio.ensure_future(opened.save(Event("a")))
        await begun(store)
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(0):
                await opened.save(Event("b"))
        assert happened(caught.value) is False
        store.free.set()
        await first
        assert len(store) == 1
        await opened.close()

    asyncio.run(main())


def test_the_outer_of_two_timeouts_is_not_taken_for_the_inner_one() -> None:
    store = HeldStore()

    async def expire(limits: list[asyncio.Timeout], task: asyncio.Task[Any]) -> None:
        await begun(store)
        for number, limit in enumerate(limits, 1):
            limit.reschedule(0)
            while task.cancelling() < number:
                await asyncio.sleep(0)
        store.free.set()

    async def main() -> None:
        opened = AsyncEventStore(store)
        task = asyncio.current_task()
        assert task is not None
        seen = list[object]()
        try:
            async with asyncio.timeout(None) as outer:
                try:
                    async with asyncio.timeout(None) as inner:
                        expires = asyncio.ensure_future(expire([inner, outer], task))
                        await opened.save(Event("a"))
                except TimeoutError:
                    seen.append("inner")
        except TimeoutError as error:
            seen.append(happened(error))
        assert seen == [True]
        await expires
        await opened.close()

    asyncio.run(main())


def test_a_task_group_ends_when_its_saves_have_ended(path: Path) -> None:
    async def fails() -> None:
        await asyncio.sleep(0)
        raise ZeroDivisionError

    async def saves(store: AsyncEventStore, event: Event) -> None:
        try:
            await store.save(event)
        except asyncio.CancelledError as error:
            outcomes[event.id] = happened(error)
            raise
        outcomes[event.id] = True

    outcomes: dict[str, bool | None] = {}

    async def main() -> None:
        async with await AsyncEventStore.open(LMDBEventStore, path) as store:
            for number in range(20):
                with suppress(ExceptionGroup):
                    async with asyncio.TaskGroup() as group:
                        for n in range(5):
                            group.create_task(saves(store, Event(f"{number} {n}")))
                        group.create_task(fails())
                for id_, known in outcomes.items():
                    assert (await store.get(id_, None) is not None) is known

    asyncio.run(main())
    assert len(outcomes) == 100


def test_a_scope_of_anyio_sees_what_happened_inside_of_it() -> None:
    anyio: Any = pytest.importorskip("anyio")
    store = HeldStore()
    turns: list[int] = []

    async def cancel(scope: Any) -> None:
        await begun(store)
        scope.cancel()
        await rounds(100)  # in which anyio must not wake the task again and again
        store.free.set()

    async def main() -> None:
        opened = AsyncEventStore(store)
        known = None
        with anyio.CancelScope() as scope:
            cancels = asyncio.ensure_future(cancel(scope))
            try:
                await opened.save(Event("a"))
            except anyio.get_cancelled_exc_class() as error:
                known = happened(error)
                raise
        assert (known, scope.cancelled_caught, len(store)) == (True, True, 1)
        await cancels
        assert len(turns) < 10
        await opened.close()

    def counted(future: Any) -> Any:
        turns.append(1)
        return wait(future)

    wait = cancelling._wait
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cancelling, "_wait", counted)
        run_in("anyio on asyncio", main)


@pytest.mark.parametrize("kind", TRIO)
def test_under_trio_a_change_that_has_begun_returns_its_result(kind: str) -> None:
    trio: Any = pytest.importorskip("trio")
    store = HeldStore()
    saved = list[object]()

    async def written() -> None:
        while not store.entered.is_set():
            await trio.lowlevel.checkpoint()

    async def cancel(scope: Any) -> None:
        await written()
        scope.cancel()
        store.free.set()

    async def first(opened: AsyncEventStore, nursery: Any) -> None:
        with trio.CancelScope() as scope:
            nursery.start_soon(cancel, scope)
            await opened.save(Event("a"))
            saved.append("a")
            await trio.lowlevel.checkpoint()
            saved.append("not reached")
        saved.append(scope.cancelled_caught)

    async def second(opened: AsyncEventStore, nursery: Any) -> None:
        store.free.clear()
        store.entered.clear()
        nursery.start_soon(opened.save, Event("b"))
        await written()
        with trio.move_on_after(0):
            try:
                await opened.save(Event("c"))
            except trio.Cancelled as error:
                saved.append(happened(error))
                raise
        store.free.set()

    async def main() -> None:
        opened = AsyncEventStore(store)
        async with trio.open_nursery() as nursery:
            await first(opened, nursery)
            await second(opened, nursery)
        assert saved == ["a", True, False]
        assert [event.id async for event in opened.search()] == ["a", "b"]
        await opened.close()

    run_in(kind, main)


@pytest.mark.parametrize("kind", LOOPS)
def test_a_read_is_given_up_at_once(kind: str) -> None:
    go, entered = threading.Event(), threading.Event()

    class Slow(MemoryEventStore):
        def count(self, *_: Any, **__: Any) -> Any:
            entered.set()
            go.wait()
            return super().count()

    async def main() -> None:
        store = AsyncEventStore(Slow())
        task = asyncio.ensure_future(store.count())
        while not entered.is_set():
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert happened(caught.value) is None
        go.set()
        await store.close()

    run_in(kind, main)


def test_a_snapshot_that_is_cancelled_is_closed() -> None:
    go, entered, opened = threading.Event(), threading.Event(), list[Any]()

    class Slow(MemoryEventStore):
        def snapshot(self, **named: Any) -> Any:
            entered.set()
            go.wait()
            opened.append(super().snapshot(**named))
            return opened[0]

    async def snapshot(store: AsyncEventStore) -> None:
        async with store.snapshot():
            raise AssertionError("not reached")

    async def main() -> None:
        async with AsyncEventStore(Slow()) as store:
            task = asyncio.ensure_future(snapshot(store))
            while not entered.is_set():
                await asyncio.sleep(0)
            task.cancel()
            await rounds(3)
            assert not task.done()
            go.set()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert opened[0]._closed

    asyncio.run(main())


def test_an_opening_that_is_cancelled_closes_the_store(path: Path) -> None:
    async def main() -> None:
        task = asyncio.ensure_future(AsyncEventStore.open(LMDBEventStore, path))
        await rounds(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_a_close_that_is_cancelled_closes(path: Path) -> None:
    store = LMDBEventStore(path)

    async def main() -> None:
        task = asyncio.ensure_future(AsyncEventStore(store).close())
        await rounds(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert happened(caught.value) is True
        assert store._closed

    asyncio.run(main())


def test_another_exception_says_nothing() -> None:
    assert happened(asyncio.CancelledError()) is None
    assert happened(KeyError("x")) is None
