"""Keep what a server's requests say, in an event loop, and follow it in another task.

    python tests/recipes/serve.py

It makes a store in the present folder. Many tasks save at once, which takes a few flushes; one task
follows; and one save is given up, and says whether it happened.
"""

from __future__ import annotations

import asyncio

from lmdbstore import Event, LMDBEventStore
from lmdbstore.aio import AsyncEventStore, happened

REQUESTS = 100


async def handle(store: AsyncEventStore, number: int) -> None:
    """Answer one request."""
    tags = ["slow"] if number % 40 == 0 else []
    await store.save(Event(source="server", tags=tags, content=f"request {number}"))


async def watch(store: AsyncEventStore, ready: asyncio.Event) -> None:
    """Print the slow requests as they come."""
    async with store.follow(flags=["slow"]) as events:
        ready.set()
        found = [(await anext(events)).content for _ in range(3)]
    print("slow:", *sorted(found))


async def main() -> None:
    """Serve, watch and look."""
    async with await AsyncEventStore.open(LMDBEventStore, "events") as store:
        ready = asyncio.Event()
        watching = asyncio.create_task(watch(store, ready))
        await ready.wait()
        await asyncio.gather(*(handle(store, number) for number in range(REQUESTS)))
        await watching
        print("saved:", await store.count())
        saving = asyncio.create_task(handle(store, REQUESTS))
        await asyncio.sleep(0)
        saving.cancel()
        try:
            await saving
        except asyncio.CancelledError as error:
            there = await store.count() > REQUESTS
            print("given up, and the error knows what happened:", happened(error) == there)


if __name__ == "__main__":
    asyncio.run(main())
