"""A batch in the server: one transaction, or several where the events are on several servers.

Rules: a writer holds the lock of the store from before it looks until what it wrote is published.
On one server the events, and the number that publishes them, are one transaction. On several
servers the shards commit one after the other, and readers must not see that. There a first
transaction reserves the numbers; a second one writes the events; when all shards have committed,
and all rows are there, a third one publishes the last number. A writer that finds numbers reserved
above the published one comes after one that stopped in between: it waits until no shard has a
transaction of that one left, removes what it saved, and gives back what it deleted. Nobody has seen
either, so a write that fails before its publication is not written.

What is deleted is kept, marked with the number of its deletion, while a snapshot is open, and on
several servers also until the deletion is published.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg

from lmdbstore.errors import EventWriteException, WriteBusy
from lmdbstore.sql.server.failures import NOTHING, failed_write, is_broken, unknown_outcome
from lmdbstore.sql.server.link import ATTEMPTS, may_be_repeated
from lmdbstore.sql.server.schema import CLEANING, WRITING
from lmdbstore.sql.texts import key, stored

from .changes import Batch
from .group import Job
from .rows import insert_events

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from psycopg.errors import Diagnostic

    from lmdbstore.errors import EventStoreException
    from lmdbstore.sql.server.link import Connection, Link
    from lmdbstore.sql.server.schema import Names
    from lmdbstore.threads.deadline import Deadline


__all__ = ["Committer"]

IDS = 10_000  # that are looked up at once
LOOK = 0.05  # seconds between two looks at transactions that are left on shards


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
            self(lambda job=job: [job], deadline)  # type: ignore[misc]  # bound at once


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

    def _limit_waits(self) -> None:
        if self._deadline.limit is not None:
            milliseconds = str(max(1, int(self._deadline.left * 1000)))
            local = "SELECT set_config('lock_timeout', %s, %s)"
            self._connection.execute(local, [milliseconds, self._is_local])

    _is_local = True  # whether a setting ends with the transaction

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

    def _may_clean(self) -> bool:
        """Whether nobody needs what was deleted, until the end of the transaction."""
        lock = self._names.lock(CLEANING)
        row = self._connection.execute(f"SELECT pg_try_advisory_xact_lock({lock})").fetchone()
        return bool(row and row[0])

    def _mark(self, batch: Batch, died: int) -> None:
        self._connection.execute(
            f"UPDATE {self._names.events} SET died = %s WHERE id = ANY(%s) AND died IS NULL",
            [died, list(batch.gone)],
        )

    def _publish(self, batch: Batch, head: int, *, clean: bool) -> None:
        """Put the checkpoints and the number of the last event; then commit."""
        connection, checkpoints = self._connection, self._names.checkpoints
        if batch.checkpoints:
            there = f"{checkpoints} WHERE key = ANY(%s) AND died IS NULL"
            keys = list(map(key, batch.checkpoints))
            if clean:
                connection.execute(f"DELETE FROM {there}", [keys])
                connection.execute(f"DELETE FROM {checkpoints} WHERE died IS NOT NULL")
            else:
                marked = there.replace(" WHERE", f" SET died = {head} WHERE")
                connection.execute(f"UPDATE {marked}", [keys])
            connection.execute(
                f"INSERT INTO {checkpoints} (key, since, name, body) "
                "SELECT key, %s, name, body FROM unnest(%s::text[], %s::text[], %s::text[]) "
                "AS new (key, name, body)",
                [head, keys, *(list(map(stored, each)) for each in _columns(batch.checkpoints))],
            )
        connection.execute(f"UPDATE {self._names.store} SET head = %s", [head])

    def _commit(self) -> None:
        """Commit; the server's limit for statements does not count for its wait for a standby."""
        self._connection.execute("COMMIT")

    @contextmanager
    def _confirmed(self) -> Iterator[None]:
        """Tell a commit that is not confirmed: no answer, or one with a warning.

        The server warns, and reports success, if a wait for a standby was cut short.
        """
        warned: list[str] = []

        def note(notice: Diagnostic) -> None:  # which can be read now only
            if notice.severity_nonlocalized == "WARNING":
                warned.append(notice.message_primary or "")

        self._connection.add_notice_handler(note)
        try:
            yield
        except psycopg.Error as error:
            if is_broken(error):
                raise unknown_outcome(error) from error
            raise
        finally:
            self._connection.remove_notice_handler(note)
        for warning in warned:
            raise unknown_outcome(EventWriteException(warning))


