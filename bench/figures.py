"""First figures: the store beside SQLite on the same events, in one run, as ratios.

    python bench/figures.py [--events 300000] [--repeat 5]

Each row is the median of several runs, store and SQLite in turn; a ratio above 1 says that the
store is faster. SQLite is set up as its users would: WAL, a memory map, an index by time, a tag
table WITHOUT ROWID, ANALYZE, `synchronous=FULL` for durable saves, and REGEXP as a Python function.
Both give the same `Event` objects.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import re
import shutil
import sqlite3
import statistics
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from lmdbstore import Event, LMDBEventStore

SEED = 20_24
FLAGS = 200  # different ones, Zipf-distributed, three an event
WORDS = ["user", "admin", "timeout", "connect", "open", "close", "read", "write", "session", "disk"]


def made_events(number: int) -> Iterator[Event]:
    """Generate events: UUIDv4 ids, about 120 bytes of content, three flags."""
    chance = random.Random(SEED)
    weights = [1 / rank for rank in range(1, FLAGS + 1)]
    names = [f"flag{rank}" for rank in range(1, FLAGS + 1)]
    for n in range(number):
        words = " ".join(chance.choices(WORDS, k=15))
        yield Event(
            str(uuid.UUID(int=chance.getrandbits(128), version=4)),
            f"host{n % 20}",
            1.7e9 + n * 0.01,
            list(dict.fromkeys(chance.choices(names, weights, k=3))),
            f"{words} {chance.getrandbits(32):08x}" + (" needle" if n % 10_007 == 0 else ""),
        )


class SQLite:
    """The peer."""

    def __init__(self, path: Path) -> None:
        self.db = sqlite3.connect(path / "events.db", check_same_thread=False)
        self.db.executescript(
            """PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA mmap_size=8589934592;
            CREATE TABLE event (n INTEGER PRIMARY KEY, id TEXT UNIQUE, source TEXT, ts REAL,
                                tags TEXT, content TEXT);
            CREATE INDEX by_time ON event (ts, n);
            CREATE TABLE tag (flag TEXT, n INTEGER, PRIMARY KEY (flag, n)) WITHOUT ROWID;"""
        )
        self.db.create_function("regexp", 2, self._regexp, deterministic=True)
        self.lock = threading.Lock()

    @staticmethod
    def _regexp(pattern: str, content: str) -> bool:
        return re.search(pattern, content) is not None

    def save_many(self, events: Iterable[Event]) -> None:
        with self.lock, self.db:
            for event in events:
                row = (
                    event.id,
                    event.source,
                    event.timestamp,
                    json.dumps(event.tags),
                    event.content,
                )
                n = self.db.execute(
                    "INSERT INTO event (id, source, ts, tags, content) VALUES (?,?,?,?,?)", row
                ).lastrowid
                self.db.executemany("INSERT INTO tag VALUES (?,?)", [(t, n) for t in event.tags])

    def save(self, event: Event) -> None:
        self.save_many([event])

    def _events(self, where: str, *values: object) -> Iterator[Event]:
        query = f"SELECT id, source, ts, tags, content FROM event {where}"
        for row in self.db.execute(query, values):
            yield Event(row[0], row[1], row[2], json.loads(row[3]), row[4])

    def get(self, event_id: str) -> Event:
        return next(self._events("WHERE id = ?", event_id))

    def between(self, start: float, end: float) -> Iterator[Event]:
        return self._events("WHERE ts BETWEEN ? AND ? ORDER BY ts, n", start, end)

    def newest(self, number: int) -> Iterator[Event]:
        return self._events("ORDER BY ts DESC, n DESC LIMIT ?", number)

    def flagged(self, *flags: str) -> Iterator[Event]:
        joins = " ".join(
            f"JOIN tag t{k} ON t{k}.n = event.n AND t{k}.flag = ?" for k in range(len(flags))
        )
        return self._events(f"{joins} ORDER BY ts, event.n", *flags)

    def matching(self, pattern: str) -> Iterator[Event]:
        return self._events("WHERE content REGEXP ? ORDER BY ts, n", pattern)

    def finish(self) -> None:
        self.db.execute("ANALYZE")


class Ours:
    """The store."""

    def __init__(self, path: Path) -> None:
        self.store = LMDBEventStore(path / "events")
        self.save, self.save_many, self.get = (
            self.store.save,
            self.store.save_many,
            self.store.get,
        )

    def between(self, start: float, end: float) -> Iterable[Event]:
        return self.store.search(start, end)

    def newest(self, number: int) -> Iterable[Event]:
        return self.store.search(order="desc", limit=number)

    def flagged(self, *flags: str) -> Iterable[Event]:
        return self.store.search(flags=flags)

    def matching(self, pattern: str) -> Iterable[Event]:
        return self.store.search(match=pattern)

    def finish(self) -> None:
        pass


Peer = Ours | SQLite


def from_threads(peer: Peer, threads: int, each: int) -> None:
    """Save events from several threads at once."""

    def work() -> None:
        for _ in range(each):
            peer.save(Event(source="t", tags=["a", "b", "c"], content="x" * 120))

    running = [threading.Thread(target=work) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()


def operations(events: list[Event]) -> dict[str, tuple[int, Callable[[Peer], object]]]:
    """Return the rows: how many operations or events a run is counted as, and the run."""
    number = len(events)
    ids = [event.id for event in random.Random(SEED).sample(events, 2000)]
    middle = events[number // 2].timestamp
    third = number // 3

    def drain(found: Iterable[Event]) -> int:
        return sum(1 for _ in found)

    return {
        "save, 1 thread": (200, lambda p: from_threads(p, 1, 200)),
        "save, 16 threads": (640, lambda p: from_threads(p, 16, 40)),
        "save, 64 threads": (1280, lambda p: from_threads(p, 64, 20)),
        "get": (2000, lambda p: [p.get(event_id) for event_id in ids]),
        f"range of {third:,}": (third, lambda p: drain(p.between(middle, middle + third * 0.01))),
        "range of 100": (100, lambda p: drain(p.between(middle, middle + 1))),
        "newest 100": (100, lambda p: drain(p.newest(100))),
        "one rare flag": (1, lambda p: drain(p.flagged("flag200"))),
        "one common flag": (number, lambda p: drain(p.flagged("flag1"))),
        "two common flags": (number, lambda p: drain(p.flagged("flag1", "flag2"))),
        "rare and common flag": (1, lambda p: drain(p.flagged("flag1", "flag200"))),
        "pattern, rare literal": (number, lambda p: drain(p.matching("needle"))),
        "pattern, no literal": (number, lambda p: drain(p.matching(r"\b[0-9]{6}00$"))),
        "pattern, a few percent": (number, lambda p: drain(p.matching("[0-9a-f]{6}[0-7]5"))),
    }


def timed(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    events = list(made_events(arguments.events))
    gc.freeze()  # the collector need not look at the sample again and again, for either peer
    folders = [Path(tempfile.mkdtemp(prefix="figures-")) for _ in range(2)]
    peers: list[Peer] = [Ours(folders[0]), SQLite(folders[1])]
    print(f"| {arguments.events:,} events | store, us each | SQLite, us each | ratio |")
    print("|---|---|---|---|")

    def row(name: str, count: int, times: list[list[float]]) -> None:
        ours, theirs = (statistics.median(each) / count * 1e6 for each in times)
        print(f"| {name} | {ours:,.2f} | {theirs:,.2f} | {theirs / ours:.2f} |", flush=True)

    batches = [events[start : start + 10_000] for start in range(0, len(events), 10_000)]
    times = [[timed(lambda b=b, p=p: p.save_many(b)) for b in batches] for p in peers]  # type: ignore[misc]  # mypy cannot type defaults of lambdas
    row("save_many, 10,000", 10_000, times)
    for peer in peers:
        peer.finish()
    for name, (count, run) in operations(events).items():
        times = [[], []]
        for _ in range(arguments.repeat):
            for peer, each in zip(peers, times, strict=True):
                each.append(timed(lambda p=peer, run=run: run(p)))  # type: ignore[misc]  # the same
        row(name, count, times)
    sizes = [sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) for folder in folders]
    print(f"| bytes per event | {sizes[0] / len(events):,.0f} | {sizes[1] / len(events):,.0f} | |")
    for folder in folders:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
