"""The life of a store on PostgreSQL under kills: its clients, its reader, and what is known."""

from __future__ import annotations

import itertools
import threading
import time
from typing import TYPE_CHECKING

from lmdbstore import EventStoreException
from lmdbstore.sql.server.shards import create_sharded
from lmdbstore.sql.store import SQLEventStore
from lmdbstore.testing.helpers import ids
from tests.endurance.tools.sql_client import Client
from tests.endurance.tools.sql_known import Batches, assert_whole
from tests.tools.children import until

if TYPE_CHECKING:
    from tests.tools.rounds import Rounds

__all__ = ["Life"]

CLIENTS = 2
_numbers = itertools.count()


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
