"""The command `import`: opens the inputs and the store, shows its progress, and reports.

Rules: before the store is opened or created, every file is checked to be there. The summary goes to
standard output. The progress bar and the lines that could not be read go to standard error.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lmdbstore.errors import EventStoreException
from lmdbstore.ingest.importer import Importer
from lmdbstore.ingest.inputs import STDIN, open_input
from lmdbstore.store import LMDBEventStore

from .progress import progress_bar
from .terminal import complain, discard_output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmdbstore.ingest.report import Report

    from .progress import Bar

__all__ = ["import_files"]


def import_files(  # noqa: PLR0913  the options of the command
    db: Path,
    names: Sequence[str],
    *,
    tags: Sequence[str],
    source: str | None,
    line_format: str,
    timeout: float | None = None,
) -> int:
    """Import the named files, or standard input if there are none, and return the exit status.

    Raises:
        EventStoreException: the store failed; committed events stay.
        OSError: a file does not exist or cannot be read; nothing was imported, unless the file
            disappeared during the import.
    """
    names = names or [STDIN]
    for name in names:
        _check_readable(name)
    with LMDBEventStore(db, timeout=timeout) as store:
        importer = Importer(store, tags=tags, source=source)
        try:
            with progress_bar(names) as bar:
                importer.progress = bar.update
                failure = _read_all(importer, names, line_format, bar)
                report = importer.finish()
        except (KeyboardInterrupt, EventStoreException):
            for line in importer.report.notices():
                complain(line)
            complain(
                f"stopped: {importer.report.new:,} new events are saved; "
                "run the command again to continue"
            )
            raise
    _print_report(report)
    if failure is not None:
        raise failure
    return 1 if report.unreadables else 0


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


def _print_report(report: Report) -> None:
    for line in report.notices():
        complain(line)
    try:
        click.echo(report.summary())
    except BrokenPipeError:  # the import is done, and its status counts
        discard_output()
