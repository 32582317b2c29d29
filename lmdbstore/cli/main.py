"""The arguments of `lmdbstore`, their help, and the exit status of every failure.

Rules: an argument is checked here or by the library, not by the modules of the commands. A failure
prints one line on standard error that begins with `lmdbstore:`, and exits with status 2. An
argument that click refuses gets click's message and usage instead. An interrupt exits with 130,
SIGTERM with 143, a pipe that its reader closed with 141.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lmdbstore import __version__
from lmdbstore.errors import EventStoreException

from .care import (
    Conditions,
    backup_store,
    compact_store,
    file_mode,
    purge_store,
    repair_store,
    seal_store,
    size,
    verify_store,
)
from .help import (
    BACKUP_HELP,
    CLI_HELP,
    COMPACT_HELP,
    IMPORT_HELP,
    PURGE_HELP,
    REPAIR_HELP,
    SEAL_HELP,
    SEARCH_HELP,
    STATS_HELP,
    VERIFY_HELP,
)
from .importing.files import import_files
from .importing.options import import_options
from .search import Sought, run_search
from .stats import print_stats
from .terminal import complain, discard_output, in_options, is_terminal, prepare_output
from .times import TimeError, instant, seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lmdbstore.contract.types import Damaged
    from lmdbstore.store import Compression

__all__ = ["cli"]

FAILED = 2  # as in grep, where 1 means that nothing was found
INTERRUPTED = 130  # 128 + the number of SIGINT, the convention of shells
TERMINATED = 143  # 128 + the number of SIGTERM
PIPE_CLOSED = 141  # 128 + the number of SIGPIPE, which ends other programs in this case
HELP_WIDTH = 100  # columns; wider lines are hard to read


class _Terminated(KeyboardInterrupt):
    """SIGTERM, which ends a command as Ctrl-C does."""


def _terminate(*_: object) -> None:
    raise _Terminated


@contextmanager
def _terminable() -> Iterator[None]:
    """Raise an exception for SIGTERM, so that a command says what it did, and tidies up."""
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


class _Commands(click.Group):
    """The commands; each exception becomes one line of text and an exit status."""

    def invoke(self, ctx: click.Context) -> Any:
        prepare_output()
        status = FAILED
        try:
            with _terminable():
                return _flushed(super().invoke, ctx)
        except EventStoreException as error:
            complain(in_options(str(error)))
        except KeyboardInterrupt as error:
            status = TERMINATED if isinstance(error, _Terminated) else INTERRUPTED
        except OSError as error:
            status = _failed(error)
        discard_output()
        return ctx.exit(status)

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Read the arguments; `--help` and `--version` print while that happens."""
        try:
            return super().make_context(info_name, args, parent, **extra)
        except OSError as error:
            status = _failed(error)
            discard_output()
            raise click.exceptions.Exit(status) from error


def _failed(error: OSError) -> int:
    """Report an error of the system, and return the exit status; a closed pipe is not reported."""
    if isinstance(error, BrokenPipeError):
        return PIPE_CLOSED
    # Without a file name, it was raised by writing the output.
    complain(f"{error.filename or 'standard output'}: {error.strerror or error}")
    return FAILED


def _flushed(invoke: Callable[[click.Context], Any], ctx: click.Context) -> Any:
    """Run a command and flush its output: a flush that fails is a failure of the command."""
    try:
        result = invoke(ctx)
    except click.exceptions.Exit:
        sys.stdout.flush()
        raise
    sys.stdout.flush()
    return result


@click.group(
    cls=_Commands,
    help=CLI_HELP,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": HELP_WIDTH},
)
@click.version_option(__version__, prog_name="lmdbstore", message="%(prog)s %(version)s")
def cli() -> None:
    """Hold the commands."""


