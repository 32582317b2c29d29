"""Waiting for others: calls with a time limit, what their refusal says, and locks that are held."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import Event, LMDBEventStore, StoreBusy
from lmdbstore.processes.lock_list import LOCKS
from tests.tools.held_writer import LONG, threads
from tests.tools.stopped import THEIRS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = [
    "LIMIT",
    "TIMED_READS",
    "TIMED_WRITES",
    "Calls",
    "busy",
    "locked",
    "named",
    "no_thread_leads",
    "with_one_event",
]

LIMIT = 0.15  # seconds

# Reads that a process which saves THEIRS may change.
Calls = dict[str, "Callable[[Any, dict[str, Any]], object]"]
TIMED_READS: Calls = {
    "get": lambda store, how: store.get(THEIRS, None, **how),
    "search": lambda store, how: list(store.search(**how)),
    "search after": lambda store, how: list(store.search(after=Event("old"), **how)),
    "count": lambda store, how: store.count(**how),
    "explain": lambda store, how: store.explain(**how),
    "flags": lambda store, how: store.flags(**how),
    "snapshot": lambda store, how: store.snapshot(**how).close(),
    "stats": lambda store, how: store.stats(**how),
}
TIMED_WRITES: Calls = {
    "save": lambda store, how: store.save(Event("ours"), **how),
    "save_many": lambda store, how: store.save_many([Event("ours"), Event("too")], **how),
    "delete": lambda store, how: store.delete("old", **how),
}


def with_one_event(path: Path) -> Path:
    """Make a store that holds the event "old", and close it."""
    with LMDBEventStore(path) as store:
        store.save(Event("old", timestamp=1.0, tags=["f"]))
    return path


def busy(
    kind: type[StoreBusy], call: Callable[[], object], *words: str, limit: float = LIMIT
) -> None:
    """Check that a call waits until its limit, and says these words."""
    began = time.monotonic()
    with pytest.raises(kind) as caught:
        call()
    assert time.monotonic() - began >= limit
    said = str(caught.value)
    for word in (f"waited {limit:g} s", "timeout=", *words):
        assert word in said, said


def named(pid: int) -> str:
    """Return how a stopped process is named, where the system lists its locks."""
    return f"(process {pid}, which is stopped)" if os.path.exists(LOCKS) else "does not name"


@contextmanager
def no_thread_leads(store: LMDBEventStore) -> Iterator[None]:
    """Let no thread of this process lead a write, for a `with` block."""
    held, go = threading.Event(), threading.Event()

    def hold() -> None:
        held.set()
        assert go.wait(LONG)

    with threads() as pool:
        holder = pool.submit(store._session._environment.writer.while_idle, hold)
        assert held.wait(LONG)
        try:
            yield
        finally:
            go.set()
            holder.result(LONG)


@contextmanager
def locked(file: Path) -> Iterator[int]:
    """Hold the lock of a file as another process does; yield the descriptor."""
    with open(file, "rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        yield other.fileno()
