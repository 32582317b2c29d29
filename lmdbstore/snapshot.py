"""A snapshot: one frozen state of the store, for as long as the caller wants it.

Rules: it is the one read transaction that stays open across the caller's code. Its transaction is
used by one thread at a time. It ends with its `with` block, with the store, when another process
gives the store a larger map, and in a forked child.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, TypeVar

import lmdb

from .errors import EventReadException, StoreClosed
from .faults import read_error
from .view import LMDBView

if TYPE_CHECKING:
    from collections.abc import Callable

    from .databases import Databases
    from .environment import Environment

__all__ = ["Snapshot"]

T = TypeVar("T")


class Snapshot(LMDBView):
    """A view of one state of the store; see `LMDBEventStore.snapshot`."""

    def __init__(self, environment: Environment) -> None:
        """Take the state as it is now."""
        self._environment = environment
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._closed = False
        self._txn: lmdb.Transaction[bytes] | None = environment.begin_snapshot(self)

    def _read(self, work: Callable[[lmdb.Transaction[bytes], Databases], T]) -> T:
        self._check_open()
        with self._environment.gate, self._lock:
            if self._txn is None:
                raise StoreClosed("the snapshot has ended; take a new one")
            try:
                return work(self._txn, self._environment.databases)
            except lmdb.BadTxnError as error:
                raise _ended_by_growth(error) from error
            except lmdb.Error as error:
                raise read_error(error) from error

    def _wait(self) -> None:
        """A frozen state has no write under way."""

    def _check_open(self) -> None:
        if self._closed or self._pid != os.getpid():
            raise StoreClosed("the snapshot has ended; take a new one")

    def close(self) -> None:
        """End the snapshot, and let its pages be used again."""
        self._closed = True
        if self._pid == os.getpid() and not self._environment.gate.closed:
            with self._environment.gate, self._lock:
                self.drop()

    def drop(self) -> None:
        """Let go of the transaction; the gate is barred, or passed."""
        self._txn = None


def _ended_by_growth(error: lmdb.Error) -> EventReadException:
    return EventReadException(
        "the snapshot was ended, because another process gave the store a larger map; take a new "
        f"one ({error})"
    )
