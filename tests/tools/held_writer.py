"""A writer that stops before or after its commit, here or in another process, and readers."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lmdbstore import Event, LMDBEventStore
from lmdbstore.write.transaction import WriteTransaction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import pytest

__all__ = ["LONG", "NEW", "READS", "SHORT", "HeldWriter", "threads", "waiting", "writing_process"]

LONG = 60  # seconds; ends a hang, decides nothing
SHORT = 0.1  # seconds; a reader that does not wait returns much sooner
READS: dict[str, Callable[[Any], Any]] = {
    "get": lambda store: store.get("new", None) is not None,
    "in": lambda store: "new" in store,
    "len": lambda store: len(store) == 2,
    "search": lambda store: "new" in [event.id for event in store.search()],
    "count": lambda store: store.count(flags=["f"]) == 1,
    "flags": lambda store: store.flags() == {"f": 1},
    "explain": lambda store: "2 events" in store.explain(),
}
NEW = Event("new", timestamp=2.0, tags=["f"])


def snapshot_sees_it(store: LMDBEventStore) -> bool:
    with store.snapshot() as view:
        return "new" in view


READS["snapshot"] = snapshot_sees_it


class HeldWriter:
    """Holds the next commit of this process until it is released, or made to fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self.go = threading.Event(), threading.Event()
        self.error: Exception | None = None
        commit = WriteTransaction.commit

        def held(txn: WriteTransaction) -> None:
            self.reached.set()
            assert self.go.wait(LONG)
            if self.error:
                raise self.error
            commit(txn)

        monkeypatch.setattr(WriteTransaction, "commit", held)


@contextmanager
def threads(number: int = 8) -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(number) as pool:
        yield pool


def waiting(*reads: Future[Any]) -> bool:
    """Whether none of the reads has returned after a time in which it could have."""
    return not wait(reads, SHORT, FIRST_COMPLETED).done


CHILD = """
import os, signal, sys
from lmdbstore import Event, LMDBEventStore
from lmdbstore.write.transaction import WriteTransaction

path, how = sys.argv[1:]
commit = WriteTransaction.commit

def held(txn):
    if how == "after":
        commit(txn)
    print("held", flush=True)
    sys.stdin.readline()
    if how == "fail":
        raise OSError("made to fail")
    if how != "after":
        commit(txn)

store = LMDBEventStore(path, create=False)
WriteTransaction.commit = held
try:
    store.save(Event("new", timestamp=2.0, tags=["f"]))
except Exception as error:
    print(type(error).__name__, flush=True)
store.close()
"""


class Child:
    def __init__(self, path: Path, how: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(path), how],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout
        assert self.process.stdout.readline() == "held\n"

    def go(self) -> None:
        assert self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        assert self.process.wait(LONG) == 0

    def kill(self) -> None:
        self.process.kill()
        assert self.process.wait(LONG) == -signal.SIGKILL


@contextmanager
def writing_process(path: Path, how: str) -> Iterator[Child]:
    child = Child(path, how)
    try:
        yield child
    finally:
        child.process.kill()
        child.process.communicate()
