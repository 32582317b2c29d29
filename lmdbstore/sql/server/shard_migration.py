"""Bringing a store on several servers up to date.

Rules: one version after the other, and of each the shards first, so that a shard is at most one
version ahead of the coordinator, and programs of that version work on. Meanwhile nobody writes. An
attempt that has to wait leaves what is done, and lets others in.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

import psycopg

from lmdbstore.errors import StoreDamaged, StoreOpenError, shown
from lmdbstore.opening.options import checked_limit
from lmdbstore.threads.deadline import Deadline

from .failures import failed_opening, only_row
from .link import checked_address, checked_addresses, connect
from .migrations import VERSION, bring_to, in_steps, lock_all, other_version
from .names import Names, checked_schema
from .schema import events_oid, has_tables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .link import Connection

__all__ = ["migrate_sharded"]


def migrate_sharded(
    address: str,
    shards: Sequence[str],
    *,
    schema: str = "lmdbstore",
    timeout: float | None = None,
) -> None:
    """Bring a store on several servers to the version of this lmdbstore; nobody writes meanwhile.

    `address` is that of the coordinator, `shards` are those of all shards, in any order. Each shard
    is changed in a transaction of its own, and the coordinator last. If it fails, call it again: it
    goes on with what is left. Roles must own the tables. It waits for others, open snapshots too,
    no longer than `timeout` seconds; None is no limit.

    Raises:
        InvalidOption: an argument has an invalid value.
        OpenBusy: others wrote, or read a snapshot, until the time limit.
        StoreOpenError: a server cannot be reached, only reads or refuses, there is no such store,
            one of a later version, or these are not its shards.
    """
    addresses = [checked_address(address), *checked_addresses("shards", shards)]
    names, deadline = Names(checked_schema(schema)), Deadline(checked_limit(timeout))
    with ExitStack() as opened:
        connections = [opened.enter_context(connect(each)) for each in addresses]
        try:
            while in_steps(partial(_migrated, connections[0], connections[1:], names), deadline):
                pass
        except (psycopg.Error, StoreDamaged) as error:
            raise failed_opening(error, deadline, "be migrated") from error


def _migrated(
    coordinator: Connection, shards: Sequence[Connection], names: Names, limit: Deadline
) -> bool:
    """Bring the store to its next version; return whether it was not the present one."""
    _check_writable(coordinator, "the coordinator")
    for number, shard in enumerate(shards):
        _check_writable(shard, f"shards: number {number}")
    if not has_tables(coordinator, names):
        raise StoreOpenError(f"there is no store in the schema {shown(names.plain)}")
    with coordinator.transaction():
        lock_all(coordinator, names, limit)
        version = _checked(coordinator, shards, names)
        if version == VERSION:
            return False
        for shard in shards:
            bring_to(shard, names, version + 1, "shard", limit)
        bring_to(coordinator, names, version + 1, "coordinator", limit)
    return True


def _check_writable(connection: Connection, role: str) -> None:
    asked = "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean"
    [refuses] = only_row(connection.execute(asked))
    if refuses:
        raise StoreOpenError(
            f"{role} only reads (it is a standby, or set so); pass the addresses of primaries"
        )


def _checked(coordinator: Connection, shards: Sequence[Connection], names: Names) -> int:
    """Check that these are the shards of a store, each once; return its version."""
    [identity, version, parts] = only_row(
        coordinator.execute(
            "SELECT identity, version, (SELECT count(*) FROM pg_inherits WHERE inhparent = %s) "
            f"FROM {names.store}",
            [events_oid(coordinator, names)],
        )
    )
    if version > VERSION:
        raise StoreOpenError(other_version(names, version, sharded=True))
    asked = f"SELECT identity, number, version FROM {names.shard}"
    found = sorted(row for shard in shards for row in shard.execute(asked))
    if not parts or [each[:2] for each in found] != [(identity, n) for n in range(parts)]:
        raise StoreOpenError(
            f"shards: these {len(shards)} are not those of the store, which has {parts} that "
            "create_sharded made; pass the address of each, once"
        )
    for _, number, own in found:
        if not version <= own <= min(version + 1, VERSION):
            raise StoreOpenError(
                f"shard {number} has version {own}, and the coordinator {version}; use an "
                "lmdbstore that is as new as the one that migrated it"
            )
    return int(version)
