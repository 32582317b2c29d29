"""The command `import`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from lmdbstore.cli.help import IMPORT_HELP
from lmdbstore.cli.importing.files import import_files
from lmdbstore.cli.importing.options import import_options
from lmdbstore.cli.options import compression_option, db_option, timeout_option
from lmdbstore.cli.terminal import is_terminal

if TYPE_CHECKING:
    from lmdbstore.cli.opening import Location

__all__ = ["import_command"]


@click.command("import", help=IMPORT_HELP)
@db_option("The store's folder, or its address; made if there is none.", required=False)
@import_options
@compression_option
@timeout_option
@click.argument("names", metavar="[FILE|DIR]...", nargs=-1)
@click.pass_context
def import_command(
    ctx: click.Context,
    /,
    db: Location | None,
    names: tuple[str, ...],
    *,
    dry_run: bool,
    **options: Any,
) -> None:
    """Run `import`."""
    if db is None and not dry_run:
        raise click.UsageError("no --db given; give one, or --dry-run to store nothing")
    if "" in names:
        raise click.UsageError("a FILE is empty; give its name, or - for standard input")
    if not names and is_terminal(sys.stdin):
        raise click.UsageError("no FILE given; give one, or - to read from the terminal")
    ctx.exit(import_files(db, names, dry_run=dry_run, **options))
