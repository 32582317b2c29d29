"""The command `import`: its options, the inputs and the store, its progress and its report.

Rules: before the store is opened or created, every file is checked to be there. A folder, or a file
that may not be read, is reported and does not keep the others out. The summary goes to standard
output, after one line for each input that says how its lines got their times. The progress bar and
the lines that could not be read go to standard error. A dry run opens no store.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lmdbstore.errors import EventStoreException
from lmdbstore.ingest.common import Options
from lmdbstore.ingest.importer import Importer
from lmdbstore.inputs.opened import STDIN, open_input
from lmdbstore.store import LMDBEventStore
from lmdbstore.times.learning import format_named
from lmdbstore.times.template import UnknownField
from lmdbstore.times.zones import UnknownZone, Zones, zone_named

from .progress import progress_bar
from .terminal import complain, discard_output, visible

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lmdbstore.ingest.report import Report
    from lmdbstore.store import Compression

    from .progress import Bar

__all__ = ["import_files", "import_options"]


def _regex(_: click.Context, __: click.Parameter, text: str | None) -> re.Pattern[str] | None:
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
        "--flag", "tags", multiple=True, metavar="F", help="Flag of every event; repeatable."
    ),
    click.option("--source", metavar="S", help="Source of the events, instead of the file's path."),
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
    click.option("--dry-run", is_flag=True, help="Print what would be stored; store nothing."),
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
        "--time-field", metavar="NAME", help="Field of structured lines, or column, with the time."
    ),
    click.option(
        "--message-field",
        metavar="NAME",
        help="Field that becomes the content, instead of the whole line.",
    ),
    click.option("--tags-field", metavar="NAME", help="Field whose texts become flags."),
    click.option("--source-field", metavar="NAME", help="Field that becomes the source."),
    click.option(
        "--record-start",
        callback=_regex,
        metavar="REGEX",
        help="An event begins at each line that matches.",
    ),
    click.option("--lines", "each_line", is_flag=True, help="Each line is an event."),
    click.option(
        "--strip-colours", is_flag=True, help="Remove the colours of terminals from the content."
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


def import_files(  # noqa: PLR0913  the options of the command
    db: Path | None,
    names: Sequence[str],
    *,
    tags: Sequence[str],
    source: str | None,
    line_format: str,
    timeout: float | None = None,
    dry_run: bool = False,
    redo: bool = False,
    no_levels: bool = False,
    compression: Compression | None = None,
    **options: Any,
) -> int:
    """Import the named files, or standard input if there are none, and return the exit status.

    Without `db`, or with `dry_run`, what would be stored is printed. The other options are those
    of `ingest.common.Options`.

    Raises:
        EventStoreException: the store failed; committed events stay.
        OSError: a file does not exist or cannot be read; nothing was imported, unless the file
            disappeared during the import.
    """
    names = names or [STDIN]
    readable = _readable(names)
    reading = Options(levels=not no_levels, **options)
    if dry_run or db is None:
        importer = Importer(None, tags=tags, source=source, options=reading)
        failure = _import(importer, readable, line_format)
        _print_preview(importer)
    else:
        with LMDBEventStore(db, timeout=timeout, compression=compression) as store:
            importer = Importer(store, tags=tags, source=source, options=reading, redo=redo)
            failure = _import(importer, readable, line_format)
    _print_report(importer.report)
    if failure is not None:
        raise failure
    return 1 if importer.report.unreadables or len(readable) < len(names) else 0


def _import(importer: Importer, names: Sequence[str], line_format: str) -> OSError | None:
    try:
        with progress_bar(names) as bar:
            importer.progress = bar.update
            failure = _read_all(importer, names, line_format, bar)
            importer.finish()
    except (KeyboardInterrupt, EventStoreException):
        for line in importer.report.notices():
            complain(line)
        complain(
            f"stopped: {importer.report.new:,} new events are saved; "
            "run the command again to continue"
        )
        raise
    return failure


def _readable(names: Sequence[str]) -> list[str]:
    """Return the inputs that can be read, and report the others; raises if there are none."""
    readable, refused = [], None
    for name in names:
        try:
            _check_readable(name)
        except (IsADirectoryError, PermissionError) as error:
            if len(names) == 1:
                raise
            complain(f"{name}: {error.strerror}; it is skipped")
            refused = error
        else:
            readable.append(name)
    if refused is not None and not readable:
        raise refused
    return readable


def _check_readable(name: str) -> None:
    if name == STDIN:
        return
    path = Path(name)
    # A pipe is not opened as a test: its writer would be lost.
    if path.stat() and not path.is_fifo():
        with path.open("rb", buffering=0):
            pass


def _read_all(
    importer: Importer, names: Sequence[str], line_format: str, bar: Bar
) -> OSError | None:
    """Import one input after the other; return the error of an input that could not be opened."""
    for name in names:
        try:
            with open_input(name) as opened:
                bar.begin(name)
                importer.read(opened, line_format)
        except OSError as error:  # it was there when it was checked
            return error
    return None


def _print_preview(importer: Importer) -> None:
    for event in importer.preview.first:
        _print(f"time:    {_iso(event.timestamp)}")
        _print(f"source:  {event.source}")
        _print(f"flags:   {' '.join(event.tags)}")
        _print(f"content: {event.content}\n")


def _print(text: str) -> None:
    """Print text of which the output's encoding may lack a character, such as a file's name."""
    click.echo(visible(text).encode(sys.stdout.encoding or "utf-8", "backslashreplace"))


def _iso(seconds: float) -> str:
    from datetime import UTC, datetime

    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return repr(seconds)


def _print_report(report: Report) -> None:
    for line in report.notices() + report.warnings():
        complain(line)
    try:
        for line in report.details():
            _print(line)
        _print(report.summary())
    except BrokenPipeError:  # the import is done, and its status counts
        discard_output()
