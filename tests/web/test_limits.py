"""How much a request may cost, and what ends it."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import (
    Event,
    LMDBEventStore,
    MemoryEventStore,
    StoreClosed,
    StoreDamaged,
    StoreMoved,
    WriteBusy,
)
from lmdbstore.read import found
from lmdbstore.read.executor import Executor
from lmdbstore.web.calls import counting
from lmdbstore.web.limits import Limits
from tests.tools.asking import Asking
from tests.tools.children import LONG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lmdbstore import EventStore

RUNS, EACH = 20, 512


class Gate:
    """Lets pages of a search be read, as many as a test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun = self.read = 0
        self._permits = threading.Semaphore(0)
        next_part = Executor._next_part

        def gated(executor: Executor, *arguments: Any) -> Any:
            self.begun += 1
            assert self._permits.acquire(timeout=LONG)
            self.read += 1
            return next_part(executor, *arguments)

        monkeypatch.setattr(Executor, "_next_part", gated)
        monkeypatch.setattr(found, "MOST_RUNS", 2)  # one of them may be that of the last page

    def open(self, pages: int) -> None:
        self._permits.release(pages)


@pytest.fixture
def runs(path: Path) -> Iterator[LMDBEventStore]:
    """Yield a store with runs in which a pattern is nowhere."""
    with LMDBEventStore(path) as store:
        store.save_many(
            Event(f"e{n}", "s", float(n), [], f"number {n}") for n in range(RUNS * EACH)
        )
        yield store


