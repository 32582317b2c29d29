"""The command `serve`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lmdbstore.cli.help import SERVE_HELP
from lmdbstore.cli.opening import open_to_read
from lmdbstore.cli.options import db_option, timeout_option
from lmdbstore.cli.terminal import complain
from lmdbstore.web import HOST, PORT, serve

if TYPE_CHECKING:
    from lmdbstore.cli.opening import Location

__all__ = ["serve_command"]


@click.command("serve", help=SERVE_HELP)
@db_option("The store's folder, or its address.")
@click.option(
    "--host", default=HOST, show_default=True, metavar="HOST", help="The address to listen at."
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=PORT,
    show_default=True,
    metavar="N",
    help="The port; 0: any that is free.",
)
@click.option(
    "--allow-host",
    "names",
    multiple=True,
    metavar="NAME",
    help="Answer to this name too, as in the address of a browser; repeatable.",
)
@timeout_option
def serve_command(
    db: Location, host: str, port: int, names: tuple[str, ...], timeout: float | None
) -> None:
    """Run `serve`."""
    with open_to_read(db, timeout, consistency="snapshot") as store:
        serve(store, host, port, names=names, ready=click.echo, say=complain)
