"""What goes on: following, and exports."""

from __future__ import annotations

import asyncio
import io
import json
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import Event, StoreDamaged
from lmdbstore.aio.paged import AsyncPaged
from lmdbstore.transfer.export import export
from lmdbstore.web.limits import Limits
from tests.tools.asking import messages
from tests.web.conftest import EVENTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmdbstore import EventStore
    from tests.tools.asking import Asking, Request


class Following:
    """A client that follows."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.text = b""
        self.status = 0

    async def begin(self) -> Following:
        self.status = (await self.request.message())["status"]
        return self

    async def until(self, number: int) -> list[str]:
        """Read on until so many events came; return their ids."""
        while len(self.ids) < number:
            self.text += (await self.request.message())["body"]
        return self.ids

    @property
    def ids(self) -> list[str]:
        found = [json.loads(one["data"]) for one in messages(self.text) if "data" in one]
        assert not any(one["dropped"] for one in found)
        return [event["id"] for one in found for event in one["events"]]

    @property
    def place(self) -> str:
        return messages(self.text)[-1]["id"]


def follow(asking: Asking, query: str = "", **headers: str) -> Following:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Following(asking.request(f"/api/follow?{query}", headers=named))


async def saved(store: EventStore, *events: Event) -> None:
    await asyncio.to_thread(store.save_many, events)


def test_events_come_as_they_are_saved(asking: Asking, store: EventStore) -> None:
    async def scenario() -> None:
        client = await follow(asking).begin()
        assert await client.until(0) == []
        client.text += (await client.request.message())["body"]
        assert client.place == store.position()  # a browser that comes back names it
        await saved(store, Event("new1", timestamp=-5.0), Event("new2"))
        assert await client.until(2) == ["new1", "new2"]
        await saved(store, Event("new3"))
        assert await client.until(3) == ["new1", "new2", "new3"]
        assert client.place == store.position()
        await client.request.leave()

    asking.run(scenario())


@pytest.mark.parametrize(
    "query",
    [
        "match=red%20%5B3-5%5D%24",
        "flag=even&flag=fifth",
        "any_flag=even&any_flag=fifth",
        "not_flag=even&not_flag=fifth",
        "source=s1",
        "where=%7B%22status%22%3A%5B%22%3E%22%2C50%5D%7D",
        "source=s1&any_flag=fifth&not_flag=even",
    ],
)
def test_the_conditions_are_those_of_a_list(asking: Asking, query: str) -> None:
    found = asking.ask(f"/api/search?order=asc&limit=1000&{query}").json["events"]

    async def scenario() -> None:
        client = await follow(asking, f"after=start&{query}").begin()
        await client.until(len(found))
        events = [json.loads(one["data"]) for one in messages(client.text) if "data" in one]
        assert sorted(
            (event for one in events for event in one["events"]), key=lambda event: event["id"]
        ) == sorted(found, key=lambda event: event["id"])
        await client.request.leave()

    asking.run(scenario())


def test_who_comes_back_misses_nothing_and_gets_nothing_twice(
    asking: Asking, store: EventStore
) -> None:
    async def scenario() -> None:
        place, seen = store.position(), []
        for turn in range(20):
            client = await follow(asking, "after=start", Last_Event_ID=place).begin()
            await saved(store, *(Event(f"{turn} {n}") for n in range(3)))
            await client.until(1 + turn % 3)
            await client.request.leave()
            seen += client.ids  # what was sent to a client that has gone does not count
            place = client.place
        client = await follow(asking, Last_Event_ID=place).begin()
        seen += await client.until(60 - len(seen))
        assert seen == [f"{turn} {n}" for turn in range(20) for n in range(3)]
        await client.request.leave()

    asking.run(scenario())


def test_many_events_come_in_few_messages(
    store: EventStore, asking_with: Callable[[Limits], Asking]
) -> None:
    store.save_many(EVENTS)
    asking = asking_with(Limits(message=30))

    async def scenario() -> None:
        client = await follow(asking, "after=start").begin()
        await client.until(100)
        sizes = [
            len(json.loads(one["data"])["events"]) for one in messages(client.text) if "data" in one
        ]
        assert max(sizes) == 30
        await client.request.leave()

    asking.run(scenario())


def test_a_quiet_stream_is_kept_open_and_moves_on(
    store: EventStore, asking_with: Callable[[Limits], Asking]
) -> None:
    asking = asking_with(Limits(keep=0.05))

    async def scenario() -> None:
        client = await follow(asking, "match=nothing&any_flag=none").begin()
        await saved(store, *EVENTS)
        while not client.text or client.place != store.position():
            client.text += (await client.request.message())["body"]
        assert client.ids == []
        await client.request.leave()

    asking.run(scenario())


def test_a_failure_is_the_last_message(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        client = await follow(asking).begin()
        await client.request.message()

        async def fails(_: object) -> Event:
            raise StoreDamaged("/a/path/of/the/machine is damaged")

        monkeypatch.setattr(AsyncPaged, "__anext__", fails)
        await saved(asking.served._store, Event())
        last: dict[str, Any] = {"more_body": True}
        while last["more_body"]:
            last = await client.request.message()
        (found,) = messages(last["body"])
        assert found["event"] == "error"
        assert json.loads(found["data"])["error"]["code"] == "damaged"
        assert "machine" not in found["data"]
        assert asking.said == ["/a/path/of/the/machine is damaged"]

    asking.run(scenario())


EXPORTS: list[tuple[str, dict[str, Any]]] = [
    ("", {"order": "desc"}),
    ("order=asc&match=red", {"match": "red"}),
    ("order=asc&since=1010&flag=even&not_flag=fifth", {"ts_start": 1010, "flags": ["even"],
                                                        "not_flags": ["fifth"]}),
    ("source=none", {"source": "none"}),
]  # fmt: skip


@pytest.mark.parametrize(("query", "sought"), EXPORTS)
@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_an_export_has_the_lines_of_the_command(
    asking: Asking, store: EventStore, query: str, sought: dict[str, Any], kind: Any
) -> None:
    file = io.BytesIO()
    export(store.search(**sought), file, kind)
    answer = asking.ask(f"/api/export?{query}&format={kind}")
    assert (answer.status, answer.body, answer.whole) == (200, file.getvalue(), True)
    assert answer.headers["content-disposition"] == f'attachment; filename="events.{kind}"'
    assert answer.headers["content-type"].startswith(
        {"jsonl": "application/", "csv": "text/csv"}[kind]
    )


def test_an_export_that_fails_has_no_end(asking: Asking, store: EventStore) -> None:
    """So the client sees that the file is not whole."""
    store.save(Event("long", timestamp=0.0, content="x" * (17 << 20)))
    answer = asking.ask("/api/export")
    assert (answer.status, answer.whole) == (200, False)
    assert "'long'" in asking.said[0]
