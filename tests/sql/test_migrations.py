"""Stores of an earlier version are brought up to date; programs of that version write no more."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import (
    Event,
    EventWriteException,
    InvalidOption,
    OpenBusy,
    StoreDamaged,
    StoreOpenError,
    WriteBusy,
)
from lmdbstore.testing.helpers import ids, in_threads
from tests.sql.other_writer import OtherWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lmdbstore import EventStore
    from tests.sql.servers import Server

pytest.importorskip("psycopg", reason="pip install '.[postgres]'")

from lmdbstore.sql.server import migrations, shard_migration
from lmdbstore.sql.server import schema as schema_module
from lmdbstore.sql.server.migrations import VERSION, Migration
from lmdbstore.sql.server.names import MIGRATING
from lmdbstore.sql.server.shard_migration import migrate_sharded
from lmdbstore.sql.server.shards import create_sharded
from lmdbstore.sql.store import SQLEventStore

ADD = "ALTER TABLE {events} ADD COLUMN added text"
INDEX = "CREATE INDEX new ON {events} (added)"
NEXT = Migration(single=(ADD, INDEX), shard=(ADD, INDEX), coordinator=(ADD,))


@pytest.fixture
def migrate(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """From now on this lmdbstore has more versions, to which these lead."""

    def use(*more: Migration) -> None:
        monkeypatch.setattr(migrations, "MIGRATIONS", (*migrations.MIGRATIONS, *more))
        for module in (migrations, shard_migration, schema_module):
            monkeypatch.setattr(module, "VERSION", VERSION + len(more))

    return use


def version(address: str, schema: str, table: str = "store") -> int:
    with OtherWriter(address, schema) as other:
        return int(other.one(f"SELECT version FROM {getattr(other.names, table)}"))


def test_a_store_on_one_server(single: str, schema: str, migrate: Callable[..., None]) -> None:
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
    single: str, schema: str, migrate: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    SQLEventStore(single, schema=schema).close()
    migrate(NEXT._replace(single=(ADD, INDEX, "nonsense")))
    with pytest.raises(StoreOpenError, match="syntax error"):
        SQLEventStore(single, schema=schema)
    monkeypatch.undo()
    SQLEventStore(single, schema=schema).close()


def test_a_migration_that_rewrites_a_table_is_refused(
    single: str, schema: str, migrate: Callable[..., None]
) -> None:
    """A snapshot that was taken before would see no rows in it."""
    with SQLEventStore(single, schema=schema) as store:
        store.save(Event("a"))
        migrate(NEXT._replace(single=("ALTER TABLE {events} ALTER seq TYPE numeric",)))
        with pytest.raises(StoreOpenError, match=r"rewrites the table 'events'.*nothing was"):
            SQLEventStore(single, schema=schema)
        assert version(single, schema) == VERSION


def test_a_migration_that_waits_for_a_snapshot_lets_others_in(
    single: str, schema: str, migrate: Callable[..., None]
) -> None:
    """All others would wait for the table behind it."""
    with SQLEventStore(single, schema=schema) as store, store.snapshot() as view:
        store.save(Event("a"))
        assert ids(view.search()) == []  # it has used the table
        migrate(NEXT)

        def open_() -> None:
            with pytest.raises(OpenBusy, match=r"waited 2 s"):
                SQLEventStore(single, schema=schema, timeout=2)
            view.close()

        def use() -> None:
            with OtherWriter(single, schema) as other:
                other.connection.execute("SET statement_timeout = 1500")
                for _ in range(100):
                    assert other.one(f"SELECT count(*) FROM {other.names.events}") == 1
                    time.sleep(0.01)

        in_threads(open_, use)
    SQLEventStore(single, schema=schema).close()


def test_a_cursor_is_not_changed_while_a_store_is_migrated(
    store: EventStore, address: str, schema: str
) -> None:
    with OtherWriter(address, schema) as other:
        other.connection.execute(f"SELECT pg_advisory_lock({other.names.lock(MIGRATING)})")
        with (
            SQLEventStore(address, schema=schema, timeout=0.1) as waiting,
            pytest.raises(WriteBusy),
        ):
            waiting.cursor("c")
    store.cursor("c").close()


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


@pytest.mark.parametrize("write", [name for name in WRITES if name != "purge"])
def test_a_store_without_its_row_says_so(
    store: EventStore, address: str, schema: str, write: str
) -> None:
    store.save(Event("a"))
    with OtherWriter(address, schema) as other:
        other.connection.execute(f"DELETE FROM {other.names.store}")
    with pytest.raises(StoreDamaged, match="not whole: its row is missing"):
        WRITES[write](store)
    with pytest.raises(StoreDamaged, match="not whole: its row is missing"):
        store.position()
    with pytest.raises(StoreOpenError, match="not whole: its row is missing"):
        SQLEventStore(address, schema=schema)


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
        migrate: Callable[..., None],
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
        migrate: Callable[..., None],
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

    def test_several_versions_one_after_the_other(
        self, filled: str, schema: str, shards: list[str], migrate: Callable[..., None]
    ) -> None:
        """No shard is more than one version ahead of the coordinator."""
        last = ("ALTER TABLE {events} ADD COLUMN second text",)
        broken = Migration((), last, ("nonsense",))
        migrate(Migration((), (ADD,), ("nonsense",)), broken)
        for _ in range(2):
            with pytest.raises(StoreOpenError, match="syntax error"):
                migrate_sharded(filled, shards, schema=schema)
            assert version(filled, schema) == VERSION
            assert {version(each, schema, "shard") for each in shards} == {VERSION + 1}

    def test_a_coordinator_that_only_reads_is_refused_first(
        self, filled: str, schema: str, shards: list[str], migrate: Callable[..., None]
    ) -> None:
        migrate(NEXT)
        options = "&options=-c%20default_transaction_read_only%3Don"
        for address, others in (
            (filled + options, shards),
            (filled, [*shards[:2], shards[2] + options]),
        ):
            with pytest.raises(StoreOpenError, match="only reads"):
                migrate_sharded(address, others, schema=schema)
        assert {version(each, schema, "shard") for each in shards} == {VERSION}

    def test_a_store_of_a_later_version_is_refused(
        self, filled: str, schema: str, shards: list[str]
    ) -> None:
        with OtherWriter(filled, schema) as other:
            other.connection.execute(f"UPDATE {other.names.store} SET version = 99")
        with pytest.raises(StoreOpenError, match=f"version 99.*knows {VERSION}"):
            migrate_sharded(filled, shards, schema=schema)

    @pytest.mark.parametrize("wrong", ["fewer", "twice", "another store's"])
    def test_other_shards_are_refused_and_nothing_is_changed(
        self,
        filled: str,
        schema: str,
        shards: list[str],
        migrate: Callable[..., None],
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
        with pytest.raises(StoreOpenError, match="shard"):
            migrate_sharded(single, shards, schema=schema)
        nothing: list[Any] = [[], None, shards[0], 5]
        for none in nothing:
            with pytest.raises(InvalidOption, match=r"^shards"):
                migrate_sharded(single, none, schema=schema)
        with pytest.raises(InvalidOption, match=r"^timeout"):
            migrate_sharded(single, shards, schema=schema, timeout=-1)
        with pytest.raises(InvalidOption, match=r"^shards: number 1: address"):
            migrate_sharded(single, [single, "nonsense://"], schema=schema)

    def test_it_waits_for_a_writer(
        self, filled: str, schema: str, shards: list[str], migrate: Callable[..., None]
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
