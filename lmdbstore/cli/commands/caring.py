"""The commands that show a store, and keep it in shape."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from lmdbstore.cli.care import (
    Conditions,
    backup_store,
    compact_store,
    file_mode,
    purge_store,
    repair_store,
    seal_store,
    size,
    verify_store,
)
from lmdbstore.cli.help import (
    BACKUP_HELP,
    COMPACT_HELP,
    PURGE_HELP,
    REPAIR_HELP,
    SEAL_HELP,
    STATS_HELP,
    VERIFY_HELP,
)
from lmdbstore.cli.options import (
    Store,
    compression_option,
    db_option,
    time_of,
    timeout_option,
)
from lmdbstore.cli.stats import print_stats

if TYPE_CHECKING:
    from pathlib import Path

    from lmdbstore.cli.opening import Location
    from lmdbstore.store import Compression

__all__ = [
    "backup_command",
    "compact_command",
    "purge_command",
    "repair_command",
    "seal_command",
    "stats_command",
    "verify_command",
]


# What to do for a store on a server.
NO_SEAL = "PostgreSQL has nothing to seal"
NO_VERIFY = "check the server's files with its pg_amcheck, and a copy with 'lmdbstore copy'"
NO_REPAIR = "build the server's indexes again with its REINDEX, or restore a backup"
NO_BACKUP = "use the server's pg_dump, or 'lmdbstore copy'"
NO_COMPACT = "use the server's VACUUM FULL"

_json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the result as one JSON object."
)


@click.command("stats", help=STATS_HELP)
@db_option("The store's folder, or its address.")
@click.option("--all", "everything", is_flag=True, help="Print the internal figures, too.")
@click.option("--json", "as_json", is_flag=True, help="Print all as one JSON object.")
@click.option("--prometheus", is_flag=True, help="Print all in the text format of Prometheus.")
@timeout_option
def stats_command(
    db: Location, timeout: float | None, *, everything: bool, as_json: bool, prometheus: bool
) -> None:
    """Run `stats`."""
    if as_json and prometheus:
        raise click.UsageError("--json and --prometheus exclude each other; give one")
    print_stats(db, timeout, everything=everything, as_json=as_json, as_prometheus=prometheus)


@click.command("seal", help=SEAL_HELP)
@db_option("The store's folder.", instead=NO_SEAL)
@compression_option
@_json_option
@timeout_option
def seal_command(
    db: Path, compression: Compression | None, timeout: float | None, *, as_json: bool
) -> None:
    """Run `seal`."""
    seal_store(db, timeout, compression, as_json=as_json)


@click.command("purge", help=PURGE_HELP)
@db_option("The store's folder, or its address.")
@click.option("--before", metavar="T", help="Delete events before this time.")
@click.option(
    "--max-events", type=click.IntRange(min=0), metavar="N", help="Keep at most N events."
)
@click.option("--max-bytes", callback=size, metavar="SIZE", help="Keep at most SIZE.")
@click.option(
    "--flag",
    "flags",
    multiple=True,
    metavar="F",
    help="Delete only events with this flag; repeatable.",
)
@click.option(
    "--keep-flag",
    "keep",
    multiple=True,
    metavar="F",
    help="Keep events with this flag; repeatable.",
)
@click.option(
    "--any-flag",
    "some",
    multiple=True,
    metavar="F",
    help="Delete only events with one of these flags; repeatable.",
)
@click.option("--source", metavar="S", help="Delete only events of exactly this source.")
@click.option("--match", metavar="PATTERN", help="Delete only events whose content matches.")
@click.option("--dry-run", is_flag=True, help="Print what would be deleted; delete nothing.")
@_json_option
@timeout_option
def purge_command(  # noqa: PLR0913, PLR0917  the arguments of the command
    db: Location,
    before: str | None,
    max_events: int | None,
    max_bytes: int | None,
    flags: tuple[str, ...],
    keep: tuple[str, ...],
    some: tuple[str, ...],
    source: str | None,
    match: str | None,
    timeout: float | None,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Run `purge`."""
    conditions = Conditions(
        before=time_of("--before", before, time.time()),
        max_events=max_events,
        max_bytes=max_bytes,
        flags=flags,
        keep_flags=keep,
        any_flags=some,
        source=source,
        match=match,
    )
    limits, chosen = (before, max_events, max_bytes, source, match), flags or some
    if not chosen and all(limit is None for limit in limits):
        raise click.UsageError(
            "nothing says what to delete; give --before, --max-events or --max-bytes, or --flag, "
            "--any-flag, --source or --match to delete all such events"
        )
    purge_store(db, conditions, timeout, dry_run=dry_run, as_json=as_json)


@click.command("verify", help=VERIFY_HELP)
@db_option("The store's folder.", instead=NO_VERIFY)
@click.option("--pages", is_flag=True, help="First check the pages, without opening the file.")
@_json_option
@timeout_option
@click.pass_context
def verify_command(
    ctx: click.Context, db: Path, timeout: float | None, *, pages: bool, as_json: bool
) -> None:
    """Run `verify`."""
    ctx.exit(verify_store(db, timeout, pages=pages, as_json=as_json))


@click.command("repair", help=REPAIR_HELP)
@db_option("The store's folder.", instead=NO_REPAIR)
@click.option("--keep-changed", is_flag=True, help="Keep records that do not match a checksum.")
@_json_option
@click.pass_context
def repair_command(ctx: click.Context, db: Path, *, keep_changed: bool, as_json: bool) -> None:
    """Run `repair`."""
    ctx.exit(repair_store(db, keep_changed=keep_changed, as_json=as_json))


@click.command("backup", help=BACKUP_HELP)
@db_option("The store's folder.", instead=NO_BACKUP)
@click.option(
    "--mode",
    callback=file_mode,
    metavar="OCTAL",
    help="Rights of the copy's files, such as 660; otherwise those of the store.",
)
@_json_option
@timeout_option
@click.argument("target", type=Store(NO_BACKUP))
def backup_command(
    db: Path, target: Path, timeout: float | None, mode: int | None, *, as_json: bool
) -> None:
    """Run `backup`."""
    backup_store(db, target, timeout, mode=mode, as_json=as_json)


@click.command("compact", help=COMPACT_HELP)
@db_option("The store's folder.", instead=NO_COMPACT)
@_json_option
@timeout_option
def compact_command(db: Path, timeout: float | None, *, as_json: bool) -> None:
    """Run `compact`."""
    compact_store(db, timeout, as_json=as_json)
