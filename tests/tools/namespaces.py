"""Pid namespaces: processes that have the same process id as another one, as in two containers."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.tools.children import LONG, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Contained", "contained", "needs_pid_namespaces"]

UNSHARE = ["unshare", "--pid", "--fork", "--kill-child"]
PROC = "--mount-proc"


@functools.cache
def _why_not() -> str:
    if not shutil.which(UNSHARE[0]):
        return "unshare is not installed"
    command = [*UNSHARE, PROC, sys.executable, "-c", "import os; assert os.getpid() == 1"]
    tried = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LONG)
    return f"a pid namespace needs root: {tried.stderr[-200:]}" if tried.returncode else ""


def needs_pid_namespaces() -> None:
    """Skip the test where a child may not have a pid namespace of its own."""
    if why := _why_not():
        pytest.skip(why)


class Contained:
    """A Python process that is process 1 of a pid namespace; it runs lines, and answers each."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        """Its process id in this namespace."""
        children = f"/proc/{self._process.pid}/task/{self._process.pid}/children"
        with open(children, encoding="ascii") as file:
            return int(file.read())

    def do(self, line: str) -> str:
        """Run a line, and return what it gave in `answer`, or the error that it raised."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().rstrip("\n")

    def kill(self) -> None:
        """Kill it, and wait for its end."""
        os.kill(self.pid, 9)
        self._process.wait(LONG)


CODE = """
import sys
from lmdbstore import *
for line in sys.stdin:
    answer = "done"
    try:
        exec(line)
    except Exception as error:
        answer = f"{type(error).__name__}: {error}"
    print(answer, flush=True)
"""


@contextmanager
def contained(*, proc: bool = True) -> Iterator[Contained]:
    """Start such a process, with a `/proc` of its own; it is killed in the end."""
    command = [*UNSHARE, *([PROC] if proc else []), sys.executable, "-c", CODE]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        killer = threading.Timer(LONG, process.kill)
        killer.start()
        try:
            yield Contained(process)
        finally:
            process.kill()
            killer.cancel()
            killer.join()
