"""Ten million events on PostgreSQL: in, searched, and purged.

    python -m bench.servers.volume [--events 10000000] [--shards]

It prints how long each step takes, and the memory of this process. The server is made from nothing,
as a distribution sets it up. It takes about fifteen minutes and 15 GB of disk.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from bench.data import BATCH, START, STEP, batches, made_events
from lmdbstore import EventStore
from lmdbstore.sql.server.shards import create_sharded
from lmdbstore.sql.store import SQLEventStore
from tests.sql.servers import Servers

USUAL = {"fsync": "on", "full_page_writes": "on", "autovacuum": "on", "max_wal_size": "1GB"}


def main() -> None:
    """Read the command line, and measure."""
    parser = argparse.ArgumentParser(prog="python -m bench.servers.volume")
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--shards", action="store_true", help="on three shards")
    options = parser.parse_args()
    with closing(_Stopped()) as stopped:
        address = stopped.address(shards=options.shards)
        with SQLEventStore(address) as store:
            measure(store, options.events)


class _Stopped:
    """Servers that are stopped at the end."""

    def __init__(self) -> None:
        self._servers = Servers()
        self.close = self._servers.stop

    def address(self, *, shards: bool) -> str:
        server = self._servers.get("coordinator", USUAL)
        if shards:
            others = [self._servers.get(f"shard{n}", USUAL).address for n in range(3)]
            create_sharded(server.address, others)
        return server.address


def measure(store: SQLEventStore, number: int) -> None:
    """Load, search and purge."""
    with told(f"save_many, {BATCH:,} in a transaction", number):
        for batch in batches(made_events(number)):
            store.save_many(batch)
    middle = START + number // 2 * STEP
    searches: dict[str, Callable[[EventStore], object]] = {
        "newest 100": lambda s: list(s.search(order="desc", limit=100)),
        "range of 100": lambda s: list(s.search(middle, middle + 99.5 * STEP)),
        "first 100 of a rare flag": lambda s: list(s.search(flags=["flag200"], limit=100)),
        "count of a rare flag": lambda s: s.count(flags=["flag200"]),
        "first 100 of a rare word": lambda s: list(s.search(match="needle", limit=100)),
        "count of all": len,
        "histogram by hour": lambda s: s.histogram("hour"),
        "all events, streamed": lambda s: sum(1 for _ in s.search()),
    }
    for name, search in searches.items():
        with told(name):
            search(store)
    with told("purge of half of them", number // 2):
        found = store.purge(before=middle)
    assert found.events == number // 2
    with told("newest 100 after that"):
        searches["newest 100"](store)


@contextmanager
def told(what: str, events: int = 0) -> Iterator[None]:
    """Print how long a step takes."""
    begin = time.perf_counter()
    yield
    seconds = time.perf_counter() - begin
    rate = f", {events / seconds:,.0f} events a second" if events else ""
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{what}: {seconds:.3f} s{rate}; at most {memory:,.0f} MB of memory so far", flush=True)


if __name__ == "__main__":
    main()
