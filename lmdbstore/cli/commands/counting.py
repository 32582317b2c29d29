"""The commands that count events: `histogram` and `top`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from lmdbstore.cli.counting.histogram import print_histogram
from lmdbstore.cli.counting.periods import ACCEPTED, Period, period_of
from lmdbstore.cli.counting.top import print_top
from lmdbstore.cli.help import HISTOGRAM_HELP, TOP_HELP
from lmdbstore.cli.options import (
    color_option,
    db_option,
    flag_option,
    since_option,
    source_option,
    time_of,
    timeout_option,
    until_option,
)
from lmdbstore.cli.searching.options import filter_options, match_of
from lmdbstore.cli.showing.lines import Look
from lmdbstore.times.zones import LocalZone, UnknownZone, zone_named

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import tzinfo

    from lmdbstore.cli.opening import Location
    from lmdbstore.cli.showing.lines import Colour

__all__ = ["histogram_command", "top_command"]


def _period(_: click.Context, __: click.Parameter, text: str | None) -> Period | None:
    period = None if text is None else period_of(text)
    if text is not None and period is None:
        raise click.BadParameter(f"{text!r} is no period; {ACCEPTED}")
    return period


def _zone(_: click.Context, __: click.Parameter, text: str | None) -> tzinfo:
    try:
        return LocalZone() if text is None else zone_named(text)
    except UnknownZone:
        raise click.BadParameter(
            f"{text!r} is no zone; give a name such as Europe/Berlin, UTC or +02:00"
        ) from None


def _conditions(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that choose events, as `search` has them."""
    command = click.argument("pattern", required=False)(filter_options(command))
    for option in (source_option, flag_option, until_option, since_option):
        command = option(command)
    return command


def _sought(
    since: str | None,
    until: str | None,
    pattern: str | None,
    *,
    fixed: bool,
    ignore_case: bool,
    **others: Any,
) -> dict[str, Any]:
    """Return the conditions, by the parameters of `EventView.histogram`."""
    now = time.time()
    return {
        "ts_start": time_of("--since", since, now),
        "ts_end": time_of("--until", until, now, end=True),
        "match": match_of(pattern, fixed=fixed, ignore_case=ignore_case),
        **others,
    }


@click.command("histogram", help=HISTOGRAM_HELP)
@db_option("The store's folder, or its address.")
@click.option(
    "--by", callback=_period, metavar="PERIOD", help="Hour, day, month, or 30s, 15m, 6h, 2w."
)
@click.option(
    "--tz", "zone", callback=_zone, metavar="ZONE", help="Zone of hours, days and months."
)
@_conditions
@click.option("--json", "as_json", is_flag=True, help="Print all as one JSON list.")
@color_option("Whether bars have a colour")
@timeout_option
@click.pass_context
def histogram_command(  # noqa: PLR0913  the arguments of the command
    ctx: click.Context,
    /,
    db: Location,
    by: Period | None,
    zone: tzinfo,
    timeout: float | None,
    *,
    colour: Colour,
    as_json: bool,
    **given: Any,
) -> None:
    """Run `histogram`."""
    look, sought = Look(colour=colour), _sought(**given)
    status = print_histogram(
        db, by, zone, sought, timeout, as_json=as_json, colour=look.is_colourful
    )
    ctx.exit(status)


@click.command("top", help=TOP_HELP)
@db_option("The store's folder, or its address.")
@click.option(
    "--of",
    type=click.Choice(["flags", "source"]),
    multiple=True,
    default=["flags", "source"],
    help="Only flags, or only sources.",
)
@click.option(
    "-n",
    "number",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    metavar="N",
    help="At most N of each.",
)
@_conditions
@click.option("--json", "as_json", is_flag=True, help="Print all as one JSON object.")
@color_option("Whether bars have a colour")
@timeout_option
@click.pass_context
def top_command(  # noqa: PLR0913  the arguments of the command
    ctx: click.Context,
    /,
    db: Location,
    of: tuple[str, ...],
    number: int,
    timeout: float | None,
    *,
    colour: Colour,
    as_json: bool,
    **given: Any,
) -> None:
    """Run `top`."""
    look, sought = Look(colour=colour), _sought(**given)
    status = print_top(db, of, number, sought, timeout, as_json=as_json, colour=look.is_colourful)
    ctx.exit(status)