class _Single(_Work):
    """A write to a store on one server."""

    @contextmanager
    def locked(self) -> Iterator[None]:
        with self._connection.pipeline():
            self._connection.execute("BEGIN")
            self._limit_waits()
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
            found = connection.execute(f"SELECT head FROM {names.store}")
            present = self._present(jobs)
        [[head]] = found.fetchall()
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
        clean = bool(batch.gone or batch.checkpoints) and self._may_clean()
        last = head + len(batch.new)
        if not clean:  # what goes gets a number that no snapshot has
            last = max(last, head + 1)
        with self._confirmed(), connection.pipeline():
            if batch.gone and clean:
                connection.execute(
                    f"DELETE FROM {events} WHERE id = ANY(%s) AND died IS NULL", [list(batch.gone)]
                )
                connection.execute(f"DELETE FROM {events} WHERE died IS NOT NULL")
            elif batch.gone:
                self._mark(batch, last)
            insert_events(connection, events, batch.new, head)
            self._publish(batch, last, clean=clean)
            self._commit()


class _Sharded(_Work):
    """A write to a store on several servers."""

    _is_local = False

    @contextmanager
    def locked(self) -> Iterator[None]:
        lock = self._names.lock(WRITING)
        with self._connection.pipeline():
            self._limit_waits()
            self._connection.execute(f"SELECT pg_advisory_lock({lock})")
        yield  # a connection on which this raises is closed
        with self._connection.pipeline():
            self._connection.execute(f"SELECT pg_advisory_unlock({lock})")
            self._connection.execute("RESET lock_timeout")

    def carry_out(self, jobs: Sequence[Job]) -> None:
        """See `_Work`."""
        connection, names = self._connection, self._names
        [[head, reserved]] = connection.execute(
            f"SELECT head, reserved FROM {names.store}"
        ).fetchall()
        if reserved > head:
            self._recover(head)
        batch = Batch(self._present(jobs))
        outcomes = [(job, job.change.apply(batch)) for job in jobs]
        if batch.changes_something:
            base = max(head, reserved)
            last = base + max(len(batch.new), 1)  # what goes gets a number that no snapshot has
            self._write(batch, head, base, last)
        for job, error in outcomes:
            job.end(error)

    def _recover(self, head: int) -> None:
        """Undo what a writer left that stopped before it published."""
        connection, events = self._connection, self._names.events
        while True:
            [[busy]] = connection.execute(f"SELECT count(*) FROM {self._names.busy}").fetchall()
            if not busy:
                break
            if not self._deadline.left:
                raise WriteBusy(
                    f"the store is busy: waited {self._deadline.limit or 0:.3g} s for "
                    f"{busy} transactions on shards, which a writer has left; {NOTHING}; commit or "
                    "roll back prepared transactions there, or wait longer (timeout=)"
                )
            time.sleep(LOOK)
        with connection.transaction():
            connection.execute(f"DELETE FROM {events} WHERE seq > %s", [head])
            connection.execute(f"UPDATE {events} SET died = NULL WHERE died > %s", [head])

    def _write(self, batch: Batch, head: int, base: int, last: int) -> None:
        connection, names = self._connection, self._names
        if batch.new or batch.gone:
            connection.execute(f"UPDATE {names.store} SET reserved = %s", [last])
            with connection.transaction():
                if batch.gone:
                    if self._may_clean():
                        connection.execute(f"DELETE FROM {names.events} WHERE died <= %s", [head])
                    self._mark(batch, last)
                insert_events(connection, names.events, batch.new, base)
            self._check(batch, base, last)
        with self._confirmed(), connection.pipeline():
            connection.execute("BEGIN")
            self._publish(batch, last, clean=bool(batch.checkpoints) and self._may_clean())
            self._commit()

    def _check(self, batch: Batch, base: int, last: int) -> None:
        """Check that every row is there: a shard may still be committing what it has prepared."""
        wanted = len(batch.new), len(batch.gone)
        while True:
            [found] = self._connection.execute(
                "SELECT count(*) FILTER (WHERE seq > %s), count(*) FILTER (WHERE died = %s) "
                f"FROM {self._names.events} WHERE (seq > %s AND seq <= %s) OR died = %s",
                [base, last, base, last, last],
            ).fetchall()
            if found == wanted:
                return
            if not self._deadline.left:
                raise EventWriteException(
                    f"the shards have {found} of {wanted} rows that were committed there; "
                    f"{NOTHING}; see to the shards, and repeat it"
                )
            time.sleep(LOOK)
