"""The command `lmdbstore`: its commands, and the exit status of every failure.

Rules: an argument is checked in `commands` or by the library, not by the modules that do the work.
A failure prints one line on standard error that begins with `lmdbstore:`, and exits with status 2;
so does an argument that click refuses. An interrupt exits with 130, SIGTERM with 143, a pipe that
its reader closed with 141.
"""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from lmdbstore.errors import EventStoreException
from lmdbstore.version import __version__

from .commands.caring import (
    backup_command,
    compact_command,
    purge_command,
    repair_command,
    seal_command,
    stats_command,
    verify_command,
)
from .commands.counting import histogram_command, top_command
from .commands.importing import import_command
from .commands.moving import copy_command, export_command
from .commands.searching import search_command, tail_command
from .commands.serving import serve_command
from .help import CLI_HELP
from .showing.first_steps import first_steps
from .terminal import complain, discard_output, in_options, prepare_output

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
        except click.UsageError as error:
            complain(_misused(error))
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
        except click.UsageError as error:
            complain(_misused(error))
            raise click.exceptions.Exit(FAILED) from error
        except OSError as error:
            status = _failed(error)
            discard_output()
            raise click.exceptions.Exit(status) from error


def _misused(error: click.UsageError) -> str:
    """Return what is wrong with the arguments, and what helps."""
    message = error.format_message()
    if error.ctx is None or getattr(error, "possibilities", None):  # similar names, in the message
        return message
    return f"{message.rstrip('.')}; see '{error.ctx.command_path} --help'"


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
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": HELP_WIDTH},
)
@click.version_option(__version__, prog_name="lmdbstore", message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Without a command, say what to do first."""
    if ctx.invoked_subcommand is None:
        click.echo(first_steps(), err=True)
        ctx.exit(FAILED)


for _command in (
    import_command,
    export_command,
    copy_command,
    search_command,
    tail_command,
    histogram_command,
    top_command,
    stats_command,
    serve_command,
    seal_command,
    purge_command,
    verify_command,
    repair_command,
    backup_command,
    compact_command,
):
    cli.add_command(_command)
