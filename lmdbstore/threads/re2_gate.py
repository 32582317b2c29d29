"""The gate before RE2: how a process forks, and ends, while its threads search for patterns.

Rules: RE2 works without the interpreter's lock. A forked child would inherit the locks inside of
RE2's automata that other threads hold; and where a thread comes back from RE2 while the interpreter
is being torn down, the binding ends the process (SIGABRT); loading it and compiling a pattern are
no better. So all that a search does with RE2 passes a gate, a page of events at a time. Who forks
bars it meanwhile (`lmdbstore.engine.registry` does that). When the interpreter exits it is closed,
before daemon threads are frozen: that waits for what is under way, and who comes later is held
where it may be frozen. The exiting thread itself is let in.

LMDB needs nothing at exit: a thread that never comes back from it is to it like a killed process.
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

# Seconds. The interpreter ends meanwhile, unless a function that it calls at its exit waits for
# this thread: then that one has to be told.
HELD = 5.0


class _Engine:
    """The gate, in one process."""

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
            "the interpreter is ending, and only its main thread can search for a pattern any "
            "more; let threads that search end before it"
        ) from None


def _renew() -> None:
    """Forget, in a forked child, the threads of its parent."""
    global _engine  # noqa: PLW0603  the inherited one waits for threads that are not here
    _engine = _Engine()


def _leave() -> None:
    """Keep all other threads out of RE2 for good, and return when none is inside."""
    if _engine.pid == os.getpid():  # else a fork that ran no hooks: what is noted is the parent's
        _engine.gate.bar()
        _engine.gate.close()


# At the import of the package and not when RE2 is loaded, so that what a program has called at its
# exit is called before, with everything still at work.
atexit.register(_leave)

# A thread that is inside of RE2 waits for no other gate: so this gate is barred last.
at_fork(hold=lambda: [_engine.gate], renew=_renew)
