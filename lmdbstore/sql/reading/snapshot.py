"""One frozen state of a store on PostgreSQL.

Rules: everything is read on one connection, by one thread at a time. On one server it is in a
transaction that sees one state (REPEATABLE READ), on a standby too. On shards no transaction sees
one state: there the state is a number, and the connection holds a lock, so that what is deleted
later is marked, and not removed. If the connection breaks, the snapshot ends.
"""

from __future__ import annotations

import os
import threading
from functools import partial
from typing import TYPE_CHECKING
from weakref import finalize

import psycopg

from lmdbstore.errors import EventReadException, StoreClosed
from lmdbstore.sql.server.failures import failed_read, is_broken, reason
from lmdbstore.sql.server.link import limit_locks, tried
from lmdbstore.sql.server.names import CLEANING
from lmdbstore.threads.reentry import reentry
from lmdbstore.threads.run_locked import run_if_free, run_locked

from .view import SQLView

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmdbstore.contract.commits.position import Lineage
    from lmdbstore.sql.server.link import Connection, Link
    from lmdbstore.threads.deadline import Deadline

    from .state import Reader, Rows

__all__ = ["SQLSnapshot"]

CLOSED = "the snapshot is closed; take a new one"


class _Held:
    """A connection that sees one state, or holds the lock that keeps it."""

    def __init__(self, reader: Reader, sharded: bool, deadline: Deadline, link: Link) -> None:
        self._link, self._connection = link, link.take(deadline)
        self._pid = os.getpid()
        self._using = threading.RLock()
        self._user = 0  # the thread that reads
        self._closed = False
        try:
            self.number, head = self._frozen(reader, deadline, sharded=sharded)
        except BaseException:
            link.give_back(self._connection)
            raise
        self.head = head if sharded else None
        # A snapshot that is dropped gives its connection back later: not now, whenever that is.
        self.left = finalize(self, link.leave, self._connection)
        self.left.atexit = False

    def _frozen(self, reader: Reader, deadline: Deadline, *, sharded: bool) -> tuple[int, int]:
        """Wait for the write under way, if that is wanted, and freeze the state after it."""
        connection = self._connection
        if sharded:
            limit_locks(connection, deadline, local=False)
            lock = reader.names.lock(CLEANING)
            connection.execute(f"SELECT pg_advisory_lock_shared({lock})")
            return reader.now(connection, deadline)
        reader.now(connection, deadline)  # first: the transaction sees what was committed before
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        return reader.seen(connection)

    def check_process(self) -> None:
        """Raise EventReadException in a forked child."""
        if self._pid != os.getpid():
            raise EventReadException(
                "the snapshot is that of the process of which this one is a forked child; take a "
                "new one"
            )

    def read(self, work: Callable[[Connection], Rows]) -> Rows:
        """Read; see `state.Frozen`."""
        self.check_process()
        if self._user == threading.get_ident():
            raise reentry(EventReadException, "a read of a snapshot")
        return run_locked(self._using, self._read, work)

    def _read(self, work: Callable[[Connection], Rows]) -> Rows:
        if self._closed:
            raise StoreClosed(CLOSED)
        self._user = threading.get_ident()
        try:
            return work(self._connection)
        except psycopg.Error as error:
            if is_broken(error) or isinstance(error, psycopg.errors.InFailedSqlTransaction):
                raise EventReadException(
                    f"the snapshot's connection is lost: {reason(error)}; take a new one"
                ) from error
            raise failed_read(error, None) from error
        finally:
            self._user = 0
            if self._closed:
                self._give_back()

    def close(self) -> None:
        """Give the connection back, now or when the thread that reads has done so."""
        self._closed = True
        run_if_free(self._using, self._give_back)

    def _give_back(self) -> None:
        if self._user == 0 and self.left.detach() and self._pid == os.getpid():
            self._link.give_back(self._connection)


class SQLSnapshot(SQLView):
    """A view of one state; it uses a connection of the store until it is closed."""

    _when_closed = CLOSED

    def __init__(
        self,
        reader: Reader,
        link: Callable[[], Link],
        lineage: Lineage,
        deadline: Deadline,
        *,
        sharded: bool,
    ) -> None:
        """Take it; a strict reader waits for the write under way."""
        try:
            self._held = tried(link, partial(_Held, reader, sharded, deadline))
        except psycopg.Error as error:
            raise failed_read(error, deadline) from error
        super().__init__(reader.of_state(self._held), lineage)

    def _end(self) -> None:
        super()._end()
        self._held.close()

    def _check_open(self) -> None:
        super()._check_open()
        self._held.check_process()

    def __repr__(self) -> str:
        """The class, and whether it is closed."""
        return f"<a snapshot of an SQLEventStore{', closed' if self._closed else ''}>"
