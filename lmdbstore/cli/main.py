"""The arguments of `lmdbstore`, their help, and the exit status of everything that can go wrong.

Rules: an argument is checked here or by the library, never in between. What fails is told in one
line on standard error that begins with `lmdbstore:` (click's own refusals: with the usage), and
ends with status 2; an interrupt ends with 130, a pipe that its reader closed with 141.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lmdbstore import __version__
from lmdbstore.errors import EventStoreException

from .importing import import_files
from .purging import Conditions, purge_events, size
from .searching import Sought, run_search
from .signing import sign_runs
from .stats import print_stats
from .terminal import complain, discard_output, is_terminal, prepare_output
from .times import TimeError, instant

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["cli"]

FAILED = 2  # as of grep: 1 is taken by "nothing found"
INTERRUPTED = 130  # 128 and the number of SIGINT, as shells have it
PIPE_CLOSED = 141  # 128 and the number of SIGPIPE, which ends other programs there
HELP_WIDTH = 100  # columns; wider lines are hard to read

# \b keeps click from joining the lines that follow it, up to the next empty one.
CLI_HELP = """Keep events in an embedded store, and find them again.

\b
Example:
  lmdbstore import --db events /var/log/dpkg.log --tag dpkg
  lmdbstore search --db events 'status installed' --since -7d --desc --limit 20
  lmdbstore stats  --db events
  lmdbstore sign   --db events
  lmdbstore purge  --db events --before -90d
"""

IMPORT_HELP = """Import log files, or JSON lines of events, into a store.

Each line becomes an event; without FILE, or with -, they come from standard input. gzip files are
unpacked. Blank lines are left out.

The time of an event is the one at the beginning of its line: ISO 8601, syslog, the common log of
Apache and nginx, or seconds since 1970; without a zone it is local time, and without a year the
last one that is not after the file. A line without a time has that of the line before it, and at
the beginning the file's.

A line imported twice is stored once: the id of its event is made from its number in the file and
hashes (BLAKE2b) of its source, its number and its text. So a file that has grown can be imported
again; a last line that was only half written by then stays as an event of its own. The source is
the file's full path; give --source for a file that gets another name, and for standard input.

JSON lines are what 'search --json' prints: objects with content, and, if wanted, id, source,
timestamp and tags.

Exit status: 0 all was read, 1 some lines could not be read, 2 nothing could be done.

\b
Example:
  lmdbstore import --db events /var/log/syslog /var/log/syslog.2.gz --tag syslog
  journalctl -o short-iso | lmdbstore import --db events --source journal
"""

SEARCH_HELP = """Print the events whose content matches PATTERN, oldest first.

PATTERN is a regular expression found anywhere in the content; without it, every event is found.
Put -- before one that begins with a hyphen. All conditions must hold.

T is a date (2025-06-24), ISO 8601 (2025-06-24T14:36:25, also with Z or +02:00), seconds since
1970, 'now', or a time from now with the units s, m, h, d, w (-90s, -1h, -7d). Without a zone it
is local time.

Exit status: 0 events were found, 1 none were, 2 bad arguments or no store.

\b
Example:
  lmdbstore search --db events 'failed|refused' --since -1h --flag sshd
  lmdbstore search --db events --since 2025-06-24 --until 2025-06-24 --count
"""

SIGN_HELP = """Make the signatures that are missing, for searches that read less.

A signature tells, for 512 neighbouring events, which pieces of words stand in their contents; a
search for a pattern leaves out those that cannot match, and finds the same. An import makes them;
missing are those of events that a program saved one by one, or that came late between others. The
newest events get theirs when 512 are together.

It can be stopped at any time: what is signed stays. Others may use the store meanwhile.

Exit status: 0 all is signed, 2 it could not be done.

\b
Example:
  lmdbstore sign --db events
"""

PURGE_HELP = """Delete the oldest events: those that are too old, too many, or too large together.

Of the events that --flag and --keep-flag choose, those before T go, and more, oldest first, while
there are more than N of them, or while the store's pages hold more than SIZE. Those that are kept
count too. What is saved meanwhile is left.

T is a time as 'search' takes it; of a date, its midnight. SIZE is in bytes, or with one of the
units KiB, MiB, GiB and TiB; it is that of the lines 'bytes:' of 'lmdbstore stats'. The file does
not shrink: its space is used again.

It can be stopped at any time: what went is gone, and running it again goes on. Others may use the
store meanwhile.

Exit status: 0 all that should go is gone, 2 it could not be done.

\b
Example:
  lmdbstore purge --db events --before -90d --keep-flag audit
  lmdbstore purge --db events --max-bytes 10GiB --dry-run
"""

STATS_HELP = """Print what a store holds: events, times, flags, and the bytes that it takes.

\b
Example:
  lmdbstore stats --db events
