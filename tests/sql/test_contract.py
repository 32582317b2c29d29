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
def one_server(single_server: Server) -> Iterator[OtherWriter]:
    """A connection to a server with a store."""
    from lmdbstore.sql.store import SQLEventStore

    SQLEventStore(single_server.address, schema=SCHEMA).close()
    with OtherWriter(single_server.address, SCHEMA) as other:
        yield other


@pytest.fixture(scope="session")
def three_shards(shard_servers: tuple[Server, Sequence[Server]]) -> Iterator[OtherWriter]:
    """A connection to a coordinator with a store on shards."""
    from lmdbstore.sql.server.shards import create_sharded

    coordinator, shards = shard_servers
    create_sharded(coordinator.address, [shard.address for shard in shards], schema=SCHEMA)
    with OtherWriter(coordinator.address, SCHEMA) as other:
        yield other


def emptied(other: OtherWriter) -> Iterator[EventStore]:
    """Empty the store, give it another identity, and open it."""
    from lmdbstore.sql.store import SQLEventStore

    names, identity = other.names, new_identity()
    with other.connection.transaction():
        for table in (names.events, names.checkpoints, names.cursors):
            other.connection.execute(f"DELETE FROM {table}")
        other.connection.execute(
            f"UPDATE {names.store} SET head = 0, saved = 0, reserved = 0, identity = %s", [identity]
        )
    with SQLEventStore(other.address, schema=SCHEMA) as store:
        yield store


class TestOneServer(EventStoreContract):
    @pytest.fixture
    def store(self, one_server: OtherWriter) -> Iterator[EventStore]:
        yield from emptied(one_server)


class TestShards(EventStoreContract):
    @pytest.fixture
    def store(self, three_shards: OtherWriter) -> Iterator[EventStore]:
        yield from emptied(three_shards)
