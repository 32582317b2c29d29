"""The command `export`: the events of one state of a store, in a file or on standard output.

Rules: the format is that of an option, or else of the file's name, or else JSON lines. A terminal
gets text only. Progress goes to standard error.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

import click

from lmdbstore.cli.opening import open_to_read
from lmdbstore.cli.progress import counted
from lmdbstore.cli.terminal import complain, is_terminal
from lmdbstore.transfer.export import check_format, export

from .output import output_to, standard_output

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lmdbstore.cli.opening import Location
    from lmdbstore.contract.api import EventView
    from lmdbstore.contract.tables.chosen import Chosen
    from lmdbstore.transfer.export import Format

__all__ = ["run_export"]

PATIENCE = 1.0  # seconds of work before its progress is shown
INCOMPLETE = 3  # exit status, as that of `search`
_BY_NAME: dict[str, Format] = {
    ".arrow": "arrow",
    ".csv": "csv",
    ".feather": "arrow",
    ".parquet": "parquet",
}


def run_export(
    db: Location,
    chosen: Chosen,
    kind: Format | None,
    output: Path | None,
    timeout: float | None = None,
) -> int:
    """Export the events that a search would find; return the exit status.

    Raises:
        UsageError: the format, or the file, does not fit.
        EventStoreException: the store failed, or an event cannot be exported.
        OSError: the output cannot be written.
    """
    kind = kind or _BY_NAME.get("" if output is None else output.suffix.lower(), "jsonl")
    if output is None and kind in {"parquet", "arrow"} and is_terminal(sys.stdout):
        raise click.UsageError(f"{kind} is no text for a terminal; give --output FILE")
    check_format(kind)
    with (
        open_to_read(db, timeout) as store,
        store.snapshot() as view,
        nullcontext(standard_output()) if output is None else output_to(output, db) as file,
        _progress(view, chosen) as done,
    ):
        search = view.search(**chosen)
        number = export(search, file, kind, done)
    if output is not None:
        click.echo(f"{number:,} {'event' if number == 1 else 'events'} exported to {output}")
    if search.left_out:
        complain(f"left out {search.left_out}; 'lmdbstore verify' names the damage")
        return INCOMPLETE
    return 0


@contextmanager
def _progress(view: EventView, chosen: Chosen) -> Iterator[Callable[[int], None]]:
    """Show how many events are done, and of how many if that is known without reading them."""
    reads = any(chosen.get(name) for name in ("match", "where")) or chosen["damaged"] == "skip"
    total = None if reads else view.count(**chosen)
    with counted("exporting", "events", patience=PATIENCE) as update:
        yield lambda done: update(done, total)
