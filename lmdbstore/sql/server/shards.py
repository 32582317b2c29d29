"""A store on several servers: a coordinator, and shards that it reaches through `postgres_fdw`.

Rules: programs know the coordinator alone. It has the tables of a store (see `schema`), except that
`events` is cut by a hash of the id into one foreign table for each shard. `postgres_fdw` comes with
PostgreSQL; it commits on one shard after the other, which `writing.commit` is made for. A shard
that cannot be reached fails what needs it.

On Citus the same tables can be distributed once a store was opened there, and before it is used.
None of this was run:

    DROP INDEX lmdbstore.events_id;
    CREATE UNIQUE INDEX events_id ON lmdbstore.events (id) WHERE died IS NULL;
    CREATE INDEX events_died ON lmdbstore.events (died) WHERE died IS NOT NULL;
    SELECT create_distributed_table('lmdbstore.events', 'id');
    CREATE VIEW lmdbstore.busy AS
    SELECT result FROM run_command_on_shards('lmdbstore.events', $$
        SELECT count(*) FROM pg_locks
        WHERE relation = '%s'::regclass AND mode = 'RowExclusiveLock' $$) WHERE result <> '0';
    UPDATE lmdbstore.store SET sharded = true;
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import psycopg
from psycopg import errors as pg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from lmdbstore.contract.commits.position import new_identity
from lmdbstore.errors import StoreDamaged, StoreOpenError

from .failures import failed_opening
from .link import checked_addresses, connect
from .migrations import VERSION
from .names import LONGEST_NAME, Names, checked_schema
from .schema import EVENT_COLUMNS, create, events_oid, events_statements, has_tables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .link import Connection

__all__ = ["create_sharded"]

LOGIN = ("user", "password", "sslcert", "sslkey", "sslpassword")  # options of a user's mapping
BATCH = 1_000  # rows in one message to a shard
# A server may log all statements, those that fail, slow ones, and those of some transactions.
UNLOGGED = {
    "log_statement": "none",
    "log_min_error_statement": "panic",
    "log_min_duration_statement": "-1",
    "log_min_duration_sample": "-1",
    "log_transaction_sample_rate": "0",
}

# An open transaction that has written holds such a lock until its end, a prepared one too.
_BUSY = """
CREATE VIEW {schema}.busy AS
SELECT virtualtransaction, pid FROM pg_locks
WHERE relation = {events_oid}::oid AND mode = 'RowExclusiveLock' AND granted
"""


def create_sharded(address: str, shards: Sequence[str], *, schema: str = "lmdbstore") -> None:
    """Make an empty store whose events are on `shards`, which are addresses as the coordinator's.

    Each is made in a transaction of its own. The coordinator's role must be allowed to make the
    extension and servers; passwords in the addresses are kept in its user mapping, which only the
    server's superusers can read. A statement has them: a superuser keeps it out of the
    coordinator's log, another role cannot. If it fails, what was made stays on the shards: drop the
    schema there, and call it again.

    Raises:
        InvalidOption: there are no shards, or an argument is no address, or no name.
        StoreOpenError: a server cannot be reached or refuses, or has a store in the schema already.
    """
    shards = checked_addresses("shards", shards)
    names = Names(checked_schema(schema, LONGEST_NAME - len(f"_{len(shards)}")))
    try:
        with connect(address) as coordinator:
            _check_free(coordinator, names)
            identity = new_identity()
            for number, shard in enumerate(shards):
                with connect(shard) as connection, connection.transaction():
                    _make_shard(connection, names, [identity, number, VERSION])
            with coordinator.transaction():
                _log_nothing(coordinator)
                create(coordinator, names, sharded=True, identity=identity)
                _link_shards(coordinator, names, shards)
    except (psycopg.Error, StoreDamaged) as error:
        raise failed_opening(error, None, "be made") from error


def _check_free(connection: Connection, names: Names) -> None:
    if has_tables(connection, names):
        raise StoreOpenError(f"there is a store in the schema {names.plain!r} already; drop it")


def _log_nothing(connection: Connection) -> None:
    """Keep the statements of a transaction out of the server's log, if the role may."""
    with suppress(pg.InsufficientPrivilege), connection.transaction():
        for name, value in UNLOGGED.items():
            connection.execute("SELECT set_config(%s, %s, true)", [name, value])


def _make_shard(connection: Connection, names: Names, about: list[object]) -> None:
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {names.schema}")
    for statement in events_statements(names, shard=True):
        connection.execute(statement)
    oid = events_oid(connection, names)
    connection.execute(_BUSY.format(schema=names.schema, events_oid=oid))
    connection.execute(
        f"CREATE TABLE {names.shard} (identity bytea, number integer, version integer)"
    )
    connection.execute(f"INSERT INTO {names.shard} VALUES (%s, %s, %s)", about)


def _link_shards(connection: Connection, names: Names, shards: Sequence[str]) -> None:
    connection.execute("CREATE EXTENSION IF NOT EXISTS postgres_fdw")
    connection.execute(f"CREATE TABLE {names.events} ({EVENT_COLUMNS}) PARTITION BY HASH (id)")
    busy = []
    for number, shard in enumerate(shards):
        server = _server(connection, names, number, shard)
        remote = sql.SQL("SERVER {} OPTIONS (schema_name {}, table_name {})")
        part = f"{names.schema}.events_{number}"
        bounds = f"WITH (MODULUS {len(shards)}, REMAINDER {number})"
        found = remote.format(server, sql.Literal(names.plain), sql.Literal("events"))
        connection.execute(
            sql.SQL("CREATE FOREIGN TABLE {} PARTITION OF {} FOR VALUES {} {}").format(
                sql.SQL(part), sql.SQL(names.events), sql.SQL(bounds), found
            )
        )
        found = remote.format(server, sql.Literal(names.plain), sql.Literal("busy"))
        connection.execute(
            sql.SQL("CREATE FOREIGN TABLE {} (virtualtransaction text, pid integer) {}").format(
                sql.SQL(f"{names.schema}.busy_{number}"), found
            )
        )
        busy.append(f"SELECT * FROM {names.schema}.busy_{number}")
    connection.execute(f"CREATE VIEW {names.busy} AS {' UNION ALL '.join(busy)}")


def _server(connection: Connection, names: Names, number: int, shard: str) -> sql.Identifier:
    """Name a shard to the coordinator, and how it logs in there."""
    options = {name: str(value) for name, value in conninfo_to_dict(shard).items()}
    login = {name: options.pop(name) for name in LOGIN if name in options}
    options |= {"batch_size": str(BATCH), "async_capable": "true"}
    server = sql.Identifier(f"{names.plain}_{number}")
    connection.execute(
        sql.SQL("CREATE SERVER {} FOREIGN DATA WRAPPER postgres_fdw OPTIONS ({})").format(
            server, _listed(options)
        )
    )
    connection.execute(
        sql.SQL("CREATE USER MAPPING FOR PUBLIC SERVER {} OPTIONS ({})").format(
            server, _listed(login)
        )
    )
    return server


def _listed(options: dict[str, str]) -> sql.Composed:
    each = [
        sql.SQL("{} {}").format(sql.Identifier(name), sql.Literal(value))
        for name, value in options.items()
    ]
    return sql.SQL(", ").join(each)
