"""Opening a store on PostgreSQL: what is made, what is refused, and what a role needs."""

from __future__ import annotations

import pickle
import re
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from lmdbstore import (
    Event,
    EventReadException,
    InvalidOption,
    OpenBusy,
    ReadOnlyStore,
    StoreClosed,
    StoreOpenError,
)
from lmdbstore.sql import store as module
from lmdbstore.sql.server.migrations import VERSION
from lmdbstore.sql.server.names import Names
from lmdbstore.sql.server.shards import create_sharded
from lmdbstore.sql.store import SQLEventStore
from lmdbstore.testing.helpers import ids, in_threads
from tests.sql.other_writer import OtherWriter
from tests.tools.children import until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.sql.servers import Server

SECRET = "dont-tell-anyone"


def test_a_store_is_made_once_and_found_again(address: str, schema: str) -> None:
    with SQLEventStore(address, schema=schema) as store:
        store.save(Event("a"))
        position = store.position()
    with SQLEventStore(address, schema=schema, create=False) as store:
        assert ids(store.search()) == ["a"]
        assert store.position() == position


def test_stores_in_two_schemas_know_nothing_of_each_other(single: str, schema: str) -> None:
    with (
        SQLEventStore(single, schema=schema) as one,
        SQLEventStore(single, schema=f"{schema} \"{{2}}'s") as two,
    ):
        one.save(Event("a"))
        two.save(Event("b"))
        assert (ids(one.search()), ids(two.search())) == (["a"], ["b"])


def test_several_open_a_new_store_at_once(single: str, schema: str) -> None:
    found: list[str] = []

    def open_() -> None:
        with SQLEventStore(single, schema=schema) as store:
            found.append(store.position())

    in_threads(*[open_] * 4)
    assert len(set(found)) == 1


@pytest.mark.parametrize("options", [{"create": False}, {"readonly": True}])
def test_a_store_that_is_not_there_is_not_made(
    single: str, schema: str, options: dict[str, Any]
) -> None:
    with pytest.raises(StoreOpenError, match="there is no store in the schema"):
        SQLEventStore(single, schema=schema, **options)


def test_a_store_of_a_later_version_is_refused(single: str, schema: str) -> None:
    SQLEventStore(single, schema=schema).close()
    with OtherWriter(single, schema) as other:
        other.connection.execute(f"UPDATE {other.names.store} SET version = 99")
    with pytest.raises(StoreOpenError, match=f"version 99.*knows {VERSION}"):
        SQLEventStore(single, schema=schema)


def test_a_database_that_cannot_keep_every_text_is_refused(single_server: Server) -> None:
    server = single_server
    with psycopg.connect(server.address, autocommit=True) as connection:
        connection.execute("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
    with pytest.raises(StoreOpenError, match=r"LATIN1.*UTF8"):
        SQLEventStore(server.address_of("latin"))


def test_the_settings_of_a_role_change_no_answer(single_server: Server, schema: str) -> None:
    server = single_server
    with psycopg.connect(server.address, autocommit=True) as connection:
        connection.execute("CREATE ROLE odd LOGIN SUPERUSER")
        for setting in (
            "default_transaction_isolation = 'serializable'",
            "extra_float_digits = -15",
            "client_encoding = 'LATIN1'",
            "search_path = ''",
            "standard_conforming_strings = off",
            "datestyle = 'German'",
        ):
            connection.execute(f"ALTER ROLE odd SET {setting}")
    address = server.address_of("postgres", "odd")
    exact = [Event("é😀\\", timestamp=0.1 + 0.2, tags=["\\'", "ü"], content="%_\\ ß€")]
    with SQLEventStore(address, schema=schema) as store:
        store.save_many(exact)
        assert list(store.search(match="ß", flags=["ü"])) == exact
        assert list(store.search(exact[0].timestamp, exact[0].timestamp)) == exact
        with OtherWriter(server.address, schema) as other:
            other.lock()
            found: list[int] = []

            def write() -> None:
                until(lambda: other.waiting() > 0, "the read does not wait")
                other.insert(["new"], 2)
                other.publish(2)
                other.unlock()

            in_threads(lambda: found.append(store.count()), write)
            assert found == [2]


def test_a_store_without_its_row_is_refused(single: str, schema: str) -> None:
    SQLEventStore(single, schema=schema).close()
    with OtherWriter(single, schema) as other:
        other.connection.execute(f"DELETE FROM {other.names.store}")
    with pytest.raises(StoreOpenError, match="not whole"):
        SQLEventStore(single, schema=schema)


def test_an_opening_with_a_limit_says_that_others_make_the_store(single: str, schema: str) -> None:
    with OtherWriter(single, schema) as other:
        other.lock()
        with pytest.raises(OpenBusy, match="waited"):
            SQLEventStore(single, schema=schema, timeout=0.05)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"address": ""}, "address"),
        ({"address": 5}, "address"),
        ({"schema": ""}, "schema"),
        ({"schema": "x" * 64}, "schema"),
        ({"schema": "a\0b"}, "schema"),
        ({"schema": None}, "schema"),
        ({"schema": "100%"}, "schema"),
        ({"schema": "a\ud800"}, "schema"),
        ({"pool_size": 1}, "pool_size"),
        ({"pool_size": "10"}, "pool_size"),
        ({"statement_timeout": 0}, "statement_timeout"),
        ({"statement_timeout": "1"}, "statement_timeout"),
        ({"timeout": -1}, "timeout"),
        ({"readonly": 1}, "readonly"),
        ({"create": None}, "create"),
        ({"consistency": "eventual"}, "consistency"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidOption, match=named):
        SQLEventStore(**({"address": "postgresql:///nowhere"} | options))


