"""The command `import`: the inputs and the store, its progress and its report.

Rules: before the store is opened or created, the arguments become files that can be read
(`named`). What cannot be read is reported and does not keep the others out. The summary goes
to standard output, after one line for each input that says how its lines got their times; for
programs, it is one object of JSON. The progress bar and the lines that could not be read go to
standard error. A dry run opens no store.
"""

from __future__ import annotations

import gc
import json
import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import click

from lmdbstore.cli.opening import folder_of, open_or_create
from lmdbstore.cli.progress import progress_bar
from lmdbstore.cli.terminal import complain, discard_output, visible
from lmdbstore.errors import EventStoreException
from lmdbstore.ingest.apart.parent import processors
from lmdbstore.ingest.importer import Importer
from lmdbstore.inputs.opened import STDIN, open_input
from lmdbstore.logs.common import Options
from lmdbstore.transfer.arrow_files import arrow_file_kind, read_arrow_file

from .follow import check_followed, follow_files
from .named import named_files

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lmdbstore.cli.opening import Location
    from lmdbstore.cli.progress import Bar
    from lmdbstore.ingest.report import Report
    from lmdbstore.store import Compression

__all__ = ["import_files"]

PARTLY, FAILED = 1, 2  # exit status
ALLOCATED = 50_000  # objects after which cycles are sought; events are in none


def import_files(  # noqa: PLR0913  the options of the command
    db: Location | None,
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
    as_json: bool = False,
    processes: int | None = None,
    no_levels: bool = False,
    compression: Compression | None = None,
    **options: Any,
) -> int:
    """Import files and folders, or standard input if none is named; return the exit status.

    Without `db`, or with `dry_run`, what would be stored is printed. With 2 `processes`, or None
    and as many processors, a second one reads large files; not into a store on a server, which a
    fork must not inherit. The other options are those of `logs.common.Options`.

    Raises:
        UsageError: there is a `glob`, and no folder; or `follow` does not fit the other arguments.
        EventStoreException: the store failed; committed events stay.
        OSError: the output cannot be written.
    """
    reading = Options(levels=not no_levels, **options)
    if follow:
        if dry_run or redo or db is None:
            raise click.UsageError("--follow stores new lines; give no --dry-run and no --redo")
        if as_json:
            raise click.UsageError("--json prints numbers at the end, and --follow has none")
        check_followed(names, folder_of(db))
        with open_or_create(db, timeout, compression) as store:
            importer = Importer(store, tags=tags, source=source, options=reading)
            follow_files(importer, names, glob, line_format, _say)
    files, failures = named_files(names or [STDIN], glob, folder_of(db))
    for failure in failures:
        complain(failure + "; it is skipped" * bool(files))
    if not files:
        return FAILED
    if dry_run or db is None:
        importer = Importer(None, tags=tags, source=source, options=reading)
        unopened = _import(importer, files, line_format)
        if not as_json:
            _print_preview(importer)
    else:
        number = _processes(processes, db)
        with open_or_create(db, timeout, compression) as store:
            importer = Importer(
                store,
                tags=tags,
                source=source,
                options=reading,
                redo=redo,
                processes=number,
            )
            unopened = _import(importer, files, line_format)
    for error in unopened:
        complain(f"{error.filename}: {error.strerror}")
    if len(unopened) == len(files):
        return FAILED
    report = importer.report
    _print_report(report, as_json=as_json)
    return PARTLY if failures or unopened or report.unreadables or report.unmet else 0


def _processes(asked: int | None, db: Location) -> int:
    """Return how many processes read a large file, as asked or by default; raises UsageError."""
    if folder_of(db) is not None:
        return asked or min(processors(), 2)
    if asked is not None and asked > 1:
        raise click.UsageError("--processes 2 is for a store in a folder; leave it out")
    return 1


def _import(importer: Importer, files: Sequence[str], line_format: str) -> list[OSError]:
    """Import one input after the other; return the errors of inputs that could not be opened."""
    report = importer.report
    try:
        with _few_collections(), progress_bar(files) as bar:
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


@contextmanager
def _few_collections() -> Iterator[None]:
    """Seek cycles of objects more rarely, and only among those that are made from here on."""
    threshold = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(ALLOCATED, *threshold[1:])
    try:
        yield
    finally:
        gc.set_threshold(*threshold)
        gc.unfreeze()


def _read_all(
    importer: Importer, files: Sequence[str], line_format: str, bar: Bar
) -> list[OSError]:
    unopened = []
    for name in files:
        with ExitStack() as stack:
            try:
                if name != STDIN and (kind := arrow_file_kind(name)):
                    bar.begin(name)
                    importer.read_events(name, kind, read_arrow_file(name, kind))
                    continue
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


def _print_report(report: Report, *, as_json: bool) -> None:
    for line in report.notices() + report.warnings():
        complain(line)
    try:
        for line in () if as_json else report.details():
            _print(line)
        _print(json.dumps(report.figures()) if as_json else report.summary())
    except BrokenPipeError:  # the import is done, and its status counts
        discard_output()
