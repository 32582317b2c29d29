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
from psycopg import errors as pg
from psycopg import sql

from lmdbstore.contract.commits.position import Lineage, new_identity
from lmdbstore.errors import (
    EventWriteException,
    InvalidOption,
    OpenBusy,
    StoreOpenError,
    shown,
)

from .failures import NOTHING, reason
from .link import limit_locks

if TYPE_CHECKING:
    from lmdbstore.threads.deadline import Deadline

    from .link import Connection

__all__ = [
    "CLEANING",
    "EVENT_COLUMNS",
    "LONGEST_NAME",
    "WRITING",
    "Names",
    "Opened",
    "check_version",
    "checked_schema",
    "create",
    "events_statements",
    "has_tables",
    "migrated",
    "open_schema",
    "wrong_version",
]


class Migration(NamedTuple):
    """The statements that bring a store to the next version, each kind in one transaction.

    Those of the shards come first. Until those of the coordinator are committed, programs of the
    version before work on the shards: so their statements must do what they did.
    """

    single: tuple[str, ...]  # for a store on one server
    shard: tuple[str, ...]
    coordinator: tuple[str, ...]


MIGRATIONS: tuple[Migration, ...] = ()  # from version 1 on
VERSION = 1 + len(MIGRATIONS)
# The classes of our advisory locks; the second key is that of the schema.
WRITING = 0x6C6D6462  # held by a writer, from before it looks until it is published
CLEANING = 0x6C6D6463  # shared by those who need what was deleted, exclusive for removing it

LONGEST_NAME = 63  # bytes of a name in PostgreSQL

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


class Names:
    """The names of a store's tables, quoted."""

    def __init__(self, schema: str) -> None:
        """Quote the names in a schema."""
        self.plain = schema
        self.schema = sql.Identifier(schema).as_string(None)
        for name in ("store", "events", "checkpoints", "cursors", "busy", "shard"):
            setattr(self, name, f"{self.schema}.{name}")

    store: str
    events: str
    checkpoints: str
    cursors: str
    busy: str
    shard: str

    def lock(self, kind: int) -> str:
        """Return the two keys of an advisory lock."""
        return f"{kind}, hashtext('{self.plain.encode().hex()}')"

    def filled(self, statement: str) -> str:
        """Return a statement with the names in it."""
        return statement.format(**vars(self))


def checked_schema(schema: object, longest: int = LONGEST_NAME) -> str:
    """Return the name of a schema; raises InvalidOption."""
    if isinstance(schema, str):
        name = str.__str__(schema)
        size = len(name.encode(errors="replace"))
        if 0 < size <= longest and name.isprintable() and "%" not in name:
            return name
    raise InvalidOption(
        f"schema: {shown(schema)} cannot be used; pass a name of 1 to {longest} bytes, without a "
        "percent sign"
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
        version = int(_one(connection, f"SELECT version FROM {names.store}"))
        row: Any = connection.execute(f"SELECT identity, sharded FROM {names.store}").fetchone()
        sharded = bool(row[1])
        if version < VERSION and may_write and not standby and not sharded:
            version = migrated(connection, names)
        if wrong := wrong_version(names, version, sharded=sharded):
            raise StoreOpenError(wrong)
    except pg.LockNotAvailable as error:
        raise OpenBusy(
            f"the store is busy: waited {deadline.limit or 0:.3g} s for others that write or make "
            "it; wait longer (timeout=)"
        ) from error
    except psycopg.Error as error:
        raise StoreOpenError(f"the server refuses to open the store: {reason(error)}") from error
    return Opened(Lineage(bytes(row[0])), sharded, bool(standby))


def check_version(names: Names, version: int, *, sharded: bool) -> None:
    """Check the version that a write finds: the store may be newer than when it was opened.

    Raises:
        EventWriteException: it is not the present one; nothing was written.
    """
    if wrong := wrong_version(names, version, sharded=sharded):
        raise EventWriteException(f"{wrong}; {NOTHING}")


def migrated(connection: Connection, names: Names, *, kind: str = "single") -> int:
    """Bring tables to the present version, in a transaction; return their version then.

    `kind` is that of the statements, see `Migration`.
    """
    table = names.shard if kind == "shard" else names.store
    with connection.transaction():
        connection.execute(f"SELECT pg_advisory_xact_lock({names.lock(WRITING)})")
        version = int(_one(connection, f"SELECT version FROM {table}"))
        if version > VERSION:
            return version
        for migration in MIGRATIONS[version - 1 :]:  # none, if another process was quicker
            for statement in getattr(migration, kind):
                connection.execute(names.filled(statement))
            version += 1
        connection.execute(f"UPDATE {table} SET version = %s", [version])
    return version


def wrong_version(names: Names, version: int, *, sharded: bool) -> str | None:
    """Return what to say of a store whose version is not the present one; None: it is."""
    if version == VERSION:
        return None
    if version > VERSION:
        remedy = "use an lmdbstore that is as new as the one that wrote it"
    elif sharded:
        remedy = "bring it up to date with lmdbstore.sql.server.shards.migrate_sharded"
    else:
        remedy = (
            "open it once for writing, with a role that owns the tables, to bring it up to date"
        )
    return (
        f"the store in the schema {shown(names.plain)} has version {version}, and this lmdbstore "
        f"knows {VERSION}; {remedy}"
    )


def _one(connection: Connection, statement: str) -> Any:
    row = connection.execute(statement).fetchone()
    if row is None:
        raise StoreOpenError("the store is not whole: its row is missing; restore a backup")
    return row[0]
