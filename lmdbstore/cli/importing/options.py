"""The options of the command `import`.

Rules: an option with a value that has no meaning is refused before anything is opened.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from lmdbstore.times.learning import format_named
from lmdbstore.times.template import UnknownField
from lmdbstore.times.zones import UnknownZone, Zones, zone_named

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["import_options"]


def _given(_: click.Context, __: click.Parameter, value: Any) -> Any:
    """Refuse an empty text: it is a mistake, such as a variable of the shell that is not set."""
    if value is not None and "" in ([value] if isinstance(value, str) else value):
        raise click.BadParameter("it is empty; give a text, or leave the option out")
    return value


def _regex(_: click.Context, __: click.Parameter, text: str | None) -> re.Pattern[str] | None:
    _given(_, __, text)
    try:
        return None if text is None else re.compile(text)
    except re.error as error:
        raise click.BadParameter(f"{text!r} is no regular expression: {error}") from None


def _zones(_: click.Context, __: click.Parameter, text: str | None) -> Zones:
    try:
        return Zones(None if text is None else zone_named(text))
    except UnknownZone:
        raise click.BadParameter(
            f"{text!r} is no zone; give a name such as Europe/Berlin, UTC or +02:00"
        ) from None


def _time_format(_: click.Context, __: click.Parameter, text: str | None) -> Any:
    try:
        return None if text is None else format_named(text)
    except (UnknownField, re.error) as error:
        raise click.BadParameter(
            f"{error}: give fields as strptime has them, such as '%d.%m.%Y %H:%M:%S', "
            "or a name that --dry-run shows"
        ) from None


_OPTIONS = (
    click.option(
        "--flag",
        "tags",
        multiple=True,
        callback=_given,
        metavar="F",
        help="Flag of every event; repeatable.",
    ),
    click.option(
        "--source",
        callback=_given,
        metavar="S",
        help="Source of the events, instead of the file's path.",
    ),
    click.option(
        "--glob",
        callback=_given,
        metavar="PATTERN",
        help="Of folders, only files whose names match, such as '*.log'.",
    ),
    click.option(
        "--format",
        "line_format",
        type=click.Choice(["auto", "lines", "jsonl"]),
        default="auto",
        show_default=True,
        help="Format of the input; auto: by what its first lines hold.",
    ),
    click.option(
        "--redo", is_flag=True, help="Read files again that were imported; replace their events."
    ),
    click.option(
        "--follow", is_flag=True, help="Go on as files grow, are rotated, appear and vanish."
    ),
    click.option("--dry-run", is_flag=True, help="Print what would be stored; store nothing."),
    click.option(
        "--json", "as_json", is_flag=True, help="Print the numbers of the import as a JSON object."
    ),
    click.option(
        "--processes",
        type=click.IntRange(1, 2),
        metavar="1|2",
        help="Processes that work on a large file; by default 2, with 2 processors.",
    ),
    click.option(
        "--time-format",
        callback=_time_format,
        metavar="FORMAT",
        help="As for strptime, or a name that --dry-run shows.",
    ),
    click.option(
        "--tz",
        "zones",
        callback=_zones,
        metavar="ZONE",
        help="Zone of times without one; also decides what CST and the like mean.",
    ),
    click.option(
        "--year",
        type=click.IntRange(1, 9999),
        metavar="YEAR",
        help="Year of the first line, if lines have no year.",
    ),
    click.option(
        "--time-field",
        callback=_given,
        metavar="NAME",
        help="Field of JSON or logfmt, or column of a table, with the time.",
    ),
    click.option(
        "--message-field",
        callback=_given,
        metavar="NAME",
        help="Field or column that becomes the content, instead of the whole line.",
    ),
    click.option(
        "--tags-field",
        callback=_given,
        metavar="NAME",
        help="Field or column whose texts become flags.",
    ),
    click.option(
        "--source-field",
        callback=_given,
        metavar="NAME",
        help="Field or column that becomes the source.",
    ),
    click.option(
        "--record-start",
        callback=_regex,
        metavar="REGEX",
        help="An event begins at each line that matches.",
    ),
    click.option("--lines", "each_line", is_flag=True, help="Each line is an event."),
    click.option(
        "--strip-colors",
        "strip_colours",
        is_flag=True,
        help="Remove the colours of terminals from the content.",
    ),
    click.option(
        "--flag-from",
        callback=_regex,
        metavar="REGEX",
        help="Make flags of what its groups match; (?P<user>...) gives user:...",
    ),
    click.option("--no-levels", is_flag=True, help="Make no flags such as level:error."),
)


def import_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of the command `import`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
