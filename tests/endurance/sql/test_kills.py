"""Clients, servers and shards are killed: nothing acknowledged is lost, no half batch shows."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.endurance.tools.sql_life import CLIENTS, Life
from tests.sql.servers import Servers, needed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.sql.servers import Server
    from tests.tools.rounds import Rounds

ENOUGH = 1500  # batches; then a new store is made, so that rounds stay short


@pytest.fixture
def servers() -> Iterator[Servers]:
    needed()
    servers = Servers()
    yield servers
    servers.stop()


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


@pytest.mark.endurance("Clients of PostgreSQL are killed", rounds=1)
def test_clients_are_killed(servers: Servers, rounds: Rounds) -> None:
    for life in lives(rounds, servers.get("single").address):
        life.begin()
        life.end_clients()
        life.check()
        rounds.add("kills", CLIENTS)


@pytest.mark.endurance("Clients of a store on three shards are killed", rounds=1)
def test_clients_of_shards_are_killed(servers: Servers, rounds: Rounds) -> None:
    coordinator, shards = servers.shards()
    for life in lives(rounds, coordinator.address, addresses(list(shards))):
        life.begin()
        life.end_clients()
        life.check()
        rounds.add("kills", CLIENTS)


@pytest.mark.endurance("The server of PostgreSQL is killed under load", rounds=1)
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


@pytest.mark.endurance("The coordinator of three shards is killed under load", rounds=1)
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


@pytest.mark.endurance("A shard is killed under load", rounds=1)
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