class _Folder(click.Path):
    """The folder of a store; an empty text is not the current folder, but a mistake."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("it is empty; give a folder, or . for the current one", param, ctx)
        return super().convert(value, param, ctx)


def _db(
    text: str, *, required: bool = True
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return click.option(
        "--db",
        required=required,
        type=_Folder(path_type=Path),
        metavar="DIR",
        envvar="LMDBSTORE_DB",
        show_envvar=True,
        help=text,
    )


_timeout = click.option(
    "--timeout",
    callback=seconds,
    metavar="SECONDS",
    help="Wait for other processes no longer than this; 0: not at all. Without it, for ever.",
)


_compression = click.option(
    "--compression",
    type=click.Choice(["zstd"]),
    help="Compress the runs of events that are written.",
)


@cli.command("import", help=IMPORT_HELP)
@_db("The store's folder; created if it does not exist.", required=False)
@import_options
@_compression
@_timeout
@click.argument("names", metavar="[FILE|DIR]...", nargs=-1)
@click.pass_context
def _import(
    ctx: click.Context, /, db: Path | None, names: tuple[str, ...], *, dry_run: bool, **options: Any
) -> None:
    if db is None and not dry_run:
        raise click.UsageError("no --db given; give one, or --dry-run to store nothing")
    if "" in names:
        raise click.UsageError("a FILE is empty; give its name, or - for standard input")
    if not names and is_terminal(sys.stdin):
        raise click.UsageError("no FILE given; give one, or - to read from the terminal")
    ctx.exit(import_files(db, names, dry_run=dry_run, **options))


@cli.command("search", help=SEARCH_HELP)
@_db("The store's folder.")
@click.option("--since", metavar="T", help="Not before this time; a date: its midnight.")
@click.option("--until", metavar="T", help="Not after this time; a date: its last instant.")
@click.option(
    "--flag", "flags", multiple=True, metavar="F", help="Only events with this flag; repeatable."
)
@click.option("--source", metavar="S", help="Only events of exactly this source.")
@click.option("--desc", is_flag=True, help="Newest first.")
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="At most N events.")
@click.option("--json", "as_json", is_flag=True, help="Print whole events, as JSON lines.")
@click.option("--count", is_flag=True, help="Print only the number of events.")
@click.option("--explain", is_flag=True, help="Print only the plan of the search.")
@click.option(
    "--damaged",
    type=click.Choice(["raise", "skip"]),
    default="raise",
    show_default=True,
    help="Fail at an event that is damaged, or leave it out.",
)
@_timeout
@click.argument("pattern", required=False)
@click.pass_context
def _search(  # noqa: PLR0913, PLR0917  the arguments of the command
    ctx: click.Context,
    db: Path,
    since: str | None,
    until: str | None,
    flags: tuple[str, ...],
    source: str | None,
    limit: int | None,
    damaged: Damaged,
    timeout: float | None,
    pattern: str | None,
    *,
    desc: bool,
    as_json: bool,
    count: bool,
    explain: bool,
) -> None:
    if as_json + count + explain > 1:
        raise click.UsageError("--json, --count and --explain exclude each other; give one")
    now = time.time()
    sought = Sought(
        ts_start=_time("--since", since, now),
        ts_end=_time("--until", until, now, end=True),
        flags=flags,
        match=pattern,
        order="desc" if desc else "asc",
        source=source,
        limit=limit,
        damaged=damaged,
    )
    mode = "json" if as_json else "count" if count else "explain" if explain else "text"
    ctx.exit(run_search(db, sought, mode, timeout))


@cli.command("stats", help=STATS_HELP)
@_db("The store's folder.")
@click.option("--all", "everything", is_flag=True, help="Print the internal figures, too.")
@click.option("--json", "as_json", is_flag=True, help="Print all as one JSON object.")
@_timeout
def _stats(db: Path, timeout: float | None, *, everything: bool, as_json: bool) -> None:
    print_stats(db, timeout, everything=everything, as_json=as_json)


@cli.command("seal", help=SEAL_HELP)
@_db("The store's folder.")
@_compression
@_timeout
def _seal(db: Path, compression: Compression | None, timeout: float | None) -> None:
    seal_store(db, timeout, compression)


@cli.command("purge", help=PURGE_HELP)
@_db("The store's folder.")
@click.option("--before", metavar="T", help="Delete events before this time.")
@click.option(
    "--max-events", type=click.IntRange(min=0), metavar="N", help="Keep at most N events."
)
@click.option("--max-bytes", callback=size, metavar="SIZE", help="Keep at most SIZE.")
@click.option(
    "--flag",
    "flags",
    multiple=True,
    metavar="F",
    help="Delete only events with this flag; repeatable.",
)
@click.option(
    "--keep-flag",
    "keep",
    multiple=True,
    metavar="F",
    help="Keep events with this flag; repeatable.",
)
@click.option("--dry-run", is_flag=True, help="Print what would be deleted; delete nothing.")
@_timeout
def _purge(  # noqa: PLR0913, PLR0917  the arguments of the command
    db: Path,
    before: str | None,
    max_events: int | None,
    max_bytes: int | None,
    flags: tuple[str, ...],
    keep: tuple[str, ...],
    timeout: float | None,
    *,
    dry_run: bool,
) -> None:
    conditions = Conditions(
        before=_time("--before", before, time.time()),
        max_events=max_events,
        max_bytes=max_bytes,
        flags=flags,
        keep_flags=keep,
    )
    if before is None and max_events is None and max_bytes is None:
        raise click.UsageError(
            "nothing says what to delete; give --before, --max-events or --max-bytes"
        )
    purge_store(db, conditions, timeout, dry_run=dry_run)


@cli.command("verify", help=VERIFY_HELP)
@_db("The store's folder.")
@click.option("--pages", is_flag=True, help="First check the pages, without opening the file.")
@_timeout
@click.pass_context
def _verify(ctx: click.Context, db: Path, timeout: float | None, *, pages: bool) -> None:
    ctx.exit(verify_store(db, timeout, pages=pages))


@cli.command("repair", help=REPAIR_HELP)
@_db("The store's folder.")
@click.option("--keep-changed", is_flag=True, help="Keep records that do not match a checksum.")
@click.pass_context
def _repair(ctx: click.Context, db: Path, *, keep_changed: bool) -> None:
    ctx.exit(repair_store(db, keep_changed=keep_changed))


@cli.command("backup", help=BACKUP_HELP)
@_db("The store's folder.")
@click.option(
    "--mode",
    callback=file_mode,
    metavar="OCTAL",
    help="Rights of the copy's files, such as 660; otherwise those of the store.",
)
@_timeout
@click.argument("target", type=_Folder(path_type=Path))
def _backup(db: Path, target: Path, timeout: float | None, mode: int | None) -> None:
    backup_store(db, target, timeout, mode=mode)


@cli.command("compact", help=COMPACT_HELP)
@_db("The store's folder.")
@_timeout
def _compact(db: Path, timeout: float | None) -> None:
    compact_store(db, timeout)


def _time(option: str, text: str | None, now: float, *, end: bool = False) -> float | None:
    try:
        return None if text is None else instant(text, now=now, end=end)
    except TimeError as error:
        raise click.BadParameter(str(error), param_hint=f"'{option}'") from None
