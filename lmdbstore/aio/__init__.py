"""Any event store, for programs of asyncio: `AsyncEventStore`. It runs under trio and anyio, too.

    from lmdbstore import Event, LMDBEventStore
    from lmdbstore.aio import AsyncEventStore

    async with await AsyncEventStore.open(LMDBEventStore, "events") as store:
        await store.save(Event(source="door", content="opened by force"))
        async for event in store.search(match="force", limit=10):
            print(event.content)

    async with store.follow() as events:
        async for event in events:  # as they are saved, by any process
            print(event.content)

The store works in threads, so the event loop never waits for a disk, a lock or another process.

A call that is cancelled has happened or not, and says which. Until a thread begins with it, it is
withdrawn. A read is given up at once: it changes nothing. A change that has begun is not given up:
the call waits for its end, however long that takes (`timeout=` bounds the wait for others), and
then raises the `CancelledError`. `happened(error)` tells what became of it: True, it was carried
out; False, nothing was written; None, the store itself does not know: its exception, which says
more, is the `__cause__`. The same is in a note of the error. `asyncio.timeout` and `wait_for` turn
the error into a TimeoutError, which `happened` understands, too:

    try:
        async with asyncio.timeout(1):
            await store.save(event)
    except TimeoutError as error:
        if happened(error):
            ...

A cancel scope of anyio swallows the error. Look at it inside of the scope, as with
`anyio.get_cancelled_exc_class()`, and raise it again. Under trio, also through anyio, it is as
usual there: a change that has begun returns its result, and the next checkpoint raises Cancelled;
a call that raises Cancelled has not happened.
"""

from __future__ import annotations

from .cancelling import happened
from .cursor import AsyncCursor
from .paged import AsyncChanges, AsyncSearch
from .store import AsyncEventStore
from .view import AsyncEventView

__all__ = [
    "AsyncChanges",
    "AsyncCursor",
    "AsyncEventStore",
    "AsyncEventView",
    "AsyncSearch",
    "happened",
]
