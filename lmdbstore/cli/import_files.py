"""The command `import`: its options, the inputs and the store, its progress and its report.

Rules: before the store is opened or created, the arguments become files that can be read
(`named_files`). What cannot be read is reported and does not keep the others out. The summary goes
to standard output, after one line for each input that says how its lines got their times. The
progress bar and the lines that could not be read go to standard error. A dry run opens no store.
"""

from __future__ import annotations

import re
import sys
from contextlib import ExitStack
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

from .follow_files import check_followed, follow_files
from .named_files import named_files
from .progress import progress_bar
from .terminal import complain, discard_output, visible

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from lmdbstore.ingest.report import Report
    from lmdbstore.store import Compression

    from .progress import Bar

__all__ = ["import_files", "import_options"]

PARTLY, FAILED = 1, 2  # exit status


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
        help="Field of JSON lines, or column of a table, with the time.",
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
    glob: str | None,
    line_format: str,
    timeout: float | None = None,
    dry_run: bool = False,
    redo: bool = False,
    follow: bool = False,
    no_levels: bool = False,
    compression: Compression | None = None,
    **options: Any,
) -> int:
    """Import files and folders, or standard input if none is named; return the exit status.

    Without `db`, or with `dry_run`, what would be stored is printed. The other options are those
    of `ingest.common.Options`.

    Raises:
        UsageError: there is a `glob`, and no folder; or `follow` does not fit the other arguments.
        EventStoreException: the store failed; committed events stay.
        OSError: the output cannot be written.
    """
    reading = Options(levels=not no_levels, **options)
    if follow:
        if dry_run or redo or db is None:
            raise click.UsageError("--follow stores new lines; give no --dry-run and no --redo")
        check_followed(names, db)
        with LMDBEventStore(db, timeout=timeout, compression=compression) as store:
            importer = Importer(store, tags=tags, source=source, options=reading)
            follow_files(importer, names, glob, line_format, _say)
    files, failures = named_files(names or [STDIN], glob, db)
    for failure in failures:
        complain(failure + "; it is skipped" * bool(files))
    if not files:
        return FAILED
    if dry_run or db is None:
        importer = Importer(None, tags=tags, source=source, options=reading)
        unopened = _import(importer, files, line_format)
        _print_preview(importer)
    else:
        with LMDBEventStore(db, timeout=timeout, compression=compression) as store:
            importer = Importer(store, tags=tags, source=source, options=reading, redo=redo)
            unopened = _import(importer, files, line_format)
    for error in unopened:
        complain(f"{error.filename}: {error.strerror}")
    if len(unopened) == len(files):
        return FAILED
    report = importer.report
    _print_report(report)
    return PARTLY if failures or unopened or report.unreadables or report.unmet else 0


def _import(importer: Importer, files: Sequence[str], line_format: str) -> list[OSError]:
    """Import one input after the other; return the errors of inputs that could not be opened."""
    report = importer.report
    try:
        with progress_bar(files) as bar:
            importer.progress = bar.update
            unopened = _read_all(importer, files, line_format, bar)
            importer.finish()
    except (KeyboardInterrupt, EventStoreException):
        for line in report.notices():
            complain(line)
        saved = f"{report.new:,} new events are saved; run the command again to continue"
        complain(f"stopped: {'nothing was stored' if report.dry_run else saved}")
        raise
    return unopened


def _read_all(
    importer: Importer, files: Sequence[str], line_format: str, bar: Bar
) -> list[OSError]:
    unopened = []
    for name in files:
        with ExitStack() as stack:
            try:
                opened = stack.enter_context(open_input(name))
            except OSError as error:  # a file that was there when it was checked
                unopened.append(error)
                continue
            bar.begin(name)
            importer.read(opened, line_format)
    return unopened


def _print_preview(importer: Importer) -> None:
    for event in importer.preview.first:
        _print(f"time:    {_iso(event.timestamp)}")
        _print(f"source:  {event.source}")
        _print(f"flags:   {' '.join(event.tags)}")
        _print(f"content: {event.content}\n")


def _print(text: str) -> None:
    """Print text of which the output's encoding may lack a character, such as a file's name."""
    click.echo(visible(text).encode(sys.stdout.encoding or "utf-8", "backslashreplace"))


def _say(text: str) -> None:
    _print(text)
    sys.stdout.flush()


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