@pytest.mark.parametrize(
    "address",
    [
        f"postgresql://someone:{SECRET}@127.0.0.1:1/db",
        f"host=127.0.0.1 port=1 password={SECRET}",
        f"postgresql:///db?host=/nowhere&password={SECRET}",
        f"postgresql://someone:{SECRET}@[broken",
        f"password={SECRET} nonsense=1",
        f"postgresql:///db?password={SECRET}&nonsense=1",
    ],
)
def test_no_message_has_a_password(address: str) -> None:
    with pytest.raises(StoreOpenError, match=r"server|address") as info:
        SQLEventStore(address)
    error: BaseException | None = info.value
    while error is not None:
        assert SECRET not in f"{error!r} {error}"
        error = error.__cause__ or error.__context__


def test_what_is_shown_of_a_store_has_no_address(single: str, schema: str) -> None:
    with SQLEventStore(f"{single}&password={SECRET}", schema=schema) as store:
        assert SECRET not in repr(store)
        assert repr(schema) in repr(store)
        with store.snapshot() as view:
            assert SECRET not in repr(view)
    assert "closed" in repr(store)


def test_a_store_pickles_as_its_address_and_options(address: str, schema: str) -> None:
    with SQLEventStore(address, schema=schema, timeout=5) as store:
        store.save(Event("a"))
        with pickle.loads(pickle.dumps(store)) as other:  # ours
            assert ids(other.search()) == ["a"]
            assert other._limit == 5
    with pytest.raises(StoreClosed):
        store.get("a")


def test_a_store_opened_for_reading_refuses_to_write(address: str, schema: str) -> None:
    SQLEventStore(address, schema=schema).close()
    with SQLEventStore(address, schema=schema, readonly=True) as store:
        for call in (
            lambda: store.save(Event("a")),
            lambda: store.save_many([]),
            lambda: store.delete("a"),
            lambda: store.delete_many([]),
            lambda: store.purge(before=1.0),
            lambda: store.cursor("a"),
        ):
            with pytest.raises(ReadOnlyStore, match="readonly"):
                call()
        assert len(store) == 0
        assert store.purge(before=1.0, dry_run=True).events == 0


# -- rights ---------------------------------------------------------------------------------------


def grants(role: str, schema: str) -> list[str]:
    """Return the statements that the module's docstring gives a role."""
    text = str(module.__doc__)
    found = re.findall(r"^ +(GRANT .*?);$", text, re.MULTILINE)
    assert len(found) == 3
    quoted = Names(schema).schema
    return [
        f"{grant.partition(' TO ')[0].replace('SCHEMA lmdbstore', f'SCHEMA {quoted}')} TO {role}"
        for grant in found
        if role.partition("_")[0] in grant.partition(" TO ")[2]
    ]


