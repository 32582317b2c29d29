"""A batch in the server: one transaction, or several where the events are on several servers.

Rules: a writer holds the lock of the store from before it looks until what it wrote is published.
On one server the events, and the number that publishes them, are one transaction. On several
servers the shards commit one after the other, and readers must not see that. There a first
transaction reserves the numbers; a second one writes the events; when all shards have committed,
and all rows are there, a third one publishes the last number. A writer that finds numbers reserved
above the published one comes after one that stopped in between: it waits until no shard has a
transaction of that one left, removes what it saved, and gives back what it deleted. Nobody has seen
either, so a write that fails before its publication is not written.

There what is deleted is marked with the number of its deletion; it is removed later, when nobody
needs it.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from contextlib import contextmanager
from operator import gt
from typing import TYPE_CHECKING

import psycopg

from lmdbstore.errors import EventStoreException, EventWriteException, WriteBusy
from lmdbstore.sql.server.failures import NOTHING, failed_write, is_broken, only_row, reason
from lmdbstore.sql.server.link import ATTEMPTS, limit_locks, may_be_repeated
from lmdbstore.sql.server.migrations import check_version
from lmdbstore.sql.server.names import CLEANING, WRITING
from lmdbstore.sql.texts import key, stored
from lmdbstore.threads.deadline import Deadline

from .changes import Batch
from .confirmed import confirmed
from .group import Job
from .rows import insert_events

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from lmdbstore.sql.server.link import Connection, Link
    from lmdbstore.sql.server.names import Names


__all__ = ["Committer"]

IDS = 10_000  # that are looked up at once
LOOK = 0.05  # seconds between two looks at shards
PATIENCE = 30.0  # seconds for shards to show what they have committed
# A number above another one. No number is above the upper bound: but before the first ANALYZE a
# server uses an index for a range, and would read the whole table for a bound of one side.
ABOVE = f"({{0}} > %s AND {{0}} <= {(1 << 63) - 1})"
SAVED, DIED = ABOVE.format("seq"), ABOVE.format("died")


class Committer:
    """Carries out batches; see `group.Carrier`."""

    def __init__(self, link: Callable[[], Link], names: Names, *, sharded: bool) -> None:
        """Write through `link()`."""
        self._link = link
        self._names = names
        self._work = _Sharded if sharded else _Single

    def __call__(self, take: Callable[[], list[Job]], deadline: Deadline) -> None:
        """Wait for the lock, take the batch and carry it out.

        Raises:
            EventStoreException: nothing was taken.
        """
        for attempt in range(ATTEMPTS):
            link, jobs = self._link(), list[Job]()
            try:
                with link.connection(deadline) as connection:
                    work = self._work(connection, self._names, deadline)
                    with work.locked():
                        jobs += take()
                        work.carry_out(jobs)
            except psycopg.Error as error:
                if jobs:
                    self._failed(jobs, error, deadline)
                elif not may_be_repeated(error) or attempt == ATTEMPTS - 1:
                    raise failed_write(error, deadline) from error
                else:
                    link.check()
                    continue
            except EventWriteException as error:
                if not jobs:
                    raise
                _end(jobs, error)
            return

    def _failed(self, jobs: Sequence[Job], error: psycopg.Error, deadline: Deadline) -> None:
        """Report a failure; if one change may be the reason, try each alone."""
        if len(jobs) == 1 or is_broken(error):
            refusal = failed_write(error, deadline)
            refusal.__cause__ = error
            _end(jobs, refusal)
            return
        for job in jobs:
            if not job.done:  # it may be that what failed came after the commit
                try:
                    self(lambda job=job: [job], deadline)  # type: ignore[misc]  # bound at once
                except EventStoreException as failure:  # before it was taken
                    _end([job], failure)


def _end(jobs: Sequence[Job], error: EventStoreException) -> None:
    """Report to each its own exception, since each is raised in another thread."""
    for job in jobs:
        if not job.done:
            own = type(error)(*error.args)
            own.__cause__ = error.__cause__
            job.end(own)


def _columns(checkpoints: dict[str, str]) -> tuple[list[str], list[str]]:
    return list(checkpoints), list(checkpoints.values())


class _Work(ABC):
    """One write on a connection."""

    def __init__(self, connection: Connection, names: Names, deadline: Deadline) -> None:
        self._connection, self._names, self._deadline = connection, names, deadline

    @abstractmethod
    def locked(self) -> AbstractContextManager[None]:
        """Hold the lock of the store; raises LockNotAvailable."""

    @abstractmethod
    def carry_out(self, jobs: Sequence[Job]) -> None:
        """Carry out a batch, and report to each job its outcome.

        Raises:
            psycopg.Error: nothing was written.
            EventWriteException: the same, or it says that the outcome is unknown.
        """

    def _present(self, jobs: Sequence[Job]) -> dict[str, int]:
        """Return which keys of the changes are there, with the numbers of their events."""
        keys = list({key_ for job in jobs for key_ in job.change.keys})
        found: dict[str, int] = {}
        for at in range(0, len(keys), IDS):
            rows = self._connection.execute(
                f"SELECT id, seq FROM {self._names.events} WHERE id = ANY(%s) AND died IS NULL",
                [keys[at : at + IDS]],
            )
            found.update(rows)
        return found

    def _publish(self, batch: Batch, base: int, head: int) -> None:
        """Put the checkpoints, and the last numbers: new events have those after `base`."""
        connection, checkpoints = self._connection, self._names.checkpoints
        if batch.checkpoints:
            keys = list(map(key, batch.checkpoints))
            self._remove_checkpoints(keys, head)
            connection.execute(
                f"INSERT INTO {checkpoints} (key, since, name, body) "
                "SELECT key, %s, name, body FROM unnest(%s::text[], %s::text[], %s::text[]) "
                "AS new (key, name, body)",
                [head, keys, *(list(map(stored, each)) for each in _columns(batch.checkpoints))],
            )
        saved = base + len(batch.new) if batch.new else None
        connection.execute(
            f"UPDATE {self._names.store} SET head = %s, saved = COALESCE(%s, saved)", [head, saved]
        )

    def _remove_checkpoints(self, keys: list[str], head: int) -> None:  # noqa: ARG002
        self._connection.execute(
            f"DELETE FROM {self._names.checkpoints} WHERE key = ANY(%s)", [keys]
        )

    def _commit(self) -> None:
        """Commit; the server's limit for statements does not count for its wait for a standby."""
        self._connection.execute("COMMIT")