"""


class _Commands(click.Group):
    """The commands; turns what they raise into a line and an exit status."""

    def invoke(self, ctx: click.Context) -> Any:
        prepare_output()
        status = FAILED
        try:
            return _flushed(super().invoke, ctx)
        except EventStoreException as error:
            complain(str(error))
        except KeyboardInterrupt:
            status = INTERRUPTED
        except BrokenPipeError:
            status = PIPE_CLOSED
        except OSError as error:  # only writing the output raises one without a name
            complain(f"{error.filename or 'standard output'}: {error.strerror or error}")
        discard_output()
        return ctx.exit(status)


def _flushed(invoke: Callable[[click.Context], Any], ctx: click.Context) -> Any:
    """Run a command and flush its output, whose failure belongs to the command."""
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


def _db(text: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return click.option(
        "--db",
        required=True,
        type=click.Path(path_type=Path),
        metavar="DIR",
        envvar="LMDBSTORE_DB",
        show_envvar=True,
        help=text,
    )


@cli.command("import", help=IMPORT_HELP)
@_db("The store's folder; made if it is not there.")
@click.option("--tag", "tags", multiple=True, metavar="T", help="Tag of every event; repeatable.")
@click.option("--source", metavar="S", help="Source of the events, instead of the file's path.")
@click.option(
    "--format",
    "line_format",
    type=click.Choice(["auto", "lines", "jsonl"]),
    default="auto",
    show_default=True,
    help="What the files hold; auto: jsonl if so named.",
)
@click.argument("names", metavar="[FILE]...", nargs=-1)
@click.pass_context
def _import(  # noqa: PLR0913, PLR0917  the arguments of the command
    ctx: click.Context,
    db: Path,
    tags: tuple[str, ...],
    source: str | None,
    line_format: str,
    names: tuple[str, ...],
) -> None:
    if not names and is_terminal(sys.stdin):
        raise click.UsageError("no FILE given; give one, or - to read from the terminal")
    ctx.exit(import_files(db, names, tags=tags, source=source, line_format=line_format))


@cli.command("search", help=SEARCH_HELP)
@_db("The store's folder.")
@click.option("--since", metavar="T", help="From this time on; a date: from its midnight.")
@click.option("--until", metavar="T", help="Up to this time; a date: to its last instant.")
@click.option("--flag", "flags", multiple=True, metavar="F", help="Carries this tag; repeatable.")
@click.option("--source", metavar="S", help="Comes from exactly this source.")
@click.option("--desc", is_flag=True, help="Newest first.")
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="At most N events.")
@click.option("--json", "as_json", is_flag=True, help="Print whole events, as JSON lines.")
@click.option("--count", is_flag=True, help="Print only how many there are.")
@click.option("--explain", is_flag=True, help="Print only how the store would search.")
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
    )
    mode = "json" if as_json else "count" if count else "explain" if explain else "text"
    ctx.exit(run_search(db, sought, mode))


@cli.command("stats", help=STATS_HELP)
@_db("The store's folder.")
@click.option("--json", "as_json", is_flag=True, help="Print it as one JSON object.")
def _stats(db: Path, *, as_json: bool) -> None:
    print_stats(db, as_json=as_json)


@cli.command("sign", help=SIGN_HELP)
@_db("The store's folder.")
@click.option("--rebuild", is_flag=True, help="Make all anew: worth it after many deletions.")
def _sign(db: Path, *, rebuild: bool) -> None:
    sign_runs(db, rebuild=rebuild)


@cli.command("purge", help=PURGE_HELP)
@_db("The store's folder.")
@click.option("--before", metavar="T", help="Events before this time go.")
@click.option("--max-events", type=click.IntRange(min=0), metavar="N", help="So many may be left.")
@click.option("--max-bytes", callback=size, metavar="SIZE", help="So many bytes may be left.")
@click.option("--flag", "flags", multiple=True, metavar="F", help="Of these alone; repeatable.")
@click.option("--keep-flag", "keep", multiple=True, metavar="F", help="Never these; repeatable.")
@click.option("--dry-run", is_flag=True, help="Delete nothing, and tell what would go.")
def _purge(  # noqa: PLR0913, PLR0917  the arguments of the command
    db: Path,
    before: str | None,
    max_events: int | None,
    max_bytes: int | None,
    flags: tuple[str, ...],
    keep: tuple[str, ...],
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
        raise click.UsageError("give --before, --max-events or --max-bytes: what shall go")
    purge_events(db, conditions, dry_run=dry_run)


def _time(option: str, text: str | None, now: float, *, end: bool = False) -> float | None:
    try:
        return None if text is None else instant(text, now=now, end=end)
    except TimeError as error:
        raise click.BadParameter(str(error), param_hint=f"'{option}'") from None
