"""A process that is stopped (SIGSTOP) in the middle of a write, or of an opening."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.tools.children import LONG, ROOT, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["THEIRS", "Stopped", "stopped"]

THEIRS = "of the stopped process"  # the id of the event that it saves when it continues
STOP = """
import os, signal, sys
from lmdbstore import Event, LMDBEventStore

def stopping(work):
    stops = [1]
    def stopped(*arguments, **named):
        if stops:
            stops.clear()
            os.kill(os.getpid(), signal.SIGSTOP)
        return work(*arguments, **named)
    return stopped
"""
SAVE = f"""
store.save(Event({THEIRS!r}, timestamp=9.0))
store.close()
"""
PLACES = {
    # The barrier's lock and LMDB's lock are held, the byte is odd, and a page is changed.
    "write": """
from lmdbstore.write.transaction import WriteTransaction
store = LMDBEventStore(sys.argv[1], durability="none")
WriteTransaction.put = stopping(WriteTransaction.put)
""",
    # The opening lock is held.
    "opening": """
from lmdbstore.engine import open as opening
opening.open_lmdb = stopping(opening.open_lmdb)
store = LMDBEventStore(sys.argv[1], durability="none")
""",
}


class Stopped:
    """The process; `go` lets it continue, and waits for its end."""

    def __init__(self, path: Path, place: str) -> None:
        code = STOP + PLACES[place] + SAVE
        self._process = subprocess.Popen([sys.executable, "-c", code, str(path)], cwd=ROOT)
        self.pid = self._process.pid
        until(self._has_stopped, "the process does not stop")

    def _has_stopped(self) -> bool:
        found = os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOHANG | os.WNOWAIT)
        assert found is None or found.si_code == os.CLD_STOPPED, "the process has ended"
        return found is not None

    def go(self) -> None:
        os.kill(self.pid, signal.SIGCONT)
        assert self._process.wait(LONG) == 0

    def end(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


@contextmanager
def stopped(path: Path, place: str) -> Iterator[Stopped]:
    """Let another process be stopped in a "write" or an "opening" of the store."""
    process = Stopped(path, place)
    try:
        yield process
    finally:
        process.end()