class _Single(_Work):
    """A write to a store on one server."""

    @contextmanager
    def locked(self) -> Iterator[None]:
        with self._connection.pipeline():
            self._connection.execute("BEGIN")
            limit_locks(self._connection, self._deadline, local=True)
            lock = self._names.lock(WRITING)
            self._connection.execute(f"SELECT pg_advisory_xact_lock({lock})")
        try:
            yield
        except psycopg.Error:
            if not self._connection.broken:
                self._connection.rollback()
            raise

    def carry_out(self, jobs: Sequence[Job]) -> None:
        """See `_Work`."""
        connection, names = self._connection, self._names
        with connection.pipeline():
            found = connection.execute(f"SELECT head, version FROM {names.store}")
            present = self._present(jobs)
        [head, version] = only_row(found)
        check_version(names, version, sharded=False)
        batch = Batch(present)
        outcomes = [(job, job.change.apply(batch)) for job in jobs]
        if not batch.changes_something:
            connection.execute("ROLLBACK")
        else:
            self._write(batch, head)
        for job, error in outcomes:
            job.end(error)

    def _write(self, batch: Batch, head: int) -> None:
        connection, events = self._connection, self._names.events
        with confirmed(connection), connection.pipeline():
            if batch.gone:
                connection.execute(f"DELETE FROM {events} WHERE id = ANY(%s)", [list(batch.gone)])
            insert_events(connection, events, batch.new, head)
            self._publish(batch, head, head + len(batch.new))
            self._commit()