@pytest.fixture
def gate(runs: LMDBEventStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """Yield the gate of the searches of a store."""
    assert len(runs) == RUNS * EACH
    made = Gate(monkeypatch)
    yield made
    made.open(1000)


def test_a_search_stops_at_its_next_page_when_its_client_goes(
    runs: LMDBEventStore, gate: Gate
) -> None:
    with Asking(runs, Limits(working=1, seconds=LONG)) as asking:

        async def scenario() -> None:
            request = asking.request("/api/search?match=z%5B0-9%5D")
            gate.open(3)
            while gate.begun < 4:  # noqa: ASYNC110  a thread counts
                await asyncio.sleep(0.001)
            await request.leave()
            gate.open(RUNS)  # for all of the others, if it went on
            await asking.served.position()  # in the same thread, after the search
            assert gate.read == 4

        asking.run(scenario())


def test_a_search_that_is_slow_delays_no_others(runs: LMDBEventStore, gate: Gate) -> None:
    with Asking(runs, Limits(working=2, seconds=LONG)) as asking:

        async def scenario() -> None:
            slow = asking.request("/api/search?match=z%5B0-9%5D")
            while not gate.begun:  # noqa: ASYNC110  a thread counts
                await asyncio.sleep(0.001)
            for call in ("stats", "facets", "event/e3?before=0&after=0"):
                answer = await asking.request(f"/api/{call}").answer()
                assert answer.status == 200
            assert not slow.task.done()
            gate.open(1000)
            assert (await slow.answer()).json["events"] == []

        asking.run(scenario())


def test_a_search_goes_on_where_its_time_has_ended(runs: LMDBEventStore, gate: Gate) -> None:
    """Although it has found nothing."""
    match = "[q-r] [3]$"
    with Asking(runs, Limits(working=1, seconds=0.2)) as asking:
        gate.open(5)
        answer = asking.get("search", match=match)
        assert (answer["events"], answer["complete"], answer["more"]) == ([], False, True)
        assert gate.read == 5
        gate.open(1000)
        turns, token = 1, answer["token"]
        while answer["more"]:  # more than once if the machine is slow
            answer = asking.get("search", match=match, after=token)
            turns, token = turns + 1, answer["token"]
        assert [event["id"] for event in answer["events"]] == ["e3"]
        before = gate.read
        assert [event.id for event in runs.search(match=match, order="desc")] == ["e3"]
        assert before < gate.read - before + turns  # what was under way is read again


@pytest.mark.parametrize("call", ["histogram", "facets"])
def test_counting_stops_at_its_next_part_when_its_client_goes(
    store: EventStore, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    monkeypatch.setattr(counting, "FIRST", 5)
    monkeypatch.setattr(counting, "GROWTH", 1)
    store.save_many(Event(timestamp=float(n), content="red") for n in range(100))
    view = type(store.snapshot())
    begun, go_on, parts = threading.Event(), threading.Event(), []
    counted = getattr(view, call)

    def slow(self: object, *arguments: Any, **named: Any) -> Any:
        if named.get("match"):
            parts.append(named)
            begun.set()
            assert go_on.wait(LONG)
        return counted(self, *arguments, **named)

    monkeypatch.setattr(view, call, slow)

    async def scenario(asking: Asking) -> None:
        request = asking.request(f"/api/{call}?match=red")
        assert await asyncio.to_thread(begun.wait, LONG)
        await request.leave()
        go_on.set()
        await asking.served.position()
        assert len(parts) == 1

    with Asking(store, Limits(working=1)) as made:
        made.run(scenario(made))


def test_a_list_ends_at_so_many_characters(
    store: EventStore, asking_with: Callable[[Limits], Asking]
) -> None:
    store.save_many(Event(timestamp=float(n), content="x" * 100) for n in range(50))
    asking = asking_with(Limits(characters=950))
    answer = asking.get("search", limit=50)
    assert (len(answer["events"]), answer["more"], answer["complete"]) == (10, True, True)
    answer = asking.get("search", limit=50, after=answer["token"])
    assert [event["timestamp"] for event in answer["events"]] == list(range(39, 29, -1))


def test_clients_that_are_too_many_are_refused(asking_with: Callable[[Limits], Asking]) -> None:
    asking = asking_with(Limits(streams=2))

    async def scenario() -> None:
        streams = [asking.request("/api/follow") for _ in range(2)]
        for stream in streams:
            assert (await stream.message())["status"] == 200
        refused = await asking.request("/api/follow").answer()
        assert (refused.status, refused.error["code"]) == (503, "busy")
        assert refused.headers["retry-after"] == "5"
        assert (await asking.request("/api/export").answer()).status == 503
        assert (await asking.request("/api/stats").answer()).status == 200
        await streams[0].leave()
        third = asking.request("/api/follow")
        assert (await third.message())["status"] == 200
        for stream in (streams[1], third):
            await stream.leave()
        assert (await asking.request("/api/export").answer()).status == 200

    asking.run(scenario())


def test_requests_that_are_too_many_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()
    monkeypatch.setattr(MemoryEventStore, "stats", lambda _: go_on.wait(LONG) and None)

    async def scenario(asking: Asking) -> None:
        waiting = [asking.request("/api/stats") for _ in range(3)]
        await asyncio.sleep(0)
        refused = await asking.request("/api/stats").answer()
        assert (refused.status, refused.error["code"]) == (503, "busy")
        for one in waiting[1:]:
            await one.leave()
        assert asking.app._requests == 1
        go_on.set()
        await waiting[0].answer()
        assert asking.app._requests == 0

    with Asking(MemoryEventStore(), Limits(working=1, requests=3)) as made:
        made.run(scenario(made))


def test_a_server_that_stops_ends_what_is_under_way(
    asking_with: Callable[[Limits], Asking],
) -> None:
    asking = asking_with(Limits())

    async def scenario() -> None:
        stream = asking.request("/api/follow")
        assert (await stream.message())["status"] == 200
        asking.app.stop()
        await asyncio.wait_for(stream.task, LONG)
        refused = await asking.request("/api/stats").answer()
        assert (refused.status, refused.error["code"]) == (503, "closed")

    asking.run(scenario())


PATH = "/a/path/of/the/machine"
FAILURES = [
    (StoreDamaged(f"{PATH} is damaged"), 500, "damaged"),
    (StoreMoved(f"{PATH} leads elsewhere"), 503, "moved"),
    (StoreClosed(f"the store {PATH} is closed"), 503, "closed"),
    (WriteBusy(f"process 7 writes to {PATH}"), 503, "busy"),
    (OSError(5, "Input/output error", PATH), 500, "internal"),
    (ZeroDivisionError(PATH), 500, "internal"),
]


@pytest.mark.parametrize(("error", "status", "code"), FAILURES)
@pytest.mark.parametrize("call", ["search", "facets", "export", "follow"])
def test_a_failure_names_no_path_of_the_machine(
    monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, code: str, call: str
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    for name in ("search", "facets", "follow", "snapshot", "position"):
        monkeypatch.setattr(MemoryEventStore, name, fails)
    with Asking(MemoryEventStore()) as asking:
        answer = asking.fails(call)
        assert (answer.status, answer.error["code"]) == (status, code)
        assert b"machine" not in answer.body
        assert len(asking.said) == 1
        assert PATH in asking.said[0]
