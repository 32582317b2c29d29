"""Stores of an earlier version are brought up to date; programs of that version write no more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import Event, EventWriteException, InvalidOption, OpenBusy, StoreOpenError
from lmdbstore.testing.helpers import ids, in_threads
from tests.sql.other_writer import OtherWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lmdbstore import EventStore
    from tests.sql.servers import Server

pytest.importorskip("psycopg", reason="pip install '.[postgres]'")

from lmdbstore.sql.server import schema as tables
from lmdbstore.sql.server.schema import VERSION, Migration
from lmdbstore.sql.server.shards import create_sharded, migrate_sharded
from lmdbstore.sql.store import SQLEventStore

ADD = "ALTER TABLE {events} ADD COLUMN added text"
INDEX = "CREATE INDEX new ON {events} (added)"
NEXT = Migration(single=(ADD, INDEX), shard=(ADD, INDEX), coordinator=(ADD,))


@pytest.fixture
def migrate(monkeypatch: pytest.MonkeyPatch) -> Callable[[Migration], None]:
    """From now on this lmdbstore has one more version, to which this leads."""

    def use(migration: Migration) -> None:
        monkeypatch.setattr(tables, "MIGRATIONS", (*tables.MIGRATIONS, migration))
        monkeypatch.setattr(tables, "VERSION", VERSION + 1)

    return use


def version(address: str, schema: str, table: str = "store") -> int:
    with OtherWriter(address, schema) as other:
        return int(other.one(f"SELECT version FROM {getattr(other.names, table)}"))


def test_a_store_on_one_server(
    single: str, schema: str, migrate: Callable[[Migration], None]
) -> None:
    with SQLEventStore(single, schema=schema) as store:
        store.save(Event("a"))
    migrate(NEXT)
    with pytest.raises(StoreOpenError, match=rf"version {VERSION}.*open it once for writing"):
        SQLEventStore(single, schema=schema, readonly=True)
    in_threads(*[lambda: SQLEventStore(single, schema=schema).close()] * 3)
    with SQLEventStore(single, schema=schema, readonly=True) as store:
        assert ids(store.search()) == ["a"]
    assert version(single, schema) == VERSION + 1


def test_a_migration_that_fails_changes_nothing(
    single: str, schema: str, migrate: Callable[[Migration], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    SQLEventStore(single, schema=schema).close()
    migrate(NEXT._replace(single=(ADD, INDEX, "nonsense")))
    with pytest.raises(StoreOpenError, match="syntax error"):
        SQLEventStore(single, schema=schema)
    monkeypatch.undo()
    SQLEventStore(single, schema=schema).close()


WRITES: dict[str, Callable[[EventStore], object]] = {
    "save": lambda store: store.save(Event("b")),
    "delete": lambda store: store.delete("a"),
    "checkpoint": lambda store: store.save_many([], checkpoint=("x", "y")),
    "purge": lambda store: store.purge(max_events=0),  # type: ignore[attr-defined]  # SQLEventStore
    "cursor": lambda store: store.cursor("c").close(),
}


@pytest.mark.parametrize("write", WRITES)
def test_a_program_of_an_earlier_version_writes_no_more(
    store: EventStore, address: str, schema: str, write: str
) -> None:
    """It had opened the store before. It reads on, as long as the server lets it."""
    store.save(Event("a"))
    with OtherWriter(address, schema) as other:
        other.connection.execute(f"UPDATE {other.names.store} SET version = 99")
        with pytest.raises(EventWriteException, match=r"version 99.*nothing was written"):
            WRITES[write](store)
        assert ids(store.search()) == ["a"]
        other.connection.execute(f"UPDATE {other.names.store} SET version = {VERSION}")
    assert store.checkpoint("x") is None
    WRITES[write](store)


class TestShards:
    @pytest.fixture
    def shards(self, shard_servers: tuple[Server, Sequence[Server]]) -> list[str]:
        return [server.address for server in shard_servers[1]]

    @pytest.fixture
    def filled(self, sharded: str, schema: str) -> str:
        with SQLEventStore(sharded, schema=schema) as store:
            store.save_many(Event(f"e{n}") for n in range(9))
        return sharded

    def test_a_store_on_shards(
        self,
        filled: str,
        schema: str,
        shards: list[str],
        migrate: Callable[[Migration], None],
    ) -> None:
        migrate_sharded(filled, shards, schema=schema)  # nothing is to be done
        migrate(NEXT)
        with pytest.raises(StoreOpenError, match=rf"version {VERSION}.*migrate_sharded"):
            SQLEventStore(filled, schema=schema)
        in_threads(*[lambda: migrate_sharded(filled, shards[::-1], schema=schema)] * 2)
        assert version(filled, schema) == VERSION + 1
        assert {version(each, schema, "shard") for each in shards} == {VERSION + 1}
        with SQLEventStore(filled, schema=schema) as store:
            store.save(Event("new"))
            assert len(store) == 10

    def test_a_migration_that_stops_is_gone_on_with(
        self,
        filled: str,
        schema: str,
        shards: list[str],
        migrate: Callable[[Migration], None],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Programs of the version before work in the meantime."""
        with SQLEventStore(filled, schema=schema) as store:
            migrate(NEXT._replace(coordinator=("nonsense",)))
            with pytest.raises(StoreOpenError, match="syntax error"):
                migrate_sharded(filled, shards, schema=schema)
            monkeypatch.undo()
            store.save(Event("new"))
            assert len(store) == 10
        migrate(NEXT)
        migrate_sharded(filled, shards, schema=schema)
        with SQLEventStore(filled, schema=schema) as store:
            assert len(store) == 10

    @pytest.mark.parametrize("wrong", ["fewer", "twice", "another store's"])
    def test_other_shards_are_refused_and_nothing_is_changed(
        self,
        filled: str,
        schema: str,
        shards: list[str],
        migrate: Callable[[Migration], None],
        wrong: str,
    ) -> None:
        given: dict[str, Any] = {"fewer": shards[:2], "twice": [*shards[:2], shards[0]]}
        if wrong == "another store's":
            with OtherWriter(shards[1], schema) as other:
                other.connection.execute(f"UPDATE {other.names.shard} SET identity = 'x'")
        migrate(NEXT)
        with pytest.raises(StoreOpenError, match="not those of the store, which has 3"):
            migrate_sharded(filled, given.get(wrong, shards), schema=schema)
        assert {version(each, schema, "shard") for each in shards} == {VERSION}

    def test_what_cannot_be_migrated(self, single: str, schema: str, shards: list[str]) -> None:
        with pytest.raises(StoreOpenError, match="there is no store"):
            migrate_sharded(single, shards, schema=schema)
        SQLEventStore(single, schema=schema).close()
        with pytest.raises(StoreOpenError, match="not those of the store, which has 0"):
            migrate_sharded(single, [], schema=schema)
        with pytest.raises(InvalidOption, match=r"^timeout"):
            migrate_sharded(single, shards, schema=schema, timeout=-1)
        with pytest.raises(InvalidOption, match=r"^address"):
            migrate_sharded(single, ["nonsense://"], schema=schema)

    def test_it_waits_for_a_writer(
        self, filled: str, schema: str, shards: list[str], migrate: Callable[[Migration], None]
    ) -> None:
        migrate(NEXT)
        with OtherWriter(filled, schema) as other:
            other.lock()
            with pytest.raises(OpenBusy, match=r"waited 0\.1 s"):
                migrate_sharded(filled, shards, schema=schema, timeout=0.1)
        assert {version(each, schema, "shard") for each in shards} == {VERSION}
        migrate_sharded(filled, shards, schema=schema)


def test_a_new_store_on_shards_has_the_present_version(
    shard_servers: tuple[Server, Sequence[Server]], schema: str
) -> None:
    coordinator, shards = shard_servers
    create_sharded(coordinator.address, [each.address for each in shards], schema=schema)
    assert [version(each.address, schema, "shard") for each in shards] == [VERSION] * 3
