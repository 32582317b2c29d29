"""The tables of a store: their names, how they are made, their version, and what opening checks.

Format, version 1, in a schema of its own:

- `store`, one row: `version`; `identity` of the store, for positions; `head`, the last number that
  is published, of an event that was saved or of deletions; `saved`, the last one of an event;
  `sharded`, whether the rows of `events` are on other servers; there, `reserved` is the last number
  that may be in use: see `writing.commit`.
- `events`: `id`, `source` and `flags` are keys (see `sql.texts`), `content` is a text as it is
  kept; `seq` is the number of the event in the order of saving; `died` is the number at which it
  was deleted, NULL for one that is there; `ts` is in seconds; `long` has the id, the source and the
  flags themselves, in JSON, if one of them is too long to be its key.
- `checkpoints` and `cursors`: `key`, and the `name` and `body` as they are kept; a checkpoint also
  has the numbers `since` which it is there, and at which it `died`, as events have.
- `busy`, only in a sharded store: the transactions that write on the shards now.
- `shard`, only on a shard, one row: the `identity` of the store, the shard's `number`, and the
  `version` of its tables.

On one server a statement sees whole writes. On several a reader sees what is published: `seq <=
head`, and not `died <= head`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg

from lmdbstore.contract.commits.position import Lineage, new_identity
from lmdbstore.errors import StoreDamaged, StoreOpenError, shown

from .failures import failed_opening, only_row
from .link import limit_locks
from .migrations import VERSION, migrated, other_version
from .names import WRITING

if TYPE_CHECKING:
    from lmdbstore.threads.deadline import Deadline

    from .link import Connection
    from .names import Names

__all__ = [
    "EVENT_COLUMNS",
    "Opened",
    "create",
    "events_oid",
    "events_statements",
    "has_tables",
    "open_schema",
]


EVENT_COLUMNS = """
    id text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    died bigint,
    ts double precision NOT NULL,
    source text COLLATE "C" NOT NULL,
    flags text[] COLLATE "C" NOT NULL,
    content text COLLATE "C" NOT NULL,
    long text
"""
_INDEXES = (
    "CREATE INDEX events_ts ON {events} (ts, seq)",
    "CREATE INDEX events_seq ON {events} (seq)",
    "CREATE INDEX events_source ON {events} (source, ts, seq)",
    "CREATE INDEX events_flags ON {events} USING gin (flags)",
)
_OTHERS = (
    """
    CREATE TABLE {store} (
        one boolean PRIMARY KEY DEFAULT true CHECK (one),
        version integer NOT NULL,
        identity bytea NOT NULL,
        head bigint NOT NULL,
        saved bigint NOT NULL,
        reserved bigint NOT NULL,
        sharded boolean NOT NULL
    )
    """,
    """
    CREATE TABLE {checkpoints} (
        key text COLLATE "C" NOT NULL,
        since bigint NOT NULL,
        died bigint,
        name text COLLATE "C" NOT NULL,
        body text NOT NULL
    )
    """,
    "CREATE UNIQUE INDEX checkpoints_key ON {checkpoints} (key) WHERE died IS NULL",
    "CREATE INDEX checkpoints_died ON {checkpoints} (died) WHERE died IS NOT NULL",
    'CREATE TABLE {cursors} (key text COLLATE "C" PRIMARY KEY, name text, body text)',
)


class Opened(NamedTuple):
    """What opening found."""

    lineage: Lineage
    sharded: bool
    standby: bool


# On one server nothing stays that was deleted. A condition on `died` would only make the planner
# think, before the first ANALYZE, that there are few such events.
_ON_ONE_SERVER = ("CREATE UNIQUE INDEX events_id ON {events} (id)",)
_ON_A_SHARD = (
    "CREATE UNIQUE INDEX events_id ON {events} (id) WHERE died IS NULL",
    "CREATE INDEX events_died ON {events} (died) WHERE died IS NOT NULL",
)


def events_statements(names: Names, *, shard: bool = False) -> list[str]:
    """Return the statements that make the table of events, here or on a shard."""
    others = _ON_A_SHARD if shard else _ON_ONE_SERVER
    table = f"CREATE TABLE {{events}} ({EVENT_COLUMNS})"
    return [names.filled(each) for each in (table, *others, *_INDEXES)]


def create(
    connection: Connection, names: Names, *, sharded: bool = False, identity: bytes | None = None
) -> None:
    """Make the tables in a transaction, except that of the events of a sharded store.

    Two processes may do it at once: one waits for the other, and finds what it made.
    """
    with connection.transaction():
        connection.execute(f"SELECT pg_advisory_xact_lock({names.lock(WRITING)})")
        if has_tables(connection, names):
            return
        if not _has_schema(connection, names):
            connection.execute(f"CREATE SCHEMA {names.schema}")
        for statement in [] if sharded else events_statements(names):
            connection.execute(statement)
        for statement in _OTHERS:
            connection.execute(names.filled(statement))
        connection.execute(
            f"INSERT INTO {names.store} (version, identity, head, saved, reserved, sharded) "
            "VALUES (%s, %s, 0, 0, 0, %s)",
            [VERSION, identity or new_identity(), sharded],
        )


def _has_schema(connection: Connection, names: Names) -> bool:
    found = connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", [names.plain])
    return found.fetchone() is not None


def has_tables(connection: Connection, names: Names) -> bool:
    """Whether there is a store in the schema."""
    # Not `to_regclass`: it may remember that there was none.
    found = connection.execute(
        "SELECT 1 FROM pg_class JOIN pg_namespace AS n ON n.oid = relnamespace "
        "WHERE nspname = %s AND relname = 'store'",
        [names.plain],
    )
    return found.fetchone() is not None


def open_schema(
    connection: Connection,
    names: Names,
    *,
    may_create: bool,
    may_write: bool,
    deadline: Deadline,
) -> Opened:
    """Make what is not there, if that is wanted, and return what is there.

    Raises:
        StoreOpenError: there is no store, or one of another version, or the server refuses.
    """
    try:
        limit_locks(connection, deadline, local=False)
        standby = _one(connection, "SELECT pg_is_in_recovery()")
        encoding = _one(connection, "SHOW server_encoding")
        if encoding != "UTF8":
            raise StoreOpenError(
                f"the database has the encoding {encoding}, which cannot keep every text; make one "
                "with ENCODING 'UTF8'"
            )
        if not has_tables(connection, names):
            if not may_create or standby:
                raise StoreOpenError(
                    f"there is no store in the schema {shown(names.plain)}; "
                    "open it without readonly=True and create=False to make one"
                )
            create(connection, names)
        version, identity, sharded = only_row(  # which every version has
            connection.execute(f"SELECT version, identity, sharded FROM {names.store}")
        )
        if version < VERSION and may_write and not standby and not sharded:
            version = migrated(connection, names, version, deadline)
        if version != VERSION:
            raise StoreOpenError(other_version(names, version, sharded=sharded))
    except (psycopg.Error, StoreDamaged) as error:
        raise failed_opening(error, deadline, "be opened") from error
    return Opened(Lineage(bytes(identity)), bool(sharded), bool(standby))


def events_oid(connection: Connection, names: Names) -> int:
    """Return the number of the table of events in its server."""
    found = connection.execute(
        "SELECT c.oid FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace "
        "WHERE nspname = %s AND relname = 'events'",
        [names.plain],
    )
    return int(only_row(found)[0])


def _one(connection: Connection, statement: str) -> Any:
    return only_row(connection.execute(statement))[0]
