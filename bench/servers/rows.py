"""The rows about PostgreSQL: the same calls on LMDB, a server, three shards, and in plain SQL.

Rules: the servers are made from nothing on this machine, as a distribution sets them up: they flush
each commit. Everything is on one machine, so the way to a server is short, and shards share its
processors. All peers give the same events. A tenth of the events of the other tables is loaded.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from functools import partial
from itertools import count, islice
from typing import Any

from bench.data import BATCH, START, STEP, batches, made_events
from bench.measure import Figures, Run, drained, in_order, in_turn, taken
from bench.peers import OURS
from bench.runner import LOADED, Settings
from lmdbstore import Event, LMDBEventStore

__all__ = ["GROUP", "run_servers"]

GROUP = "servers"
ONE, SHARDS, PLAIN = "SQLEventStore", "SQLEventStore, three shards", "plain SQL"
THREADS, EACH = 16, 8
SAVE, TOGETHER, PURGE = "save", f"save, {THREADS} threads", "purge, half of the events"
PART = 10  # of the events of the other tables

Call = tuple[Callable[[Any], Any], Callable[[Any], Any]]  # on a store, and in plain SQL


def _reads(number: int) -> dict[str, Call]:
    middle = next(islice(made_events(number), number // 2, None))
    start, end = START + number // 2 * STEP, START + (number // 2 + 99.5) * STEP
    rare, common = ["flag200"], ["flag1"]
    return {
        "get": (lambda s: [s.get(middle.id)], lambda p: [p.get(middle.id)]),
        "newest 100": (lambda s: list(s.search(order="desc", limit=100)), lambda p: p.newest(100)),
        "range of 100": (lambda s: list(s.search(start, end)), lambda p: p.between(start, end)),
        "one rare flag": (lambda s: list(s.search(flags=rare)), lambda p: p.flagged(rare)),
        "count, common flag": (lambda s: int(s.count(flags=common)), lambda p: p.counted(common)),
        "pattern, rare literal": (
            lambda s: list(s.search(match="needle")),
            lambda p: p.matching("needle"),
        ),
        "pattern, no literal": (
            lambda s: list(s.search(match="[0-9]{8}$")),
            lambda p: p.matching("[0-9]{8}$"),
        ),
        "all events": (lambda s: s.search(), lambda p: p.all()),
    }


def run_servers(settings: Settings) -> Iterator[Figures]:
    """Run the wanted rows, if there is a PostgreSQL."""
    number = max(1000, settings.events // PART)
    reads = _reads(number)
    names = [LOADED, SAVE, TOGETHER, *reads, PURGE]
    if not any(settings.wants(GROUP, name) for name in names):
        return
    with ExitStack() as stack:
        peers = _opened(settings, stack)
        if peers is None:
            settings.say("PostgreSQL: left out, it is not installed")
            return
        settings.say(f"PostgreSQL: loading {number:,} events")
        yield from _loaded(settings, peers, number)
        for name, (store, plain) in reads.items():
            if settings.wants(GROUP, name):
                settings.say(f"PostgreSQL: {name}")
                calls = {peer: partial(plain if peer == PLAIN else store, peers[peer])
                         for peer in peers}  # fmt: skip  # one thought
                yield _read(name, calls, settings.repeat, number)
        yield from _saved(settings, peers)
        yield from _purged(settings, peers, number)


def _opened(settings: Settings, stack: ExitStack) -> dict[str, Any] | None:
    """Return the peers, empty; None: they cannot be had."""
    try:
        from lmdbstore.sql.server.shards import create_sharded
        from lmdbstore.sql.store import SQLEventStore
        from tests.sql.servers import Servers, programs

        from .plain import PlainSQL
    except ImportError:
        return None
    if programs() is None:
        return None
    servers = Servers()
    stack.callback(servers.stop)
    usual = {"fsync": "on", "full_page_writes": "on", "autovacuum": "on", "shared_buffers": "128MB",
             "max_wal_size": "1GB"}  # fmt: skip  # the server's own defaults
    single = servers.get("single", usual)
    coordinator = servers.get("coordinator", usual)
    shards = [servers.get(f"shard{n}", usual).address for n in range(3)]
    create_sharded(coordinator.address, shards)
    folder = settings.folder / GROUP
    folder.mkdir()
    return {
        OURS: stack.enter_context(LMDBEventStore(folder / "events")),
        ONE: stack.enter_context(SQLEventStore(single.address, pool_size=20)),
        SHARDS: stack.enter_context(SQLEventStore(coordinator.address, pool_size=20)),
        PLAIN: stack.enter_context(closing(PlainSQL(single.address))),
    }


def _loaded(settings: Settings, peers: dict[str, Any], number: int) -> Iterator[Figures]:
    figures: dict[str, list[float]] = {name: [] for name in peers}
    for turn, batch in enumerate(batches(made_events(number))):
        for name in in_order(peers, turn):
            run = Run(partial(peers[name].save_many, batch), len(batch))
            figures[name].append(taken(run))
    peers[PLAIN].finish()
    for store in (peers[ONE], peers[SHARDS]):
        _analyze(store)
    if settings.wants(GROUP, LOADED):
        note = f"{BATCH:,} events in a transaction; plain SQL with COPY"
        yield Figures(GROUP, LOADED, "us an event", OURS, figures, note)


def _analyze(store: Any) -> None:
    """Let the server look at the events, as it does by itself within a minute."""
    with store._link().connection(None) as connection:  # noqa: SLF001  there is no public way
        connection.execute(f"ANALYZE {store._names.events}")  # noqa: SLF001


def _read(name: str, calls: Mapping[str, Callable[[], Any]], repeat: int, number: int) -> Figures:
    found = {peer: call() for peer, call in calls.items()}
    if name != "all events":
        for peer, answer in found.items():
            if answer != found[OURS]:
                raise AssertionError(f"{name}: {peer} does not agree")
    runs = {
        peer: partial(Run, lambda call=call: drained(call()))  # type: ignore[misc]  # bound at once
        for peer, call in calls.items()
    }
    return Figures(GROUP, name, "ms a query", OURS, in_turn(runs, repeat), f"of {number:,} events")


def _saved(settings: Settings, peers: dict[str, Any]) -> Iterator[Figures]:
    numbers = count()

    def event() -> Event:
        return Event(tags=["new"], content=f"a short line of a log, number {next(numbers)}")

    if settings.wants(GROUP, SAVE):
        runs = {
            name: lambda peer=peer: Run(lambda: [peer.save(event()) for _ in range(50)], 50)
            for name, peer in peers.items()
        }
        note = "one after the other, each flushed to disk"
        yield Figures(GROUP, SAVE, "us a call", OURS, in_turn(runs, settings.repeat), note)
    if settings.wants(GROUP, TOGETHER):
        runs = {
            name: lambda peer=peer: Run(partial(_together, peer, event), THREADS * EACH)
            for name, peer in peers.items()
        }
        note = "each flushed to disk; threads of one process"
        yield Figures(GROUP, TOGETHER, "us a call", OURS, in_turn(runs, settings.repeat), note)


def _together(peer: Any, event: Callable[[], Event]) -> None:
    def work() -> None:
        for _ in range(EACH):
            peer.save(event())

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _purged(settings: Settings, peers: dict[str, Any], number: int) -> Iterator[Figures]:
    if not settings.wants(GROUP, PURGE):
        return
    settings.say(f"PostgreSQL: {PURGE}")
    end = START + number // 2 * STEP
    figures = {}
    for name in (OURS, ONE, SHARDS):
        run = Run(partial(peers[name].purge, before=end), number // 2)
        figures[name] = [taken(run)]
    yield Figures(GROUP, PURGE, "us an event", OURS, figures, "in one call")
