"""Reading from one state of the store: what every read does before it looks.

Rules: a strict read first takes the lock of writers, shared, and gives it back at once: so it waits
for the write under way, and its statement, which sees what was committed before it began, sees that
write. In a store on one server a statement sees whole batches. In one on several servers it does
not: the shards commit one after the other. There a read asks for the published number first, and
keeps out the removal of what was deleted until it has read. A snapshot reads on a connection of its
own, see `snapshot`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

import psycopg

from lmdbstore.sql.server.failures import failed_read, only_row
from lmdbstore.sql.server.link import limit_locks, tried
from lmdbstore.sql.server.names import CLEANING, WRITING

from .conditions import Statement

if TYPE_CHECKING:
    from lmdbstore.sql.server.link import Connection, Link
    from lmdbstore.sql.server.names import Names
    from lmdbstore.threads.deadline import Deadline

__all__ = ["Frozen", "Reader", "Rows", "StatementFor"]

Rows = list[tuple[Any, ...]]
StatementFor = Callable[[int | None], Statement]  # for the state of a number; None: the present
T = TypeVar("T")


class Frozen(Protocol):
    """A state of the store, which is read on a connection of its own."""

    number: int
    """That of the last event."""
    head: int | None
    """The last number that was published, if rows are to be chosen by it.

    None: the connection sees that state alone.
    """

    def read(self, work: Callable[[Connection], Rows]) -> Rows:
        """Read, one thread at a time."""


class _Asked(NamedTuple):
    """How a read waits."""

    strict: bool
    deadline: Deadline | None


class Reader:
    """Reads for a store, or for a snapshot of it, which is the state of a number."""

    def __init__(
        self,
        link: Callable[[], Link],
        names: Names,
        *,
        sharded: bool,
        strict: bool,
        frozen: Frozen | None = None,
    ) -> None:
        """Read through `link()`; `strict` reads wait for writes."""
        self._link = link
        self._frozen = frozen
        self._sharded = sharded
        self._strict = strict
        self.names = names

    def of_state(self, frozen: Frozen) -> Reader:
        """Return a reader of a state."""
        return Reader(self._link, self.names, sharded=self._sharded, strict=False, frozen=frozen)

    @property
    def head(self) -> int | None:
        """The number of the state; None: the present one."""
        return None if self._frozen is None else self._frozen.head

    def now(self, connection: Connection, deadline: Deadline) -> tuple[int, int]:
        """Return `saved` and `head`, on a connection; a strict read waits."""
        statement = Statement(f"SELECT saved, head FROM {self.names.store}")
        asked = _Asked(self._strict, deadline)
        saved, head = only_row(self._simple(connection, statement, asked))
        return int(saved), int(head)

    def seen(self, connection: Connection) -> tuple[int, int]:
        """Return `saved` and `head`, as a connection sees them."""
        statement = f"SELECT saved, head FROM {self.names.store}"
        saved, head = only_row(connection.execute(statement))
        return int(saved), int(head)

    def rows(
        self, statement: StatementFor, deadline: Deadline | None = None, *, waits: bool = True
    ) -> Rows:
        """Return the rows of a statement about events; a strict one if it `waits`."""
        asked = _Asked(self._strict and waits, deadline)
        if self._frozen is not None or not self._sharded:
            return self._attempt(deadline, self._simple, statement(self.head), asked)
        return self._attempt(deadline, self._published, statement, asked)

    def state(
        self, statement: Statement, deadline: Deadline | None = None, *, waits: bool = True
    ) -> Rows:
        """Return the rows of a statement about what is not sharded."""
        asked = _Asked(self._strict and waits, deadline)
        return self._attempt(deadline, self._simple, statement, asked)

    def present(self, deadline: Deadline | None = None, *, waits: bool = True) -> int:
        """Return the number of the last event that is published."""
        if self._frozen is not None:
            return self._frozen.number
        asked = Statement(f"SELECT saved FROM {self.names.store}")
        return int(only_row(self.state(asked, deadline, waits=waits))[0])

    def _attempt(
        self,
        deadline: Deadline | None,
        read: Callable[[Connection, T, _Asked], Rows],
        statement: T,
        asked: _Asked,
    ) -> Rows:
        if self._frozen is not None:
            return self._frozen.read(lambda connection: read(connection, statement, asked))
        try:
            return tried(self._link, partial(self._on_link, deadline, read, statement, asked))
        except psycopg.Error as error:
            raise failed_read(error, deadline) from error

    @staticmethod
    def _on_link(
        deadline: Deadline | None,
        read: Callable[[Connection, T, _Asked], Rows],
        statement: T,
        asked: _Asked,
        link: Link,
    ) -> Rows:
        with link.connection(deadline) as connection:
            return read(connection, statement, asked)

    def _simple(self, connection: Connection, statement: Statement, asked: _Asked) -> Rows:
        if not asked.strict:
            return connection.execute(*statement).fetchall()
        with connection.pipeline():
            limit_locks(connection, asked.deadline, local=True)
            self._wait(connection)
            found = connection.execute(*statement)
        return found.fetchall()

    def _published(self, connection: Connection, statement: StatementFor, asked: _Asked) -> Rows:
        with connection.transaction():
            with connection.pipeline():
                limit_locks(connection, asked.deadline, local=True)
                if asked.strict:
                    self._wait(connection)
                cleaning = self.names.lock(CLEANING)
                connection.execute(f"SELECT pg_advisory_xact_lock_shared({cleaning})")
                found = connection.execute(f"SELECT head FROM {self.names.store}")
            [head] = only_row(found)
            return connection.execute(*statement(head)).fetchall()

    def _wait(self, connection: Connection) -> None:
        """Wait for the write under way; the answers come with those of the next statement."""
        lock = self.names.lock(WRITING)
        connection.execute(
            f"SELECT pg_advisory_lock_shared({lock}), pg_advisory_unlock_shared({lock})"
        )
