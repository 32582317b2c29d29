"""The commands that print events: `search` and `tail`."""

from __future__ import annotations

import time
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

import click

from lmdbstore.cli.counting.by import print_counts
from lmdbstore.cli.help import SEARCH_HELP, TAIL_HELP
from lmdbstore.cli.moving.output import printed_to
from lmdbstore.cli.options import (
    color_option,
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
from lmdbstore.cli.search import Mode, Sought, run_search
from lmdbstore.cli.searching.options import Printed, asked, asking_options
from lmdbstore.cli.showing.lines import Colour, Form, Look, form_of
from lmdbstore.cli.tail import Chosen, run_tail

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmdbstore.cli.opening import Location
    from lmdbstore.contract.types import Damaged

__all__ = ["search_command", "tail_command"]

# The conditions that all ways of counting have.
COUNTED: Final = (
    "ts_start",
    "ts_end",
    "flags",
    "match",
    "source",
    "any_flags",
    "not_flags",
    "where",
)


def look_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options for what the lines look like; they give the argument `look`."""

    @click.option(
        "--format",
        "form",
        type=click.Choice(get_args(Form)),
        default="default",
        help="How events are printed: contents as they are (raw), or whole events (jsonl, csv). By "
        "default a terminal also gets times and sources.",
    )
    @click.option("--json", "as_json", is_flag=True, help="The same as --format jsonl.")
    @color_option("Whether matches are highlighted")
    @wraps(function)
    def with_look(*args: Any, form: Form, colour: Colour, as_json: bool, **options: Any) -> None:
        if as_json and form not in {"default", "jsonl"}:
            raise click.UsageError(f"--json and --format {form} exclude each other; give one")
        function(*args, look=Look("jsonl" if as_json else form, colour), **options)

    return with_look


@click.command("search", help=SEARCH_HELP)
@db_option("The store's folder, or its address.")
@since_option
@until_option
@flag_option
@source_option
@asking_options
@desc_option
@limit_option
@look_options
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Print to FILE, which is replaced when all is there; FILE.csv and FILE.jsonl get such "
    "lines.",
)
@click.option("-o", "--only-matching", is_flag=True, help="Print only the parts that match.")
@click.option("-c", "--count", is_flag=True, help="Print only the number of events.")
@click.option(
    "--count-by",
    "count_by",
    metavar="WHAT",
    help="Print numbers of events: by 1h, 15m, hour, day or month, by flag, by source, or by what "
    "a regular expression catches.",
)
@click.option("--explain", is_flag=True, help="Print only the plan of the search.")
@damaged_option
@timeout_option
@click.argument("pattern", required=False)
@click.pass_context
def search_command(  # noqa: PLR0913, PLR0917  the arguments of the command
    ctx: click.Context,
    /,
    db: Location,
    since: str | None,
    until: str | None,
    flags: tuple[str, ...],
    source: str | None,
    limit: int | None,
    output: Path | None,
    count_by: str | None,
    damaged: Damaged,
    timeout: float | None,
    pattern: str | None,
    *,
    look: Look,
    desc: bool,
    only_matching: bool,
    count: bool,
    explain: bool,
    **more: Any,
) -> None:
    """Run `search`."""
    ask = asked(pattern, **more)
    if look.is_whole + only_matching + count + explain > 1:
        raise click.UsageError(
            "--json (or csv), --only-matching, --count and --explain exclude each other; give one"
        )
    if only_matching and (ask.match is None or any(ask.printed.context)):
        raise click.UsageError(
            "--only-matching needs a PATTERN, and neither -v nor neighbours (-A, -B, -C)"
        )
    if output is not None and look.form == "default":
        parts_or_numbers = only_matching or count or explain or count_by is not None
        look = look if parts_or_numbers else look._replace(form=form_of(output))
    look = look._replace(only_matching=only_matching)
    _check_tail(ask.printed, [limit is not None, desc, count, explain], output)
    now = time.time()
    sought = Sought(
        ts_start=time_of("--since", since, now),
        ts_end=time_of("--until", until, now, end=True),
        flags=flags,
        match=ask.match,
        order="desc" if desc else "asc",
        source=source,
        any_flags=ask.any_flags,
        not_flags=ask.not_flags,
        where=ask.where,
        limit=limit,
        damaged=damaged,
    )
    if count_by is not None:
        others = limit is not None, damaged != "raise", ask.printed != Printed()
        if desc or count or explain or only_matching or any(others):
            raise click.UsageError(
                "--count-by counts all events that are found: give it without --desc, --limit, "
                "--damaged, --count, --explain, -o, -v, -A, -B, -C, -f and -n"
            )
        if look.form == "csv":
            raise click.UsageError("--count-by prints no csv; give --json, or neither")
        conditions = {name: sought[name] for name in COUNTED}
        with printed_to(output, db):
            as_json, colour = look.form == "jsonl", look.is_colourful
            status = print_counts(db, count_by, conditions, timeout, as_json=as_json, colour=colour)
        ctx.exit(status)
    mode: Mode = "count" if count else "explain" if explain else "events"
    with printed_to(output, db):
        status = run_search(db, sought, mode, look, timeout, printed=ask.printed)
    ctx.exit(status)


def _check_tail(printed: Printed, others: list[bool], output: Path | None) -> None:
    """Check that `-n` and `-f` of `search` have a meaning beside its other options."""
    if (printed.follow or printed.newest is not None) and any(others):
        raise click.UsageError(
            "-n and -f print events oldest first: give them without --limit, --desc, --count and "
            "--explain"
        )
    if printed.follow and output is not None:
        raise click.UsageError("-f does not end, so that FILE never appears; give >FILE instead")


@click.command("tail", help=TAIL_HELP)
@db_option("The store's folder, or its address.")
@click.option("-f", "--follow", is_flag=True, help="Go on: print events as they are saved.")
@click.option(
    "-n",
    "--lines",
    "number",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    metavar="N",
    help="Begin with the newest N events.",
)
@flag_option
@source_option
@look_options
@timeout_option
@click.argument("pattern", required=False)
@click.pass_context
def tail_command(  # noqa: PLR0913, PLR0917  the arguments of the command
    ctx: click.Context,
    db: Location,
    number: int,
    flags: tuple[str, ...],
    source: str | None,
    timeout: float | None,
    pattern: str | None,
    *,
    look: Look,
    follow: bool,
) -> None:
    """Run `tail`."""
    chosen = Chosen(flags=flags, match=pattern, source=source)
    ctx.exit(run_tail(db, number, chosen, look, timeout, follow=follow))
