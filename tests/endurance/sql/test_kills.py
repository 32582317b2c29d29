"""Clients, servers and shards are killed: nothing acknowledged is lost, no half batch shows."""

from __future__ import annotations

import itertools
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest

from lmdbstore import EventStoreException
from lmdbstore.sql.server.shards import create_sharded
from lmdbstore.sql.store import SQLEventStore
from lmdbstore.testing.helpers import ids
from tests.endurance.tools.sql_client import Client
from tests.endurance.tools.sql_known import Batches, assert_whole
from tests.sql.servers import Servers, needed
from tests.tools.children import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.sql.servers import Server
    from tests.tools.rounds import Rounds

CLIENTS = 2
ENOUGH = 1500  # batches; then a new store is made, so that rounds stay short
_numbers = itertools.count()


@pytest.fixture
def servers() -> Iterator[Servers]:
    needed()
    servers = Servers()
    yield servers
    servers.stop()


class Reader:
    """A thread that looks all the time whether batches are whole."""

    def __init__(self, address: str, schema: str) -> None:
        self.address, self.schema = address, schema
        self.looks = 0
        self.failed: list[BaseException] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                self._look()
            except EventStoreException:
                time.sleep(0.02)  # a server is away
            except BaseException as error:
                self.failed.append(error)
                return

    def _look(self) -> None:
        with SQLEventStore(self.address, schema=self.schema, readonly=True, timeout=5.0) as store:
            while not self._ended.is_set():
                with store.snapshot() as view:
                    assert_whole(view)
                self.looks += 1

    def end(self) -> None:
        self._ended.set()
        self._thread.join(60)
        if self.failed:
            raise self.failed[0]


class Life:
    """A store from its creation, its clients and its reader, and what is known of it."""

    def __init__(self, address: str, rounds: Rounds, shards: list[str] | None = None) -> None:
        self.address, self.rounds, self.chance = address, rounds, rounds.random
        self.schema = f"life{next(_numbers)}"
        if shards:
            create_sharded(address, shards, schema=self.schema)
        else:
            SQLEventStore(address, schema=self.schema).close()
        self.known = Batches()
        self.reader = Reader(address, self.schema)
        self.clients: list[Client] = []
        self._prefix = itertools.count()

    def begin(self) -> None:
        """Let clients write until each was answered."""
        while len(self.clients) < CLIENTS:
            seed = self.chance.getrandbits(32)
            prefix = f"c{next(self._prefix)}"
            self.clients.append(Client(self.address, self.schema, prefix, seed))
        before = [client.acknowledged() for client in self.clients]
        pairs = list(zip(self.clients, before, strict=True))
        until(lambda: all(c.acknowledged() > b for c, b in pairs), "no client is answered")
        time.sleep(self.chance.random() * 0.1)

    def end_clients(self) -> None:
        """Kill the clients, and learn what they said."""
        for client in self.clients:
            self.known.learn(client.kill())
        self.clients.clear()

    def check(self) -> None:
        """Check what is there, after one more write."""
        with SQLEventStore(self.address, schema=self.schema, timeout=60.0) as store:
            store.delete_many(["nothing"])
            with store.snapshot() as view:
                checked = self.known.check(view)
            assert sorted(ids(store.changes("start"))) == sorted(ids(store.search()))
        assert not self.reader.failed
        self.rounds.add("acknowledged batches checked", checked)

    def end(self) -> None:
        """End all, and count."""
        self.end_clients()
        self.reader.end()
        self.rounds.add("states read at the same time", self.reader.looks)
        self.rounds.add("calls of unknown outcome, repeated", self.known.unknown)


def lives(rounds: Rounds, address: str, shards: list[str] | None = None) -> Iterator[Life]:
    """Give a life for each round."""
    life: Life | None = None
    try:
        for _ in rounds:
            if life is None or len(life.known.sizes) > ENOUGH:
                if life is not None:
                    life.end()
                life = Life(address, rounds, shards)
            yield life
    finally:
        if life is not None:
            life.end()


def addresses(servers: list[Server]) -> list[str]:
    return [server.address for server in servers]


@pytest.mark.endurance("Clients of PostgreSQL are killed", rounds=2)
def test_clients_are_killed(servers: Servers, rounds: Rounds) -> None:
    for life in lives(rounds, servers.get("single").address):
        life.begin()
        life.end_clients()
        life.check()
        rounds.add("kills", CLIENTS)


@pytest.mark.endurance("Clients of a store on three shards are killed", rounds=2)
def test_clients_of_shards_are_killed(servers: Servers, rounds: Rounds) -> None:
    coordinator, shards = servers.shards()
    for life in lives(rounds, coordinator.address, addresses(list(shards))):
        life.begin()
        life.end_clients()
        life.check()
        rounds.add("kills", CLIENTS)


@pytest.mark.endurance("The server of PostgreSQL is killed under load", rounds=2)
def test_the_server_is_killed(servers: Servers, rounds: Rounds) -> None:
    server = servers.get("single", {"fsync": "on"})
    for life in lives(rounds, server.address):
        life.begin()
        server.stop(signal.SIGKILL)
        server.start()
        life.begin()  # the same clients go on
        life.end_clients()
        life.check()
        rounds.add("kills")


@pytest.mark.endurance("The coordinator of three shards is killed under load", rounds=2)
def test_the_coordinator_is_killed(servers: Servers, rounds: Rounds) -> None:
    coordinator, shards = servers.shards()
    for life in lives(rounds, coordinator.address, addresses(list(shards))):
        life.begin()
        coordinator.stop(signal.SIGKILL)
        coordinator.start()
        life.begin()
        life.end_clients()
        life.check()
        rounds.add("kills")


@pytest.mark.endurance("A shard is killed under load", rounds=2)
def test_a_shard_is_killed(servers: Servers, rounds: Rounds) -> None:
    coordinator, shards = servers.shards()
    for life in lives(rounds, coordinator.address, addresses(list(shards))):
        life.begin()
        shard = rounds.random.choice(list(shards))
        shard.stop(signal.SIGKILL)
        shard.start()
        life.begin()
        life.end_clients()
        life.check()
        rounds.add("kills")
