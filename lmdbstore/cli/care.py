"""The commands `verify`, `repair`, `backup` and `compact`: what is done to a store as a whole.

Rules: a store that is not there is not made. Each finding is one line on standard output, and the
summary is the last line. A repair, a backup or a compaction that fails or is stopped has changed
nothing, and says so.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from lmdbstore import FindingKind, repair, verify
from lmdbstore.errors import EventStoreException

from .opening import open_to_read, open_to_write
from .progress import counted
from .terminal import complain, discard_output, visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from lmdbstore import Finding

__all__ = ["back_up_store", "compact_store", "repair_store", "verify_store"]

SOUND, FOUND = 0, 1  # exit status


def verify_store(db: Path, *, pages: bool) -> int:
    """Print all that is wrong with the store in the folder `db`; return the exit status."""
    started = time.perf_counter()
    events = None  # where records were not compared
    with counted("verifying", "events") as update:

        def progress(done: int, total: int) -> None:
            nonlocal events
            events = done
            update(done, total)

        findings = verify(db, pages=pages, progress=progress)
    _print_findings(findings)
    wrong = _number(findings) if findings else "nothing is wrong"
    if events is None:
        damaged = findings[0].kind is FindingKind.PAGE
        why = "the pages are damaged" if damaged else "the store cannot be opened"
        wrong += f"; the records were not compared, since {why}"
    _print(f"{events or 0:,} events verified; {wrong}; {time.perf_counter() - started:.2f} s")
    return FOUND if findings else SOUND


def repair_store(db: Path, *, keep_changed: bool) -> int:
    """Repair the store in the folder `db`, and print what was left out; return the exit status."""
    with _told_what_stays("the store is as it was"), counted("repairing", "events") as update:
        repaired = repair(db, keep_changed=keep_changed, progress=update)
    _print_findings(repaired.left_out)
    text = f"{repaired.events:,} events kept"
    if repaired.left_out:
        text += f"; {_number(repaired.left_out)} of what could not be kept or read"
    if repaired.old_file is not None:
        text += f"; the damaged file is now {visible(repaired.old_file)}"
    _print(text)
    return FOUND if repaired.left_out else SOUND


def back_up_store(db: Path, target: Path, *, compact: bool) -> None:
    """Make a verified copy of the store in `db` at `target`, and print a summary."""
    started = time.perf_counter()
    things = "entries" if compact else "bytes"
    with (
        open_to_read(db) as store,
        _told_what_stays("no backup was made"),
        counted("copying", things) as update,
    ):
        size = store.backup(target, compact=compact, progress=update)
        events = len(store)
    seconds = time.perf_counter() - started
    _print(f"{events:,} events copied and verified, {size:,} bytes; {seconds:.2f} s")


def compact_store(db: Path) -> None:
    """Compact the store in the folder `db` in place, and print a summary."""
    with (
        open_to_write(db) as store,
        _told_what_stays("the store is as it was"),
        counted("compacting", "entries") as update,
    ):
        sizes = store.compact(progress=update)
    _print(f"{sizes.before:,} bytes before, {sizes.after:,} after")


@contextmanager
def _told_what_stays(text: str) -> Iterator[None]:
    try:
        yield
    except (KeyboardInterrupt, EventStoreException):
        complain(text)
        raise


def _number(findings: list[Finding]) -> str:
    return f"{len(findings):,} finding{'s' * (len(findings) != 1)}"


def _print_findings(findings: Iterable[Finding]) -> None:
    for finding in findings:
        _print(visible(str(finding)).replace("\n", " "))


def _print(text: str) -> None:
    try:
        click.echo(text)
    except BrokenPipeError:  # the work itself is done, and its status is what counts
        discard_output()
