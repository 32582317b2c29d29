"""A snapshot: one frozen state of the store, for as long as the caller wants it.

Rules: it is the one read transaction that stays open across the caller's code. Its transaction is
used by one thread at a time. It ends when it is closed, with the store, when another process
gives the store a larger map, and in a forked child.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

import lmdb

from lmdbstore.disk.lmdb_errors import read_error
from lmdbstore.errors import EventReadException, StoreClosed
from lmdbstore.read.lmdb_view import LMDBView

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmdbstore.disk.databases import Databases
    from lmdbstore.processes.snapshot_notes import Note

    from .environment import Environment

__all__ = ["Snapshot"]

T = TypeVar("T")


class Snapshot(LMDBView):
    """A view of one state of the store; see `LMDBEventStore.snapshot`."""

    def __init__(self, environment: Environment, store: object, *, signatures: bool) -> None:
        """Take the state as it is now; `store` is kept from being dropped meanwhile."""
        super().__init__()
        self._signatures = signatures
        self._store = store
        self._environment = environment
        self._pid = os.getpid()
        self._using = threading.RLock()
        self.note: Note | None = None  # before the transaction, so that it goes first
        self.txn: lmdb.Transaction[bytes] | None = None
        environment.begin_snapshot(self)

    def run(self, work: Callable[[lmdb.Transaction[bytes], Databases], T], /) -> T:
        """Run a piece of work of the package in the snapshot's transaction."""
        return self._read(work)

    def _read(
        self,
        work: Callable[[lmdb.Transaction[bytes], Databases], T],
        *,
        views: bool = False,  # noqa: ARG002  one transaction serves all
    ) -> T:
        self._check_open()
        return self._environment.gate.run(self._inside, work)

    def _inside(self, work: Callable[[lmdb.Transaction[bytes], Databases], T]) -> T:
        with self._using:
            self._check_open()
            if self.txn is None:
                raise EventReadException(
                    f"{self!r} was ended, because another process gave the store a larger map; "
                    "take a new one"
                )
            try:
                return work(self.txn, self._environment.databases)
            except lmdb.Error as error:
                raise read_error(error) from error

    def _check_open(self) -> None:
        super()._check_open()
        if self._pid != os.getpid():
            raise StoreClosed(f"{self!r} belongs to the parent of this process; take a new one")

    def _end(self) -> bool:
        """End the snapshot, and let its pages be used again."""
        ended = super()._end()
        if ended and self._pid == os.getpid():
            with suppress(StoreClosed):
                self._environment.gate.run(self._drop)
        return ended

    def _drop(self) -> None:
        with self._using:
            self.note = self.txn = None

    def __repr__(self) -> str:
        """What it is."""
        return f"<a snapshot of {self._environment.path!r}{', ended' if self._closed else ''}>"
