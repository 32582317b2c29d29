"""The commands that maintain a store: verify, repair, backup, compact, purge and seal.

Rules: each command is one function, `<command>_store`. None creates a store. Each finding is one
line on standard output, and the summary is the last line; for programs, all is one object of JSON.
A repair, a backup or a compaction that fails or is stopped changes nothing, and says so. A purge or
a sealing that fails or is stopped says that what was done so far stays.
"""

from __future__ import annotations

import json
import re
import time
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import click

from lmdbstore.care.purge import Purged
from lmdbstore.check.findings import FindingKind
from lmdbstore.check.repair import repair
from lmdbstore.check.verify import verify
from lmdbstore.disk.files import NotFlushedError
from lmdbstore.errors import EventStoreException, InvalidOption
from lmdbstore.opening.options import checked_mode

from .opening import check_store, open_folder, open_rows
from .progress import counted, pulse
from .stats import moment
from .terminal import complain, discard_output, visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from lmdbstore.check.findings import Finding
    from lmdbstore.sql.writing.purge import PurgedRows
    from lmdbstore.store import Compression

    from .opening import Location

__all__ = [
    "Conditions",
    "backup_store",
    "compact_store",
    "file_mode",
    "purge_store",
    "repair_store",
    "seal_store",
    "size",
    "verify_store",
]

