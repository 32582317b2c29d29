"""The gate before RE2: how a process forks, and ends, while its threads search for patterns.

Rules: RE2 works without the interpreter's lock. A forked child would inherit locks inside RE2's
automata that other threads hold. If a thread returns from RE2 while the interpreter is being torn
down, the binding ends the process (SIGABRT); loading RE2 and compiling a pattern have the same
risk. So everything that a search does with RE2 passes a gate, one page of events at a time. A fork
bars the gate (see `threads.forking`). When the interpreter exits, the gate is closed before daemon
threads are frozen. Closing waits for the work in progress; a thread that comes later is held where
it may be frozen. The exiting thread itself is let in.

LMDB needs nothing at exit: a thread that never returns from LMDB is like a killed process to it.
"""

from __future__ import annotations

import atexit
import os
import time
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple

from lmdbstore.errors import EventReadException, StoreClosed

from .forking import at_fork
from .gate import Gate

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["run_engine"]

T = TypeVar("T")
A = TypeVarTuple("A")

# Seconds. The interpreter ends in the meantime, unless a function that it calls at its exit waits
# for this thread: then this thread must get an error.
HELD = 5.0


class _Engine:
    """The gate of one process."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.gate = Gate()


_engine = _Engine()


def run_engine(work: Callable[[*A], T], *arguments: *A) -> T:
    """Run `work`, which calls RE2, with these arguments.

    Raises:
        EventReadException: the interpreter is ending, and another thread is ending it.
    """
    try:
        return _engine.gate.run(work, *arguments)
    except StoreClosed:
        time.sleep(HELD)
        raise EventReadException(
            "the interpreter is ending, and only its main thread can still search for a pattern; "
            "end the threads that search before the interpreter ends"
        ) from None


def _renew() -> None:
    """Forget the parent's threads, in a forked child."""
    global _engine  # noqa: PLW0603  the inherited one waits for threads of the parent
    _engine = _Engine()


def _leave() -> None:
    """Keep all other threads out of RE2 for good, and return when none is inside."""
    if _engine.pid == os.getpid():  # else a fork ran no hooks: the gate lists the parent's threads
        _engine.gate.bar()
        _engine.gate.close()


# At the import of the package and not when RE2 is loaded: so the functions that a program registers
# are called first, while everything still works.
atexit.register(_leave)

at_fork("re2", gates=lambda: [_engine.gate], renew=_renew)
