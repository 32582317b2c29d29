"""The version of a store's tables, and the statements that bring them to the next one.

Rules: a store has one version at a time, and writers check it: one that opened the store before it
was migrated writes no more. No statement of a migration may rewrite a table, such as a change of a
column's type does: for a snapshot that was taken before, all rows would be gone. A migration waits
for tables in short steps, since all who come after it wait for it.
"""

from __future__ import annotations

from functools import partial
from time import sleep
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from psycopg import errors as pg

from lmdbstore.errors import EventWriteException, StoreOpenError, shown

from .failures import NOTHING, only_row
from .link import limit_locks
from .names import MIGRATING, WRITING

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmdbstore.threads.deadline import Deadline

    from .link import Connection
    from .names import Names

__all__ = [
    "MIGRATIONS",
    "VERSION",
    "Migration",
    "bring_to",
    "check_version",
    "in_steps",
    "lock_all",
    "migrated",
    "other_version",
]

T = TypeVar("T")
STEP, PAUSE = 0.2, 0.05  # seconds that it waits for a table, and between two attempts


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


def other_version(names: Names, version: int, *, sharded: bool) -> str:
    """Return what to say of a store whose version is not the present one."""
    if version > VERSION:
        remedy = "use an lmdbstore that is as new as the one that wrote it"
    elif sharded:
        remedy = (
            "bring it up to date with lmdbstore.sql.server.shard_migration.migrate_sharded; one on "
            "Citus cannot be: copy it, with the lmdbstore that wrote it, into a new one"
        )
    else:
        remedy = (
            "open it once for writing, with a role that owns the tables, to bring it up to date"
        )
    return (
        f"the store in the schema {shown(names.plain)} has version {version}, and this lmdbstore "
        f"knows {VERSION}; {remedy}"
    )


def check_version(names: Names, version: int, *, sharded: bool) -> None:
    """Check the version that a write finds: the store may be newer than when it was opened.

    Raises:
        EventWriteException: it is not the present one; nothing was written.
    """
    if version != VERSION:
        raise EventWriteException(f"{other_version(names, version, sharded=sharded)}; {NOTHING}")


def migrated(connection: Connection, names: Names, version: int, deadline: Deadline) -> int:
    """Bring a store on one server to the present version; return its version then."""
    while version < VERSION:
        step = partial(bring_to, connection, names, version + 1, "single")
        version = in_steps(step, deadline)
    return version


def in_steps(work: Callable[[Deadline], T], deadline: Deadline) -> T:
    """Do what waits for locks until the limit that it gets, again and again until a deadline.

    Raises:
        LockNotAvailable: it had to wait until the deadline.
    """
    while True:
        try:
            return work(deadline.moment(STEP))
        except pg.LockNotAvailable:
            if not deadline.left:
                raise
            sleep(PAUSE)


def bring_to(connection: Connection, names: Names, version: int, kind: str, limit: Deadline) -> int:
    """Bring tables from the version before to this one, in a transaction; return what they have.

    `kind` is that of the statements, see `Migration`. Another process may have been quicker.

    Raises:
        StoreOpenError: a statement rewrites a table; nothing was changed.
        psycopg.Error: nothing was changed.
    """
    table = names.shard if kind == "shard" else names.store
    with connection.transaction():
        lock_all(connection, names, limit)
        [found] = only_row(connection.execute(f"SELECT version FROM {table}"))
        if found != version - 1:
            return int(found)
        before = _files(connection, names)
        for statement in getattr(MIGRATIONS[version - 2], kind):
            connection.execute(names.filled(statement))
        after = _files(connection, names)
        for name in before:
            if after.get(name, before[name]) != before[name]:
                raise StoreOpenError(
                    f"the migration to version {version} rewrites the table {shown(name)}, so that "
                    "snapshots would lose their rows; nothing was changed"
                )
        connection.execute(f"UPDATE {table} SET version = %s", [version])
    return version


def lock_all(connection: Connection, names: Names, limit: Deadline) -> None:
    """Keep out all writers until the end of the transaction, those of cursors too."""
    limit_locks(connection, limit, local=True)
    for kind in (MIGRATING, WRITING):
        connection.execute(f"SELECT pg_advisory_xact_lock({names.lock(kind)})")


def _files(connection: Connection, names: Names) -> dict[str, int]:
    """Return the numbers of the files in which tables are."""
    return dict(
        connection.execute(
            "SELECT relname, pg_relation_filenode(c.oid) FROM pg_class AS c "
            "JOIN pg_namespace AS n ON n.oid = relnamespace WHERE nspname = %s AND relkind = 'r'",
            [names.plain],
        ).fetchall()
    )
