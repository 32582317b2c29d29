"""The command `purge`: deletes the oldest events, and tells what went.

Rules: a store that is not there is not made. With `--dry-run` it is opened without the right to
write. What went is gone, however the command ends, and that is told.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypedDict

import click

from lmdbstore.errors import EventStoreException

from .opening import open_to_read, open_to_write
from .progress import counted
from .stats import moment
from .terminal import complain, discard_output

if TYPE_CHECKING:
    from pathlib import Path

    from lmdbstore import Purged

__all__ = ["Conditions", "purge_events", "size"]

_UNITS = {None: 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
# No more digits than any size has: `int` refuses thousands of them.
_is_size = re.compile(rf"(\d{{1,30}}) ?({'|'.join(filter(None, _UNITS))})?", re.ASCII).fullmatch


class Conditions(TypedDict):
    """What shall go, in the words of `LMDBEventStore.purge`."""

    before: float | None
    max_events: int | None
    max_bytes: int | None
    flags: tuple[str, ...]
    keep_flags: tuple[str, ...]


def size(_: click.Context, __: click.Parameter, text: str | None) -> int | None:
    """Return the bytes that an option such as 512MiB names; BadParameter if it is no size."""
    if text is None:
        return None
    if found := _is_size(text.strip()):
        return int(found[1]) * _UNITS[found[2]]
    raise click.BadParameter(
        f"{text!r} is no size; give bytes, or a whole number with KiB, MiB, GiB or TiB"
    )


def purge_events(db: Path, conditions: Conditions, *, dry_run: bool) -> None:
    """Purge the store in the folder `db`, or find out what would go, and print a summary.

    Raises:
        EventStoreException: the store is not there or failed; what went is gone.
    """
    with open_to_read(db) if dry_run else open_to_write(db) as store:
        gone = 0
        with counted("purging", "events") as update:

            def progress(done: int, total: int) -> None:
                nonlocal gone
                gone = done
                update(done, total)

            try:
                purged = store.purge(**conditions, dry_run=dry_run, progress=progress)
            except (KeyboardInterrupt, EventStoreException):
                if not dry_run:
                    complain(f"stopped; {gone:,} events are gone for good, run it again to go on")
                raise
    _print_summary(purged, conditions, dry_run=dry_run)


def _print_summary(purged: Purged, conditions: Conditions, *, dry_run: bool) -> None:
    text = f"{purged.events:,} events {'would go' if dry_run else 'purged'}"
    if purged.events:
        text += f", {purged.bytes:,} bytes, from {moment(purged.oldest)} to {moment(purged.newest)}"
    text += f"; {purged.left:,} left"
    if conditions["flags"]:
        text += " with these flags"
    text += f", about {purged.bytes_left:,} bytes" if dry_run else f", {purged.bytes_left:,} bytes"
    try:
        click.echo(text)
    except BrokenPipeError:  # the purge itself is done, and its status is what counts
        discard_output()
