"""A read transaction that stays open across the caller's code, for a snapshot.

Rules: one thread at a time uses it. It ends by `end`, with its environment, when another process
gives the store a larger map, and in a forked child. Ending it never waits: it drops a reference,
and a thread that is reading holds another one, which it drops when it leaves LMDB.
"""

from __future__ import annotations

import os
import threading
from time import monotonic
from typing import TYPE_CHECKING, TypeVar

import lmdb

from lmdbstore.contract.closing import Closable
from lmdbstore.disk.lmdb_errors import read_error
from lmdbstore.errors import EventReadException, StoreClosed
from lmdbstore.threads.run_locked import run_locked

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmdbstore.contract.query import Query
    from lmdbstore.disk.databases import Databases
    from lmdbstore.opening.place import Place
    from lmdbstore.processes.snapshot_notes import Note
    from lmdbstore.threads.deadline import Deadline
    from lmdbstore.threads.gate import Gate

__all__ = ["HeldTransaction"]

T = TypeVar("T")


class HeldTransaction(Closable):
    """One state of the store, for as long as it is held; `Environment.hold` makes it."""

    def __init__(self, gate: Gate, place: Place, path: str) -> None:
        """Prepare it; `begin` begins it."""
        self._gate = gate
        self._place = place
        self._path = path
        self._pid = os.getpid()
        self._using = threading.RLock()
        self._ended = False
        self.note: Note | None = None  # before the transaction, so that it is removed first
        self.txn: lmdb.Transaction[bytes] | None = None
        self._databases: Databases | None = None

    def begin(self, environment: lmdb.Environment, databases: Databases) -> int:
        """Begin, inside the gate; return LMDB's number of the transaction that made the state."""
        self.txn, self._databases = environment.begin(), databases
        return self.txn.id()

    def read(
        self,
        work: Callable[[lmdb.Transaction[bytes], Databases], T],
        /,
        *,
        views: bool = False,  # noqa: ARG002  one transaction serves all
    ) -> T:
        """Run `work` in the transaction, and return its result.

        Raises:
            StoreClosed: it was ended, or the store was closed.
            StoreMoved: the path of the store leads elsewhere.
            EventReadException: LMDB could not read, or a larger map has ended the transaction.
        """
        self.check_held()
        if monotonic() >= self._place.deadline:
            self._place.check()
        return self._gate.run(run_locked, self._using, self._inside, work)

    def begin_read(
        self,
        work: Callable[[lmdb.Transaction[bytes], Databases], T],
        _: Deadline | None = None,
        __: str | Query | None = None,
        /,
    ) -> T:
        """Run the first read of a call, which does not wait; see `read`."""
        return self.read(work)

    def _inside(self, work: Callable[[lmdb.Transaction[bytes], Databases], T]) -> T:
        txn, databases = self.txn, self._databases  # before the check: it is dropped after `end`
        self.check_held()
        if txn is None or databases is None:
            raise EventReadException(
                f"the snapshot of {self._path!r} was ended, because another process gave the "
                "store a larger map; take a new one"
            )
        try:
            return work(txn, databases)
        except lmdb.Error as error:
            raise read_error(error) from error
        finally:
            if self.txn is None:  # ended meanwhile; perhaps a signal handler forked, and this is
                self._check_ours()  # the child, which has read what the parent may have released

    def check_held(self) -> None:
        """Raise StoreClosed if this was ended, or belongs to the parent of the process."""
        if self._ended:
            raise StoreClosed(f"the snapshot of {self._path!r} is closed; take a new one")
        self._check_ours()

    def _check_ours(self) -> None:
        if self._pid != os.getpid():
            raise StoreClosed(
                f"the snapshot of {self._path!r} belongs to the parent of this process; take a new "
                "one"
            )

    def end(self) -> None:
        """Let every later read raise StoreClosed."""
        self._ended = True

    def close(self) -> None:
        """End the transaction, so that its pages may be used again. A second call does nothing.

        It does not wait: if another thread reads it, the transaction ends with that read.
        """
        self.end()
        if self._pid == os.getpid():
            self.drop()

    def drop(self) -> None:
        """Drop the transaction. That needs no gate, as the interpreter's lock is held meanwhile."""
        self.note = self.txn = None
