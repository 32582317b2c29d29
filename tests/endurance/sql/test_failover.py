"""The primary of three nodes is killed under load, and a standby takes over: nothing is lost."""

from __future__ import annotations

import shutil
import signal
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from lmdbstore import Event, EventReadException, StoreOpenError
from lmdbstore.sql.store import SQLEventStore
from lmdbstore.testing.helpers import ids, in_threads
from tests.endurance.tools.sql_life import Life
from tests.sql.servers import Server, Servers, needed
from tests.tools.children import until
from tests.tools.commands import LOG, run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from click.testing import Result

    from tests.tools.rounds import Rounds

NAMES = ("n0", "n1", "n2")
SETTINGS = {
    "synchronous_standby_names": "ANY 1 (n0, n1, n2)",
    "hot_standby": "on",
    "wal_level": "replica",
    "max_wal_senders": "10",
    "wal_keep_size": "64MB",
}


@pytest.fixture
def servers() -> Iterator[Servers]:
    needed()
    servers = Servers()
    yield servers
    servers.stop()


class Nodes:
    """Three nodes, of which one is the primary."""

    def __init__(self, servers: Servers) -> None:
        self.base = servers.base
        self.primary = servers.get(NAMES[0], SETTINGS)
        self.nodes = [self.primary]
        for name in NAMES[1:]:
            node = Server(self.base, name, SETTINGS)
            node.make_folder()
            servers._servers[name] = node  # stopped with the others
            self.nodes.append(node)
            self.follow(node)

    @property
    def address(self) -> str:
        """The address of whichever is the primary."""
        hosts = ",".join(str(node.folder) for node in self.nodes)
        ports = ",".join(["5432"] * len(self.nodes))
        return (
            f"postgresql:///postgres?host={hosts}&port={ports}&user=postgres"
            "&target_session_attrs=read-write&connect_timeout=5"
        )

    def follow(self, node: Server) -> None:
        """Make a node a standby of the primary, from nothing."""
        shutil.rmtree(node.data, ignore_errors=True)
        conninfo = f"host={self.primary.folder} user=postgres application_name={node.folder.name}"
        copying = ("-D", str(node.data), "--checkpoint=fast", "--no-sync", "-X", "stream")
        node.run("pg_basebackup", "-d", conninfo, *copying)
        (node.data / "standby.signal").touch()
        node.settings |= {"primary_conninfo": conninfo}
        node.start()

    def fail_over(self) -> None:
        """Kill the primary, and promote the standby that has most of what it wrote."""
        old = self.primary
        old.stop(signal.SIGKILL)
        standbys = [node for node in self.nodes if node is not old]
        self.primary = max(standbys, key=received)
        with psycopg.connect(self.primary.address, autocommit=True) as connection:
            connection.execute("SELECT pg_promote(true)")
        for node in self.nodes:
            if node is not self.primary:
                node.stop(signal.SIGKILL)
                self.follow(node)


def received(node: Server) -> int:
    """Return how much a standby has received, in bytes."""
    with psycopg.connect(node.address, autocommit=True) as connection:
        row = connection.execute(
            "SELECT greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) - '0/0'"
        ).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.endurance("The primary of three nodes is killed, and a standby promoted", rounds=1)
def test_a_standby_takes_over(servers: Servers, rounds: Rounds) -> None:
    nodes = Nodes(servers)
    life = Life(nodes.address, rounds)
    try:
        for _ in rounds:
            life.begin()
            nodes.fail_over()
            life.begin()  # the same clients, with the same address
            life.end_clients()
            life.check()
            rounds.add("primaries killed")
    finally:
        life.end()


def test_a_standby_is_opened_for_reading_only_and_says_what_it_gives(servers: Servers) -> None:
    nodes = Nodes(servers)
    standby = nodes.nodes[1]
    with SQLEventStore(nodes.address, schema="s") as store:
        store.save_many([], checkpoint=("x", "y"))
        refused: list[dict[str, Any]] = [{}, {"readonly": True}, {"consistency": "snapshot"}]
        for options in refused:
            with pytest.raises(StoreOpenError, match=r"standby, which shows a past state"):
                until_there(standby, options)
        with SQLEventStore(
            standby.address, schema="s", readonly=True, consistency="snapshot"
        ) as reader:
            store.save_many([], checkpoint=("x", "z"))
            until(lambda: reader.checkpoint("x") == "z", "it follows")
            with reader.snapshot() as view:
                assert ids(view.search()) == []
            assert reader.standby
            assert not store.standby
        store.save(Event("a", content="seen"))
        until(lambda: commanded("search", standby, "--count").stdout == "1\n", "it follows")
    for command in ("search", "stats", "tail", "top", "export"):
        result = commanded(command, standby)
        assert result.exit_code == 0
        assert result.stderr == (
            "lmdbstore: the server is a standby: what it shows may lag behind the primary\n"
        )
        assert result.stdout
    result = commanded("import", standby, LOG)
    assert result.exit_code == 2
    assert "the primary (list all hosts" in result.stderr
    assert result.stderr.endswith("commands that only read show what the standby has\n")
    hosts = f"{nodes.primary.folder},{standby.folder}"
    address = f"postgresql:///postgres?host={hosts}&port=5432,5432&user=postgres"
    with SQLEventStore(address, schema="s", timeout=1) as store:
        assert ids(store.search()) == ["a"]
        nodes.primary.stop(signal.SIGKILL)
        with pytest.raises(EventReadException, match=r"no connection"):  # and not what is old
            list(store.search())


def commanded(command: str, standby: Server, *more: object) -> Result:
    return run(command, "--db", f"{standby.address}&schema=s", *more)


def until_there(standby: Server, options: dict[str, Any]) -> None:
    """Open the store on a standby, when it has arrived there."""
    end = time.monotonic() + 60
    while True:
        try:
            SQLEventStore(standby.address, schema="s", **options).close()
        except StoreOpenError as error:
            if "there is no store" not in str(error) or time.monotonic() > end:
                raise


def test_a_limit_for_statements_does_not_cut_the_wait_for_a_standby(servers: Servers) -> None:
    """Else an event could be acknowledged, and read, that only the primary has."""
    server = servers.get("alone")
    with (
        psycopg.connect(server.address, autocommit=True) as other,
        SQLEventStore(server.address, statement_timeout=0.1) as store,
    ):
        store.save(Event("before"))
        other.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        other.execute("SELECT pg_reload_conf()")
        until(lambda: waits_for(other) == "nobody", "the server has read its settings")

        def end() -> None:
            asked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
            until(lambda: other.execute(asked).fetchall() == [(1,)], "it waits for a standby")
            time.sleep(0.3)  # longer than the limit
            other.execute("ALTER SYSTEM RESET synchronous_standby_names")
            other.execute("SELECT pg_reload_conf()")

        in_threads(lambda: store.save(Event("after")), end)
        assert sorted(ids(store.search())) == ["after", "before"]


def waits_for(connection: psycopg.Connection[Any]) -> str:
    row = connection.execute("SHOW synchronous_standby_names").fetchone()
    assert row is not None
    return str(row[0])
