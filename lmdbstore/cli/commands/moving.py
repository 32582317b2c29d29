"""The commands `export` and `copy`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lmdbstore.cli.help import COPY_HELP, EXPORT_HELP
from lmdbstore.cli.moving.copying import Conditions, run_copy
from lmdbstore.cli.moving.export import run_export
from lmdbstore.cli.options import (
    Store,
    damaged_option,
    db_option,
    desc_option,
    flag_option,
    limit_option,
    since_option,
    source_option,
    time_of,
    timeout_option,
    until_option,
)
from lmdbstore.cli.searching.options import filter_options, match_of
from lmdbstore.contract.tables.chosen import Chosen
from lmdbstore.transfer.export import FORMATS

if TYPE_CHECKING:
    from lmdbstore.cli.opening import Location
    from lmdbstore.contract.types import Damaged, Where
    from lmdbstore.transfer.export import Format

__all__ = ["copy_command", "export_command"]


@click.command("export", help=EXPORT_HELP)
@db_option("The store's folder, or its address.")
@since_option
@until_option
@flag_option
@source_option
@filter_options
@desc_option
@limit_option
@click.option(
    "--format",
    "kind",
    type=click.Choice(FORMATS),
    help="Without it, that of FILE's name, or else jsonl.",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write to FILE, which is replaced when the export is complete.",
)
@damaged_option
@timeout_option
@click.argument("pattern", required=False)
@click.pass_context
def export_command(  # noqa: PLR0913, PLR0917  the arguments of the command
    ctx: click.Context,
    db: Location,
    since: str | None,
    until: str | None,
    flags: tuple[str, ...],
    source: str | None,
    any_flags: tuple[str, ...],
    not_flags: tuple[str, ...],
    where: Where | None,
    limit: int | None,
    kind: Format | None,
    output: Path | None,
    damaged: Damaged,
    timeout: float | None,
    pattern: str | None,
    *,
    fixed: bool,
    ignore_case: bool,
    desc: bool,
) -> None:
    """Run `export`."""
    now = time.time()
    chosen = Chosen(
        ts_start=time_of("--since", since, now),
        ts_end=time_of("--until", until, now, end=True),
        flags=flags,
        match=match_of(pattern, fixed=fixed, ignore_case=ignore_case),
        order="desc" if desc else "asc",
        source=source,
        any_flags=any_flags,
        not_flags=not_flags,
        where=where,
        limit=limit,
        damaged=damaged,
    )
    ctx.exit(run_export(db, chosen, kind, output, timeout))


@click.command("copy", help=COPY_HELP)
@since_option
@until_option
@flag_option
@source_option
@timeout_option
@click.argument("place", metavar="SOURCE", type=Store())
@click.argument("target", type=Store())
def copy_command(  # noqa: PLR0913, PLR0917  the arguments of the command
    since: str | None,
    until: str | None,
    flags: tuple[str, ...],
    source: str | None,
    timeout: float | None,
    place: Location,
    target: Location,
) -> None:
    """Run `copy`."""
    now = time.time()
    conditions = Conditions(
        ts_start=time_of("--since", since, now),
        ts_end=time_of("--until", until, now, end=True),
        flags=flags,
        source=source,
    )
    run_copy(place, target, conditions, timeout)