SOUND, FOUND = 0, 1  # exit status
_UNITS = {None: 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
# The digits are limited because `int` refuses thousands of them with an error of its own.
_is_size = re.compile(rf"(\d{{1,30}}) ?({'|'.join(filter(None, _UNITS))})?", re.ASCII).fullmatch
_is_mode = re.compile("(?:0o)?([0-7]{1,6})", re.ASCII).fullmatch


def verify_store(
    db: Path, timeout: float | None = None, *, pages: bool, as_json: bool = False
) -> int:
    """Print everything that is wrong with the store in the folder `db`; return the exit status."""
    check_store(db)
    started = time.perf_counter()
    events = None  # None: records were not compared
    with counted("verifying", "events") as update:

        def progress(done: int, total: int) -> None:
            nonlocal events
            events = done
            update(done, total)

        findings = verify(db, pages=pages, progress=progress, timeout=timeout)
    seconds = time.perf_counter() - started
    status = FOUND if findings else SOUND
    if as_json:
        figures = {"events": events, "findings": _fields(findings), "seconds": seconds}
        _print_json(figures)
        return status
    _print_findings(findings)
    result = _verified(findings, compared=events is not None)
    if findings:
        result += "; 'lmdbstore repair --db DIR' repairs the store"
    _print(f"{events or 0:,} events verified; {result}; {seconds:.2f} s")
    return status


def _verified(findings: list[Finding], *, compared: bool) -> str:
    text = _number(findings) if findings else "nothing is wrong"
    if compared:
        return text
    damaged = findings[0].kind is FindingKind.PAGE
    why = "the pages are damaged" if damaged else "the store cannot be opened"
    return f"{text}; the records were not compared because {why}"


def repair_store(db: Path, *, keep_changed: bool, as_json: bool = False) -> int:
    """Repair the store in the folder `db`, and print what was left out; return the exit status."""
    check_store(db)
    with _on_failure("the store is unchanged"), counted("repairing", "events") as update:
        repaired = repair(db, keep_changed=keep_changed, progress=update)
    status = FOUND if repaired.left_out else SOUND
    if as_json:
        _print_json(repaired._asdict() | {"left_out": _fields(repaired.left_out)})
        return status
    _print_findings(repaired.left_out)
    text = f"{repaired.events:,} events kept"
    if repaired.left_out:
        text += f"; {_number(repaired.left_out)} about what could not be read or kept"
    if repaired.new_identity:
        text += "; its identity was lost, or its next local id, and it has a new identity"
    if repaired.old_file is not None:
        text += f"; the damaged file is now {visible(repaired.old_file)}"
    _print(text)
    return status


def file_mode(_: click.Context, __: click.Parameter, text: str | None) -> int | None:
    """Return the rights of an option such as 660; raise BadParameter if it is no such mode."""
    if text is None:
        return None
    if found := _is_mode(text.strip()):
        with suppress(InvalidOption):
            return checked_mode(int(found[1], 8))
    raise click.BadParameter(
        f"{text!r} is not the mode of a file that its owner may read and write; give it in octal, "
        "such as 600, 640 or 660"
    )


def backup_store(
    db: Path,
    target: Path,
    timeout: float | None = None,
    *,
    mode: int | None = None,
    as_json: bool = False,
) -> None:
    """Make a verified copy of the store in `db` at `target`, and print a summary."""
    started = time.perf_counter()
    with (
        open_folder(db, timeout, readonly=True) as store,
        _on_failure("no backup was made"),
        counted("copying", "entries") as update,
    ):
        size = store.backup(target, mode=mode, progress=update)
        events = len(store)
    seconds = time.perf_counter() - started
    if as_json:
        _print_json({"events": events, "bytes": size, "seconds": seconds})
        return
    _print(f"{events:,} events copied and verified, {size:,} bytes; {seconds:.2f} s")


def compact_store(db: Path, timeout: float | None = None, *, as_json: bool = False) -> None:
    """Compact the store in the folder `db` in place, and print a summary."""
    with (
        open_folder(db, timeout, readonly=False) as store,
        _on_failure("the store is unchanged"),
        counted("compacting", "entries") as update,
    ):
        sizes = store.compact(progress=update)
    if as_json:
        _print_json({"bytes_before": sizes.before, "bytes_after": sizes.after})
        return
    _print(f"{sizes.before:,} bytes before, {sizes.after:,} after")


class Conditions(TypedDict):
    """Which events to delete, by the parameters of `LMDBEventStore.purge`."""

    before: float | None
    max_events: int | None
    max_bytes: int | None
    flags: tuple[str, ...]
    keep_flags: tuple[str, ...]
    any_flags: tuple[str, ...]
    source: str | None
    match: str | None


def size(_: click.Context, __: click.Parameter, text: str | None) -> int | None:
    """Return the bytes of an option such as 512MiB; raise BadParameter if it is not a size."""
    if text is None:
        return None
    if found := _is_size(text.strip()):
        return int(found[1]) * _UNITS[found[2]]
    raise click.BadParameter(
        f"{text!r} is not a size; give bytes, or a whole number with KiB, MiB, GiB or TiB"
    )


def purge_store(
    db: Location,
    conditions: Conditions,
    timeout: float | None = None,
    *,
    dry_run: bool,
    as_json: bool = False,
) -> None:
    """Delete events of the store at `db`, or with `dry_run` none; print a summary.

    Raises:
        UsageError: a condition is not one of such a store.
        EventStoreException: there is no store, or it failed; deleted events are gone.
    """
    with _opened_to_purge(db, conditions, timeout, readonly=dry_run) as purge:
        gone = 0  # events
        with counted("purging", "events") as update:

            def progress(done: int, total: int) -> None:
                nonlocal gone
                gone = done
                update(done, total)

            try:
                purged = purge(dry_run=dry_run, progress=progress)
            except (KeyboardInterrupt, EventStoreException):
                if not dry_run:
                    complain(
                        f"stopped: {gone:,} events are deleted for good; "
                        "run the command again to continue"
                    )
                raise
    if as_json:
        _print_json(purged._asdict() | {"dry_run": dry_run})
    else:
        _print_purged(purged, conditions, dry_run=dry_run)


@contextmanager
def _opened_to_purge(
    db: Location, conditions: Conditions, timeout: float | None, *, readonly: bool
) -> Iterator[Callable[..., Purged | PurgedRows]]:
    """Give the `purge` of a store, with the conditions."""
    if isinstance(db, Path):
        with open_folder(db, timeout, readonly=readonly) as store:
            yield partial(store.purge, **conditions)
        return
    others: Any = dict(conditions)
    if others.pop("max_bytes") is not None:
        raise click.UsageError(
            "--max-bytes is for a store in a folder; give --before or --max-events"
        )
    with open_rows(db, timeout, readonly=readonly) as rows:
        yield partial(rows.purge, **others)


def _print_purged(purged: Purged | PurgedRows, conditions: Conditions, *, dry_run: bool) -> None:
    of_folder = purged if isinstance(purged, Purged) else None
    text = f"{purged.events:,} events {'would be purged' if dry_run else 'purged'}"
    if purged.events:
        size = "" if of_folder is None else f"{of_folder.bytes:,} bytes, "
        text += f", {size}from {moment(purged.oldest)} to {moment(purged.newest)}"
    text += f"; {purged.left:,} left"
    if any(conditions[name] for name in ("any_flags", "source", "match")):
        text += " of those chosen"
    elif conditions["flags"]:
        text += " with these flags"
    if purged.held:
        text += f", {purged.held:,} that cursors hold"
    if of_folder is not None:
        text += f", {'about ' * dry_run}{of_folder.bytes_left:,} bytes"
    _print(text)


def seal_store(
    db: Path,
    timeout: float | None = None,
    compression: Compression | None = None,
    *,
    as_json: bool = False,
) -> None:
    """Seal all events, and compress the runs that are not, if asked; print a summary.

    Raises:
        EventStoreException: there is no store, or it failed; what was sealed so far stays.
    """
    with open_folder(db, timeout, readonly=False, compression=compression) as store:
        started = time.perf_counter()
        try:
            with pulse("sealing"):
                sealed = store.seal()
        except (KeyboardInterrupt, EventStoreException):
            complain("stopped: what was sealed so far stays; run the command again to continue")
            raise
        seconds = time.perf_counter() - started
    if as_json:
        _print_json({"events": sealed, "seconds": seconds})
        return
    text = f"{sealed:,} events sealed; {seconds:.2f} s"
    if sealed and seconds:
        text += f", {sealed / seconds:,.0f} events/s"
    if compression is not None:
        text += "; all runs are compressed that this makes smaller"
    _print(text)


@contextmanager
def _on_failure(text: str) -> Iterator[None]:
    """Print `text` if the work fails or is interrupted."""
    try:
        yield
    except (KeyboardInterrupt, EventStoreException) as error:
        if not isinstance(
            error.__cause__, NotFlushedError
        ):  # then the work is done, and it says so
            complain(text)
        raise


def _number(findings: list[Finding]) -> str:
    return f"{len(findings):,} finding{'s' * (len(findings) != 1)}"


def _print_findings(findings: Iterable[Finding]) -> None:
    for finding in findings:
        _print(visible(str(finding)).replace("\n", " "))


def _fields(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    return [finding._asdict() for finding in findings]


def _print_json(figures: dict[str, Any]) -> None:
    _print(json.dumps(figures))


def _print(text: str) -> None:
    try:
        click.echo(text)
    except BrokenPipeError:  # the work is done, and its status counts
        discard_output()
