"""One frozen state of a store on PostgreSQL.

Rules: a snapshot is a number: what was published up to it, less what was deleted up to it. A
connection holds a lock, so that what is deleted later is marked, and not removed. Everything is
read on that connection: if it breaks, what was deleted may be gone, and the snapshot ends. No
transaction is open.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

import psycopg

from lmdbstore.errors import EventReadException
from lmdbstore.sql.server.failures import failed_read
from lmdbstore.sql.server.link import tried
from lmdbstore.sql.server.schema import CLEANING

from .state import Frozen
from .view import SQLView

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmdbstore.contract.commits.position import Lineage
    from lmdbstore.sql.server.link import Link
    from lmdbstore.threads.deadline import Deadline

    from .state import Reader

__all__ = ["SQLSnapshot"]


class _Held:
    """A connection that holds the lock of a snapshot."""

    def __init__(self, lock: str, deadline: Deadline, link: Link) -> None:
        self.link, self.connection = link, link.take(deadline)
        try:
            self.connection.execute(lock)
        except BaseException:
            link.give_back(self.connection)
            raise


class SQLSnapshot(SQLView):
    """A view of one state; it uses a connection of the store until it is closed."""

    _when_closed = "the snapshot is closed; take a new one"

    def __init__(
        self, reader: Reader, link: Callable[[], Link], lineage: Lineage, deadline: Deadline
    ) -> None:
        """Take it; a strict reader waits for the write under way."""
        self._pid = os.getpid()
        lock = f"SELECT pg_advisory_lock_shared({reader.names.lock(CLEANING)})"
        try:
            self._held: _Held | None = tried(link, partial(_Held, lock, deadline))
        except psycopg.Error as error:
            raise failed_read(error, deadline) from error
        held = self._held.connection
        try:
            frozen = Frozen(reader.present(deadline), held)
            super().__init__(reader.of_state(frozen), lineage)
        except BaseException:
            self._release()
            raise

    def _end(self) -> None:
        super()._end()
        self._release()

    def _check_open(self) -> None:
        super()._check_open()
        if self._pid != os.getpid():
            raise EventReadException(
                "the snapshot is that of the process of which this one is a forked child; take a "
                "new one"
            )

    def _release(self) -> None:
        held, self._held = self._held, None
        if held is not None and self._pid == os.getpid():
            held.link.give_back(held.connection)

    def __repr__(self) -> str:
        """The class, and whether it is closed."""
        return f"<a snapshot of an SQLEventStore{', closed' if self._closed else ''}>"
