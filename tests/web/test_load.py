"""Many clients that follow and search, beside a process that writes: nothing is missed."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from lmdbstore import Event, LMDBEventStore
from tests.tools.asking import messages
from tests.tools.children import LONG
from tests.tools.commands import ENVIRONMENT
from tests.tools.serving import Server, serving

if TYPE_CHECKING:
    from pathlib import Path

CLIENTS = 50
BATCHES, EACH = 30, 40
WRITER = f"""
import sys, time
from lmdbstore import Event, LMDBEventStore
with LMDBEventStore(sys.argv[1]) as store:
    for batch in range({BATCHES}):
        store.save_many(
            Event(f"new {{batch}} {{n}}", f"s{{n % 4}}", 5e8 + 1 + batch * {EACH} + n,
                  ["even"] * (n % 2 == 0), f"number {{n}}")
            for n in range({EACH})
        )
        time.sleep(0.02)
"""
# What a client follows, and which of the numbers in a batch it finds.
FOLLOWED: list[tuple[str, Any]] = [
    ("", lambda _: True),
    ("source=s3", lambda n: n % 4 == 3),
    ("flag=even", lambda n: n % 2 == 0),
    ("not_flag=even", lambda n: n % 2),
    ("match=number%201%24", lambda n: n == 1),
]


async def read_until(
    reader: asyncio.StreamReader, number: int, place: str
) -> tuple[list[str], str]:
    """Read a stream until it has given so many events; return their ids, and the position."""
    text, found = b"", list[str]()
    await reader.readuntil(b"\r\n\r\n")
    while len(found) < number:
        size = int(await reader.readline(), 16)
        text += (await reader.readexactly(size + 2))[:-2]
        whole, end, text = text.rpartition(b"\n\n")
        for one in messages(whole + end):
            place = one["id"]
            if "data" in one:
                found += [event["id"] for event in json.loads(one["data"])["events"]]
    return found, place


async def follow(server: Server, place: str, query: str, number: int) -> list[str]:
    """Follow until so many events came; go in between, and come back."""
    found: list[str] = []
    for wanted in (number // 3, number // 2, number):
        reader, writer = await asyncio.open_connection(server.host, server.port)
        named = b"\r\nLast-Event-ID: " + place.encode() + b"\r\n\r\n"
        writer.write(server.head(f"/api/follow?{query}").removesuffix(b"\r\n\r\n") + named)
        more, place = await read_until(reader, wanted - len(found), place)
        found += more
        writer.close()
        await writer.wait_closed()
    assert sorted(await asyncio.to_thread(listed, server, query)) == sorted(found)
    return found


def listed(server: Server, query: str) -> list[str]:
    """Return the ids of all events that meet the conditions, page by page."""
    found: list[str] = []
    answer: dict[str, Any] = {"more": True, "token": None}
    while answer["more"]:
        token = {} if answer["token"] is None else {"after": answer["token"]}
        answer = server.get("search", **parse_qs(query), **token, since=5e8 + 0.5, limit=500)
        found += [event["id"] for event in answer["events"]]
    return found


async def search(server: Server, done: asyncio.Event) -> int:
    """Search and count again and again; no answer lacks what an earlier one had."""
    before = turns = 0
    while not done.is_set():
        listed = await asyncio.to_thread(server.get, "search", match="number", limit=1000)
        drawn = await asyncio.to_thread(server.get, "histogram", match="number", since=5e8)
        facets = await asyncio.to_thread(server.get, "facets", match="number")
        numbers = sum(drawn["matching"]), sum(one["count"] for one in facets["sources"])
        assert before <= len(listed["events"]) or listed["more"]
        assert min(1000, len(listed["events"])) <= numbers[0] <= numbers[1]
        before, turns = min(numbers[0], 1000), turns + 1
    return turns


async def scenario(server: Server, path: Path) -> None:
    done, place = asyncio.Event(), server.get("stats")["position"]
    followed = [FOLLOWED[n % len(FOLLOWED)] for n in range(CLIENTS)]
    wanted = [
        [f"new {batch} {n}" for batch in range(BATCHES) for n in range(EACH) if holds(n)]
        for _, holds in followed
    ]
    clients = [
        asyncio.ensure_future(follow(server, place, query, len(ids)))
        for (query, _), ids in zip(followed, wanted, strict=True)
    ]
    searching = [asyncio.ensure_future(search(server, done)) for _ in range(4)]
    writer = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITER, str(path), env=ENVIRONMENT
    )
    assert await asyncio.wait_for(writer.wait(), LONG) == 0
    found = await asyncio.wait_for(asyncio.gather(*clients), LONG)
    done.set()
    assert all(await asyncio.gather(*searching))
    for ids, expected in zip(found, wanted, strict=True):
        assert ids == expected


def test_nothing_is_missed(path: Path) -> None:
    with LMDBEventStore(path) as store:
        store.save(Event("first", timestamp=5e8, content="none"))
    with serving(path) as server:
        asyncio.run(scenario(server, path))
        assert server.end() == (130, b"", b"")
