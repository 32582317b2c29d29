"""Fixtures of the tests on PostgreSQL: servers, and a new store for each test."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from tests.sql.servers import Servers, needed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lmdbstore import EventStore
    from tests.sql.servers import Server

_numbers = itertools.count()


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    needed()
    found = Servers()
    yield found
    found.stop()


@pytest.fixture(scope="session")
def single_server(servers: Servers) -> Server:
    """A server for all tests: started before a test looks what it leaves behind."""
    return servers.get("single")


@pytest.fixture(scope="session")
def shard_servers(servers: Servers) -> tuple[Server, Sequence[Server]]:
    """A coordinator and three shards, for all tests."""
    return servers.shards()


@pytest.fixture
def schema() -> str:
    """A name that no other test has."""
    return f"store {next(_numbers)}"


@pytest.fixture
def single(single_server: Server) -> str:
    """The address of one server."""
    return single_server.address


@pytest.fixture
def sharded(shard_servers: tuple[Server, Sequence[Server]], schema: str) -> str:
    """The address of a coordinator with an empty store on three shards."""
    from lmdbstore.sql.server.shards import create_sharded

    coordinator, shards = shard_servers
    create_sharded(coordinator.address, [shard.address for shard in shards], schema=schema)
    return coordinator.address


@pytest.fixture(params=["single", "sharded"])
def address(request: pytest.FixtureRequest) -> str:
    """The address of a store, on one server and on several."""
    found: str = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def store(address: str, schema: str) -> Iterator[EventStore]:
    from lmdbstore.sql.store import SQLEventStore

    with SQLEventStore(address, schema=schema) as store:
        yield store
