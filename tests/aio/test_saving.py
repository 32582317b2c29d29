"""Saves of many tasks join in a few writes, and each gets its own outcome."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from lmdbstore import (
    DuplicateEvent,
    Event,
    InvalidEvent,
    LMDBEventStore,
    MemoryEventStore,
    StoreFull,
    WriteBusy,
)
from lmdbstore.aio import AsyncEventStore, saving
from tests.tools.children import LONG
from tests.tools.loops import KINDS, HeldStore, run_in

if TYPE_CHECKING:
    from pathlib import Path


def saved_at_once(store: MemoryEventStore | LMDBEventStore, events: list[Event]) -> list[object]:
    """Save all in one round of a loop; return None or the error of each."""

    async def main() -> list[object]:
        opened = AsyncEventStore(store)
        found = await asyncio.gather(*map(opened.save, events), return_exceptions=True)
        opened._workers.close()
        return list(found)

    return asyncio.run(main())


def test_saves_of_one_round_of_the_loop_are_one_write() -> None:
    store = HeldStore()
    store.free.set()
    assert saved_at_once(store, [Event(str(n)) for n in range(100)]) == [None] * 100
    assert store.batches == [[str(n) for n in range(100)]]


def test_saves_that_come_during_a_write_are_the_next_one() -> None:
    store = HeldStore()

    async def main() -> None:
        async with AsyncEventStore(store) as opened:
            first = asyncio.ensure_future(opened.save(Event("a")))
            while not store.entered.is_set():
                await asyncio.sleep(0)
            rest = [asyncio.ensure_future(opened.save(Event(id_))) for id_ in "bcd"]
            while len(opened._saves._waiting) < 3:
                await asyncio.sleep(0)
            store.free.set()
            await asyncio.gather(first, *rest)

    asyncio.run(main())
    assert store.batches == [["a"], ["b", "c", "d"]]


def test_a_write_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saving, "BATCH", 10)
    store = HeldStore()
    store.free.set()
    saved_at_once(store, [Event(str(n)) for n in range(25)])
    assert [len(batch) for batch in store.batches] == [10, 10, 5]


def test_each_gets_its_own_error(path: Path) -> None:
    with LMDBEventStore(path) as store:
        store.save(Event("there"))
        events = [Event(str(n)) for n in range(20)]
        events[3], events[11], events[12] = Event("there"), Event("half \ud800"), Event("5")
        found = saved_at_once(store, events)
        kinds = {n: type(error) for n, error in enumerate(found) if error is not None}
        assert kinds == {3: DuplicateEvent, 11: InvalidEvent, 12: DuplicateEvent}
        assert "number" not in str(found[11])
        assert len(store) == 18


def test_the_first_of_two_equal_ids_is_saved() -> None:
    store = MemoryEventStore()
    found = saved_at_once(store, [Event("a", content="1"), Event("a", content="2")])
    assert [type(error) for error in found] == [type(None), DuplicateEvent]
    assert store.get("a").content == "1"


def test_what_does_not_fit_into_a_full_store_fails_alone(path: Path) -> None:
    with LMDBEventStore(path, map_size=1 << 20) as store:
        found = saved_at_once(store, [Event("big", content="x" * (1 << 20)), Event("small")])
        assert [type(error) for error in found] == [StoreFull, type(None)]


def test_an_error_of_all_is_an_exception_of_each() -> None:
    store = HeldStore()
    store.free.set()
    store.error = WriteBusy("others wrote")
    first, second = saved_at_once(store, [Event("a"), Event("b")])
    assert first is not second
    assert [str(first), str(second)] == ["others wrote"] * 2
    assert len(store.batches) == 1  # not tried again: the outcome may be unknown


def test_a_save_with_a_time_limit_does_not_wait_for_the_others() -> None:
    store = HeldStore()

    async def main() -> None:
        async with AsyncEventStore(store) as opened:
            tasks = [asyncio.ensure_future(opened.save(Event("a")))]
            while not store.entered.is_set():
                await asyncio.sleep(0)
            tasks.append(asyncio.ensure_future(opened.save(Event("b"), timeout=60)))
            while len(store.batches) < 2:
                await asyncio.sleep(0)
            store.free.set()
            await asyncio.gather(*tasks)

    asyncio.run(main())


@pytest.mark.parametrize("kind", KINDS)
def test_a_thousand_saves_in_each_loop(kind: str, path: Path) -> None:
    async def main() -> None:
        async with await AsyncEventStore.open(LMDBEventStore, path) as store:
            if "trio" in kind:
                import trio

                async with trio.open_nursery() as nursery:
                    for n in range(1000):
                        nursery.start_soon(store.save, Event(str(n)))
            else:
                await asyncio.gather(*(store.save(Event(str(n))) for n in range(1000)))
            assert await store.count() == 1000

    run_in(kind, main)


def test_a_loop_that_is_closed_before_its_save_begins_stops_no_other_one() -> None:
    store = MemoryEventStore()
    opened = AsyncEventStore(store)
    loop = asyncio.new_event_loop()
    save = opened.save(Event("a"))
    loop.call_soon(save.send, None)
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()

    async def main() -> None:
        async with opened, asyncio.timeout(LONG):
            await opened.save(Event("b"))
            assert await opened.count() == 2

    asyncio.run(main())
    save.close()