class _Sharded(_Work):
    """A write to a store on several servers."""

    @contextmanager
    def locked(self) -> Iterator[None]:
        lock = self._names.lock(WRITING)
        with self._connection.pipeline():
            limit_locks(self._connection, self._deadline, local=False)
            self._connection.execute(f"SELECT pg_advisory_lock({lock})")
        self._settle()  # before a batch is taken: its limit is that of the leader alone
        yield  # a connection on which this raises is closed, or gives its locks back
        with self._connection.pipeline():
            self._connection.execute(f"SELECT pg_advisory_unlock({lock})")
            limit_locks(self._connection, None, local=False)

    def carry_out(self, jobs: Sequence[Job]) -> None:
        """See `_Work`."""
        batch = Batch(self._present(jobs))
        outcomes = [(job, job.change.apply(batch)) for job in jobs]
        if batch.changes_something:
            last = self._base + max(len(batch.new), 1)  # what goes gets a number of its own
            self._write(batch, last)
        for job, error in outcomes:
            job.end(error)
        if batch.gone or batch.checkpoints:
            self._clean()

    def _settle(self) -> None:
        """Undo what a writer left that stopped before it published."""
        [head, reserved, version] = only_row(
            self._connection.execute(f"SELECT head, reserved, version FROM {self._names.store}")
        )
        check_version(self._names, version, sharded=True)
        self._head, self._base = head, max(head, reserved)
        if reserved > head:
            self._wait_for_shards()
            self._undo()

    def _wait_for_shards(self) -> None:
        while True:
            [busy] = only_row(self._connection.execute(f"SELECT count(*) FROM {self._names.busy}"))
            if not busy:
                return
            if not self._deadline.left:
                raise WriteBusy(
                    f"the store is busy: waited {self._deadline.limit or 0:.3g} s for "
                    f"{busy} transactions on shards, which a writer has left; {NOTHING}; end its "
                    "sessions there, commit or roll back what is prepared there, or wait longer "
                    "(timeout=)"
                )
            time.sleep(LOOK)

    def _undo(self) -> None:
        connection, events = self._connection, self._names.events
        with connection.transaction():
            connection.execute(f"DELETE FROM {events} WHERE {SAVED}", [self._head])
            connection.execute(f"UPDATE {events} SET died = NULL WHERE {DIED}", [self._head])

    def _write(self, batch: Batch, last: int) -> None:
        connection = self._connection
        if batch.new or batch.gone:
            self._reserve(last)
            with connection.transaction():
                if batch.gone:
                    self._mark(batch, last)
                insert_events(connection, self._names.events, batch.new, self._base)
            self._check(batch)
        with confirmed(connection), connection.pipeline():
            connection.execute("BEGIN")
            self._publish(batch, self._base, last)
            self._commit()

    def _reserve(self, last: int) -> None:
        """Note the numbers that may be in use, no less durably than shards commit them.

        Raises:
            EventWriteException: that is not certain; nothing was written.
        """
        connection = self._connection
        try:
            with confirmed(connection), connection.pipeline():
                connection.execute("BEGIN")
                connection.execute("SELECT set_config('synchronous_commit', 'on', true)")
                connection.execute(f"UPDATE {self._names.store} SET reserved = %s", [last])
                self._commit()
        except EventWriteException as error:
            raise EventWriteException(
                f"the numbers of the events could not be reserved: {reason(error)}; {NOTHING}; "
                "call again"
            ) from error

    def _check(self, batch: Batch) -> None:
        """Check that every row is there: a shard may still be committing what it has prepared."""
        wanted = len(batch.new), len(batch.gone)
        end = Deadline(PATIENCE if self._deadline.limit is None else self._deadline.left)
        while True:
            [found] = self._connection.execute(
                "SELECT count(*) FILTER (WHERE seq > %s), count(*) FILTER (WHERE died > %s) "
                f"FROM {self._names.events} WHERE {SAVED} OR {DIED}",
                [self._head] * 4,
            ).fetchall()
            if found == wanted:
                return
            if not end.left or any(map(gt, found, wanted)):
                raise EventWriteException(
                    f"the shards have {found} of {wanted} rows that were committed there; "
                    f"{NOTHING}; see to the shards, and repeat it"
                )
            time.sleep(LOOK)

    def _mark(self, batch: Batch, died: int) -> None:
        self._connection.execute(
            f"UPDATE {self._names.events} SET died = %s WHERE id = ANY(%s) AND died IS NULL",
            [died, list(batch.gone)],
        )

    def _remove_checkpoints(self, keys: list[str], head: int) -> None:
        self._connection.execute(
            f"UPDATE {self._names.checkpoints} SET died = %s WHERE key = ANY(%s) AND died IS NULL",
            [head, keys],
        )

    def _clean(self) -> None:
        """Remove what was deleted, unless somebody needs it; what was written is published."""
        connection, names = self._connection, self._names
        with connection.transaction():
            lock = names.lock(CLEANING)
            [free] = only_row(connection.execute(f"SELECT pg_try_advisory_xact_lock({lock})"))
            if free:
                for table in (names.events, names.checkpoints):
                    connection.execute(f"DELETE FROM {table} WHERE {DIED}", [0])
