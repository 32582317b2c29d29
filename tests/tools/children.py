"""Children of a test: forks or commands; each ends, or fails the test."""

from __future__ import annotations

import functools
import multiprocessing
import os
import subprocess
import sys
import threading
import time
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "LONG",
    "ROOT",
    "in_child",
    "needs_semaphores",
    "opened_elsewhere",
    "output_of",
    "until",
]

LONG = 120  # seconds; ends a hang, decides nothing
ROOT = Path(__file__).parents[2]


@functools.cache
def _why_not() -> str:
    try:
        multiprocessing.get_context("fork").Lock()
    except OSError as error:
        return f"this user gets no semaphores: {error}"
    return ""


def needs_semaphores() -> None:
    """Skip the test where pools of multiprocessing cannot be made: `/dev/shm` may be closed."""
    import pytest  # not in the children that import this module

    if why := _why_not():
        pytest.skip(why)


def in_child(work: Callable[[], None]) -> None:
    """Fork, run `work` in the child, and fail if it failed there."""
    pid = os.fork()
    if not pid:
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    alarm = threading.Timer(LONG, os.kill, (pid, 9))
    alarm.start()
    _, status = os.waitpid(pid, 0)
    alarm.cancel()
    alarm.join()
    assert os.waitstatus_to_exitcode(status) == 0


def output_of(command: list[str], limit: float = LONG) -> str:
    """Run a command, which must succeed; return what it printed."""
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        start_new_session=True,  # so that the command that strace runs ends with it
    ) as child:
        try:
            output, errors = child.communicate(timeout=limit)
        except BaseException:
            os.killpg(child.pid, 9)
            raise
    assert child.returncode == 0, (
        f"exit code {child.returncode}\n{output[-4000:]}\n{errors[-4000:]}"
    )
    return output


@contextmanager
def opened_elsewhere(path: Path, options: str = "") -> Iterator[int]:
    """Let another process hold the store open; yield its process id."""
    code = f"""
import sys
from lmdbstore import LMDBEventStore
with LMDBEventStore({str(path)!r}{options}):
    print("open", flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "open\n"
        yield child.pid
        child.communicate(timeout=LONG)
    assert child.returncode == 0


def until(holds: Callable[[], bool], what: str) -> None:
    """Wait until a condition holds; fail after too long a time."""
    end = time.monotonic() + LONG
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.001)