@pytest.fixture
def roles(single_server: Server, schema: str) -> dict[str, str]:
    """The addresses of a reader and of a writer."""
    server = single_server
    SQLEventStore(server.address, schema=schema).close()
    number = schema.partition(" ")[2]
    found = {}
    with psycopg.connect(server.address, autocommit=True) as connection:
        for role in ("reader", "writer"):
            name = f"{role}_{number}"
            connection.execute(f"CREATE ROLE {name} LOGIN")
            for grant in grants(name, schema):
                connection.execute(grant)
            found[role] = server.address_of("postgres", name)
    return found


def test_a_role_that_may_write_needs_no_more(roles: dict[str, str], schema: str) -> None:
    with SQLEventStore(roles["writer"], schema=schema) as store:
        store.save_many([Event("a"), Event("b", tags=["t"])], checkpoint=("x", "y"))
        store.delete("a")
        with store.cursor("c", timeout=0) as cursor:
            assert ids(cursor) == ["b"]
            cursor.ack()
        assert store.purge(before=float("inf")).events == 1


def test_a_role_that_may_read_reads_strictly_and_cannot_write(
    roles: dict[str, str], schema: str
) -> None:
    with SQLEventStore(roles["writer"], schema=schema) as store:
        store.save(Event("a"), on_duplicate="raise")
    with SQLEventStore(roles["reader"], schema=schema) as store:
        assert ids(store.search()) == ids(store.changes("start")) == ["a"]
        with store.snapshot() as view:
            assert len(view) == 1
        for call in (lambda: store.save(Event("b")), lambda: store.cursor("c")):
            with pytest.raises(ReadOnlyStore, match=r"refuses.*nothing was written.*grant"):
                call()
        assert ids(store.search()) == ["a"]


def test_a_role_without_rights_is_told_what_to_grant(
    roles: dict[str, str], single_server: Server, schema: str
) -> None:
    with SQLEventStore(roles["reader"], schema=schema) as store:
        with psycopg.connect(single_server.address, autocommit=True) as connection:
            name = f"reader_{schema.partition(' ')[2]}"
            connection.execute(f"REVOKE SELECT ON {Names(schema).events} FROM {name}")
        with pytest.raises(EventReadException, match=r"refuses the read.*grant"):
            store.get("a", None)


# -- shards ---------------------------------------------------------------------------------------


def test_shards_are_needed_and_a_store_is_not_made_twice(
    shard_servers: tuple[Server, Sequence[Server]], schema: str
) -> None:
    coordinator, shards = shard_servers
    with pytest.raises(InvalidOption, match="shards"):
        create_sharded(coordinator.address, [], schema=schema)
    create_sharded(coordinator.address, [shard.address for shard in shards], schema=schema)
    with pytest.raises(StoreOpenError, match="already"):
        create_sharded(coordinator.address, [shard.address for shard in shards], schema=schema)
    with pytest.raises(StoreOpenError, match="cannot be reached"):
        create_sharded(coordinator.address, ["postgresql:///x?host=/nowhere"], schema=schema + "x")


def test_every_shard_has_a_part(
    shard_servers: tuple[Server, Sequence[Server]], sharded: str, schema: str
) -> None:
    _, shards = shard_servers
    with SQLEventStore(sharded, schema=schema) as store:
        store.save_many(Event(str(n)) for n in range(200))
    numbers = []
    for shard in shards:
        with OtherWriter(shard.address, schema) as other:
            numbers.append(other.one(f"SELECT count(*) FROM {other.names.events}"))
    assert sum(numbers) == 200
    assert min(numbers) > 20


def test_pages_are_merged_from_what_shards_have_in_order(sharded: str, schema: str) -> None:
    with SQLEventStore(sharded, schema=schema) as store:
        plan = store.explain(match="abc", flags=["a"])
    assert "Merge Append" in plan
    assert "Sort  " not in plan
