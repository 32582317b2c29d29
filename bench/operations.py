"""The rows of the tables as data: the operation, its peers, and the unit of its time.

Rules: the preparation of a row is not timed. A reading row must give the same result for all its
peers, event by event. Rows that write come after rows that read, since they change the stores.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import NamedTuple, TypeVar

from lmdbstore import Event

from .data import BATCH, SEED, START, STEP, batches, log_events, made_events, ordered_events, uuid4
from .measure import Run, drained
from .peers import OURS, Peer

__all__ = [
    "ASKED",
    "GROUPS",
    "NO_LITERAL",
    "RELAXED",
    "SNAPSHOT",
    "Answer",
    "Group",
    "Row",
    "Sample",
]

T = TypeVar("T")

Answer = Iterable[Event | None] | Iterable[tuple[float | str, int]] | int

SNAPSHOT = "lmdbstore, snapshot reads"
STORES = (OURS, "SQLite", "DuckDB", "RocksDB", "py-lmdb")
READS = (OURS, SNAPSHOT, *STORES[1:])
FLAG_PEERS = STORES
PATTERN_PEERS = (OURS, "SQLite", "DuckDB", "DuckDB, 1 thread")
COUNTERS = (OURS, "SQLite", "DuckDB")
RELAXED = ("lmdbstore, not durable", "SQLite, not durable", "RocksDB, not durable",
           "py-lmdb, not durable")  # fmt: skip  # one glance
THEIA = (OURS, "Theia files", "Theia RDBS")
THEIA_GETS = (OURS, "Theia RDBS")

ASKED = 2000  # ids to `get`; fewer in a small store
LONG_RANGE = 100_000  # events
FEW = 100  # events of the short ranges and limits


# Rows without a literal of four characters, as signatures need it.
NO_LITERAL = (
    ("matches, digits", r"\b[0-9]{3}7[0-9]{2}00\b", "one event of 256 ends in `00`"),
    ("matches, words and digits", "(open|close) [a-z]+ [0-9a-f]{6}ff",
     "one event of 38 has `ff`"),
    ("matches, classes", r"\b[0-9]{7}[a-f]\b",
     "no character is in every match, so no shorter text can be searched for first"),
)  # fmt: skip  # a row a line


class Sample:
    """The arguments of the operations: some ids of the store, its times, and new events."""

    def __init__(self, number: int) -> None:
        """Expect `number` events; each must be passed to `add` when it is loaded."""
        chance = random.Random(SEED - 1)  # another seed, so that ids differ
        self.number = number
        self.ids: list[str] = []
        self.word = ""  # in the content of one generated event only
        asked = min(ASKED, max(1, number // 40))
        self.missing = [uuid4(chance) for _ in range(asked)]
        self._places = set(chance.sample(range(number), asked))
        self._seen = 0
        self._new = self._events()
        self._times = random.Random(SEED + 2)

    def add(self, events: list[Event]) -> None:
        """Keep the ids of the sample."""
        self.ids += [e.id for n, e in enumerate(events, self._seen) if n in self._places]
        middle = self.number // 2 - self._seen
        if 0 <= middle < len(events):
            self.word = events[middle].content.split()[-1]
        self._seen += len(events)

    @property
    def middle(self) -> float:
        """The time of the event in the middle, in seconds."""
        return START + self.number // 2 * STEP

    def range(self, events: int) -> tuple[float, float]:
        """Return the times of the first and the last of `events` events from the middle on."""
        return self.middle, self.middle + (self.length(events) - 0.5) * STEP

    def length(self, events: int) -> int:
        """Return the length of a range of `events` events: at most a third of the store."""
        return min(events, self.number // 3)

    def new(self, number: int) -> list[Event]:
        """Make events later than all others."""
        return list(islice(self._new, number))

    def scattered(self, number: int) -> list[Event]:
        """Make events with times anywhere among those of the others."""
        last = START + self.number * STEP
        return [e._replace(timestamp=self._times.uniform(START, last)) for e in self.new(number)]

    def _events(self) -> Iterator[Event]:
        later = self.number * STEP
        for event in made_events(1 << 40, SEED + 1):
            yield event._replace(timestamp=event.timestamp + later)


class Row(NamedTuple):
    """One operation."""

    name: str
    unit: str
    peers: tuple[str, ...]
    prepare: Callable[[Peer, Sample], Run]
    answer: Callable[[Peer, Sample], Answer] | None = (
        None  # compared between peers; None for writes
    )
    note: str = ""


class Group(NamedTuple):
    """Rows on the same events."""

    name: str
    title: str
    peers: tuple[str, ...]
    rows: tuple[Row, ...]
    events: Callable[[int], Iterator[Event]]
    number: Callable[[int], int]  # the group's number of events, from that of the benchmark
    batch: int = BATCH  # events that are loaded in one call
    base: str = OURS


def asks(  # noqa: PLR0913, PLR0917  the columns of a table
    name: str,
    unit: str,
    peers: tuple[str, ...],
    ask: Callable[[Peer, Sample], Answer],
    units: Callable[[Sample], int] = lambda _: 1,
    note: str = "",
) -> Row:
    """Make a row that reads."""

    def prepare(peer: Peer, sample: Sample) -> Run:
        return Run(lambda: drained(ask(peer, sample)), units(sample))

    return Row(name, unit, peers, prepare, ask, note)


def searches(name: str, pattern: str, peers: tuple[str, ...], note: str = "") -> Row:
    """Make a row that searches the whole store for a pattern."""
    return asks(name, "ms a query", peers, lambda p, _: p.matching(pattern), note=note)


def counts_hits(name: str, pattern: str, peers: tuple[str, ...], note: str = "") -> Row:
    """Make a row that counts the contents with a match of a pattern."""
    return asks(name, "ms a query", peers, lambda p, _: p.count_matching(pattern), note=note)


def saves(name: str, peers: tuple[str, ...], threads: int, each: int, note: str = "") -> Row:
    """Make a row in which `threads` threads save `each` events each, one by one."""

    def prepare(peer: Peer, sample: Sample) -> Run:
        return by_threads(peer, sample.new(threads * each), threads)

    return Row(name, "us an event", peers, prepare, None, note)


def by_threads(peer: Peer, events: list[Event], threads: int) -> Run:
    """Prepare threads that share the events and save them."""

    def work(share: list[Event]) -> None:
        for event in share:
            peer.save(event)

    def run() -> None:
        workers = [
            threading.Thread(target=work, args=(events[n::threads],)) for n in range(threads)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    return Run(lambda: work(events) if threads == 1 else run(), len(events))


def _save_batch(peer: Peer, sample: Sample) -> Run:
    made = batches(iter(sample.new(10 * FEW)), FEW)
    return _each(peer.save_many, list(made), 10 * FEW)


def _save_scattered(peer: Peer, sample: Sample) -> Run:
    events = sample.scattered(sample.length(BATCH))
    return Run(lambda: peer.save_many(events), len(events))


def _seal(peer: Peer, sample: Sample) -> Run:
    events = sample.scattered(sample.length(BATCH))
    peer.save_many(events)
    return Run(peer.seal, len(events))


def _delete(peer: Peer, sample: Sample) -> Run:
    events = sample.new(FEW)
    peer.save_many(events)
    return _each(peer.delete, [event.id for event in events], FEW)


def _each(write: Callable[[T], None], things: list[T], units: int) -> Run:
    def work() -> None:
        for thing in things:
            write(thing)

    return Run(work, units)


def _gets(peers: tuple[str, ...]) -> tuple[Row, ...]:
    return (
        asks("get", "us a call", peers, lambda p, s: map(p.get, s.ids), lambda s: len(s.ids)),
        asks("get, missing", "us a call", peers, lambda p, s: map(p.get, s.missing),
             lambda s: len(s.missing)),
    )  # fmt: skip  # a row a line


def _ranges(peers: tuple[str, ...]) -> tuple[Row, ...]:
    return (
        asks("newest 100", "us a call", peers, lambda p, _: p.newest(FEW)),
        asks("range of 100", "us a call", peers, lambda p, s: p.between(*s.range(FEW))),
    )


MADE = (
    *_gets(READS),
    *_ranges(READS),
    asks("range of 100,000", "us an event", READS,
         lambda p, s: p.between(*s.range(LONG_RANGE)), lambda s: s.length(LONG_RANGE),
         "a third of a store that holds fewer than 300,000 events"),
    asks("all events", "us an event", (OURS, "SQLite", "py-lmdb"),
         lambda p, s: p.between(START, START + s.number * STEP), lambda s: s.number),
    asks("one rare flag", "us a call", STORES, lambda p, _: p.flagged("flag200")),
    asks("one rare flag, limit 10", "us a call", STORES,
         lambda p, _: p.flagged("flag200", limit=10)),
    asks("one common flag", "ms a query", STORES, lambda p, _: p.flagged("flag1")),
    asks("one common flag, limit 100", "us a call", STORES,
         lambda p, _: p.flagged("flag1", limit=FEW)),
    asks("common and rare flag", "us a call", STORES, lambda p, _: p.flagged("flag1", "flag200"),
         note="the common flag is given first, and SQLite begins with it"),
    asks("common and rare flag, limit 10", "us a call", STORES,
         lambda p, _: p.flagged("flag1", "flag200", limit=10)),
    asks("rare and common flag", "us a call", STORES, lambda p, _: p.flagged("flag200", "flag1"),
         note="the rare flag is given first, as by a user that knows which flag is rare"),
    asks("two common flags", "ms a query", STORES, lambda p, _: p.flagged("flag1", "flag2")),
    asks("two common flags, limit 100", "us a call", STORES,
         lambda p, _: p.flagged("flag1", "flag2", limit=FEW)),
    searches("pattern, rare literal", "needle",
             (*PATTERN_PEERS, "SQLite LIKE", "RocksDB", "py-lmdb")),
    asks("pattern, one match", "ms a query", (*PATTERN_PEERS, "SQLite LIKE"),
         lambda p, s: p.matching(s.word)),
    asks("pattern, rare literal, limit 10", "ms a query", (*PATTERN_PEERS, "SQLite LIKE"),
         lambda p, _: p.matching("needle", limit=10)),
    searches("pattern, common literal", "timeout", PATTERN_PEERS),
    asks("pattern, common literal, limit 100", "us a call", PATTERN_PEERS,
         lambda p, _: p.matching("timeout", limit=FEW)),
    searches("pattern, no literal", r"\b[0-9]{6}00$", (*PATTERN_PEERS, "py-lmdb")),
    searches("pattern, ignoring case", "(?i)NEEDLE", PATTERN_PEERS),
    searches("pattern, not ASCII", "Пётр", PATTERN_PEERS),
    searches("pattern, a few percent", "[0-9a-f]{6}[0-7]5", PATTERN_PEERS),
    counts_hits("matches, rare literal", "needle", (*PATTERN_PEERS, "grep"),
                "events are counted; the lines of grep's output are counted"),
    counts_hits("matches, no literal", "[0-9]{6}00$", (*PATTERN_PEERS, "grep"), "the same"),
    counts_hits("matches, ignoring case", "(?i)NEEDLE", (*PATTERN_PEERS, "grep"), "the same"),
    *(counts_hits(name, pattern, (*PATTERN_PEERS, "grep"), note)
      for name, pattern, note in NO_LITERAL),
    asks("count, all", "us a call", STORES, lambda p, _: p.count()),
    asks("count, range of 100,000", "us a call", STORES,
         lambda p, s: p.count_between(*s.range(LONG_RANGE))),
    asks("count, common flag", "us a call", STORES, lambda p, _: p.count_flagged("flag1")),
    asks("histogram by hour", "us a call", COUNTERS, lambda p, _: p.histogram(3600)),
    asks("histogram by second, common flag", "ms a query", COUNTERS,
         lambda p, _: p.histogram(1, "flag1")),
    asks("facets: flags and sources", "us a call", COUNTERS, lambda p, _: p.top(),
         note="the ten most frequent of each"),
    asks("facets, range of 100,000", "ms a query", COUNTERS,
         lambda p, s: p.top(*s.range(LONG_RANGE)), note="the same"),
    saves("save, 1 thread", STORES, 1, 100),
    saves("save, 4 threads", STORES, 4, 50),
    saves("save, 16 threads", STORES, 16, 20),
    saves("save, 64 threads", STORES, 64, 10),
    Row("save_many, 100", "us an event", STORES, _save_batch),
    Row("delete", "us a call", STORES, _delete),
    Row("save_many, 10,000, random times", "us an event", STORES, _save_scattered, None,
        "a third of a store that holds fewer than 30,000 events"),
    Row("seal", "us an event", (OURS,), _seal, None,
        "after so many events with random times; the first round seals what earlier rows left"),
)  # fmt: skip  # a row a line

ORDERED_PEERS = (OURS, "SQLite", "RocksDB", "py-lmdb")
ORDERED = (*_gets(ORDERED_PEERS), *_ranges(ORDERED_PEERS))

LOG = (
    searches("pattern, rare literal", "status installed .*python", PATTERN_PEERS),
    searches("pattern, common literal", "half-configured", PATTERN_PEERS),
    searches("pattern, no literal", r"\b[0-9]+:[0-9.]+-[0-9]+$", PATTERN_PEERS),
    asks("one common flag", "ms a query", (OURS, "SQLite", "DuckDB"),
         lambda p, _: p.flagged("status")),
    asks("two flags", "ms a query", (OURS, "SQLite", "DuckDB"),
         lambda p, _: p.flagged("status", "installed")),
)  # fmt: skip  # a row a line

ZSTD = (OURS, "lmdbstore, zstd")
COMPRESSED = (
    *_gets(ZSTD),
    asks("newest 100", "us a call", ZSTD, lambda p, _: p.newest(FEW)),
    asks("all events", "us an event", ZSTD, lambda p, _: p.between(0, 1e12), lambda s: s.number),
    searches("pattern, rare literal", "status installed .*python|needle", ZSTD),
    searches("pattern, no literal", r"\b[0-9]{6}00$", ZSTD),
    Row("save_many, 100", "us an event", ZSTD, _save_batch),
)

BESIDE_THEIA = (
    *_gets(THEIA_GETS),
    *_ranges(THEIA),
    asks("one common flag", "ms a query", THEIA, lambda p, _: p.flagged("flag1")),
    asks("two common flags", "ms a query", THEIA, lambda p, _: p.flagged("flag1", "flag2")),
    searches("pattern, rare literal", "needle", THEIA),
    searches("pattern, no literal", r"\b[0-9]{6}00$", THEIA),
    saves(
        "save, 1 thread",
        (*THEIA, RELAXED[0]),
        1,
        20,
        "Theia's file store is not durable, and is compared with a store that is not durable",
    ),
    Row("delete", "us a call", THEIA_GETS, _delete),
)

GROUPS = (
    Group("made", "Made events", (OURS, SNAPSHOT, "SQLite", "SQLite LIKE", "DuckDB",
                                  "DuckDB, 1 thread", "RocksDB", "py-lmdb", "grep"),
          MADE, made_events, lambda events: events),
    Group("ordered", "Made events with time-ordered ids",
          ORDERED_PEERS, ORDERED, ordered_events, lambda events: events),
    Group("log", "A real log, multiplied", (OURS, "SQLite", "DuckDB",
                                            "DuckDB, 1 thread"),
          LOG, log_events, lambda events: events // 5),
    Group("zstd", "Compressed: made events", ZSTD, COMPRESSED,
          made_events, lambda events: events // 5),
    Group("zstd log", "Compressed: a real log, multiplied", ZSTD, COMPRESSED,
          log_events, lambda events: events // 5),
    Group("relaxed", "Not durable", RELAXED, (saves("save, 1 thread", RELAXED, 1, 500),),
          made_events, lambda events: min(events, BATCH), base=RELAXED[0]),
    Group("theia", "Beside Theia's own stores", (*THEIA, RELAXED[0]), BESIDE_THEIA,
          made_events, lambda events: min(events // 20, 5000), 1000),
)  # fmt: skip  # a group a paragraph
