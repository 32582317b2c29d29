"""The command `search`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from lmdbstore.cli.help import SEARCH_HELP
from lmdbstore.cli.options import db_option, time_of, timeout_option
from lmdbstore.cli.search import Sought, run_search

if TYPE_CHECKING:
    from pathlib import Path

    from lmdbstore.contract.types import Damaged

__all__ = ["search_command"]


@click.command("search", help=SEARCH_HELP)
@db_option("The store's folder.")
@click.option("--since", metavar="T", help="Not before this time; a date: its midnight.")
@click.option("--until", metavar="T", help="Not after this time; a date: its last instant.")
@click.option(
    "--flag", "flags", multiple=True, metavar="F", help="Only events with this flag; repeatable."
)
@click.option("--source", metavar="S", help="Only events of exactly this source.")
@click.option("--desc", is_flag=True, help="Newest first.")
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="At most N events.")
@click.option("--json", "as_json", is_flag=True, help="Print whole events, as JSON lines.")
@click.option("--count", is_flag=True, help="Print only the number of events.")
@click.option("--explain", is_flag=True, help="Print only the plan of the search.")
@click.option(
    "--damaged",
    type=click.Choice(["raise", "skip"]),
    default="raise",
    show_default=True,
    help="Fail at an event that is damaged, or leave it out.",
)
@timeout_option
@click.argument("pattern", required=False)
@click.pass_context
def search_command(  # noqa: PLR0913, PLR0917  the arguments of the command
    ctx: click.Context,
    db: Path,
    since: str | None,
    until: str | None,
    flags: tuple[str, ...],
    source: str | None,
    limit: int | None,
    damaged: Damaged,
    timeout: float | None,
    pattern: str | None,
    *,
    desc: bool,
    as_json: bool,
    count: bool,
    explain: bool,
) -> None:
    """Run `search`."""
    if as_json + count + explain > 1:
        raise click.UsageError("--json, --count and --explain exclude each other; give one")
    now = time.time()
    sought = Sought(
        ts_start=time_of("--since", since, now),
        ts_end=time_of("--until", until, now, end=True),
        flags=flags,
        match=pattern,
        order="desc" if desc else "asc",
        source=source,
        limit=limit,
        damaged=damaged,
    )
    mode = "json" if as_json else "count" if count else "explain" if explain else "text"
    ctx.exit(run_search(db, sought, mode, timeout))
