"""Calls of the command line: in this process, in another process, or on a terminal."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from lmdbstore.cli.main import cli
from tests.tools.children import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from click.testing import Result

__all__ = ["ENVIRONMENT", "LINES", "LOG", "TIMEOUT", "on_terminal", "process", "run", "start"]

LOG = ROOT / "tests" / "data" / "dpkg.log"
LINES = 4891
# NO_COLOR and similar variables of the user that runs the tests must not change the results.
ENVIRONMENT = {
    "PATH": os.environ.get("PATH", ""),
    "PYTHONPATH": str(ROOT),
    "TERM": "xterm",
    "COLUMNS": "100",
    "LANG": "C.UTF-8",
    "TZ": "UTC",
}
TIMEOUT = 60  # seconds


def run(*args: object, stdin: str | None = None) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(cli, [str(arg) for arg in args], input=stdin)


def start(*args: object, **options: Any) -> subprocess.Popen[bytes]:
    """Start the command as a process of its own, which Ctrl-C interrupts."""
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with interruptible():
        return subprocess.Popen(
            [sys.executable, "-m", "lmdbstore", *map(str, args)],
            **{**streams, "env": ENVIRONMENT, **options},
        )


@contextmanager
def interruptible() -> Iterator[None]:
    """Let children begin with SIGINT as it is by default: who runs in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def process(*args: object, stdin: bytes = b"", **options: Any) -> tuple[int, str, str]:
    """Run the command as another process; return its status, output and errors."""
    with start(*args, **options) as child:
        out, err = child.communicate(stdin, timeout=TIMEOUT)
    return child.returncode, (out or b"").decode(), err.decode()  # out: None if redirected


def on_terminal(*args: object, **variables: str) -> tuple[int, str]:
    """Run the command on a terminal of its own; return its status and what it shows."""
    try:
        master, slave = pty.openpty()
    except OSError as error:
        pytest.skip(f"there are no terminals here: {error}")
    try:
        child = start(
            *args, stdin=slave, stdout=slave, stderr=slave, env={**ENVIRONMENT, **variables}
        )
        os.close(slave)
        shown = b""
        while select.select([master], [], [], TIMEOUT)[0]:
            try:
                some = os.read(master, 65536)
            except OSError:  # the other side is closed
                break
            if not some:
                break
            shown += some
        return child.wait(TIMEOUT), shown.decode()
    finally:
        os.close(master)
