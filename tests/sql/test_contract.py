"""The store on PostgreSQL keeps the contract: on one server, and on a coordinator with shards.

The tests share the tables, which are emptied for each: to make them takes longer than most tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lmdbstore.contract.commits.position import new_identity
from lmdbstore.testing import EventStoreContract
from tests.sql.other_writer import OtherWriter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lmdbstore import EventStore
    from tests.sql.servers import Server

SCHEMA = "contract"


@pytest.fixture(scope="session")
def one_server(single_server: Server) -> str:
    """The address of an empty store."""
    from lmdbstore.sql.store import SQLEventStore

    SQLEventStore(single_server.address, schema=SCHEMA).close()
    return single_server.address


@pytest.fixture(scope="session")
def three_shards(shard_servers: tuple[Server, Sequence[Server]]) -> str:
    """The address of an empty store on shards."""
    from lmdbstore.sql.server.shards import create_sharded

    coordinator, shards = shard_servers
    create_sharded(coordinator.address, [shard.address for shard in shards], schema=SCHEMA)
    return coordinator.address


def emptied(address: str) -> Iterator[EventStore]:
    """Empty the store, give it another identity, and open it."""
    from lmdbstore.sql.store import SQLEventStore

    with OtherWriter(address, SCHEMA) as other:
        names = other.names
        other.connection.execute(f"TRUNCATE {names.events}, {names.checkpoints}, {names.cursors}")
        other.connection.execute(
            f"UPDATE {names.store} SET head = 0, reserved = 0, identity = %s", [new_identity()]
        )
    with SQLEventStore(address, schema=SCHEMA) as store:
        yield store


class TestOneServer(EventStoreContract):
    @pytest.fixture
    def store(self, one_server: str) -> Iterator[EventStore]:
        yield from emptied(one_server)


class TestShards(EventStoreContract):
    @pytest.fixture
    def store(self, three_shards: str) -> Iterator[EventStore]:
        yield from emptied(three_shards)
