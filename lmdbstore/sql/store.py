"""`SQLEventStore`: the public store on PostgreSQL.

Rules: these are the calls of users. Every call checks its arguments here, before anything is sent.

What a role needs, in the schema of the store (`lmdbstore` unless it is named otherwise):

    GRANT USAGE ON SCHEMA lmdbstore TO reader, writer;
    GRANT SELECT ON ALL TABLES IN SCHEMA lmdbstore TO reader, writer;
    GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA lmdbstore TO writer;

Patterns are found faster, and events saved more slowly, with an index on the trigrams of contents:

    CREATE EXTENSION pg_trgm;
    CREATE INDEX ON lmdbstore.events USING gin (lower(content) gin_trgm_ops);

Making a store needs the right to make a schema in the database (`GRANT CREATE ON DATABASE`), or an
empty schema of that name that the role owns.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal

from lmdbstore.contract.api import EventStore
from lmdbstore.contract.asking.retained import checked_retained
from lmdbstore.contract.checking import (
    checked_all,
    checked_checkpoints,
    checked_id,
    checked_ids,
    checked_on_duplicate,
)
from lmdbstore.contract.closing import closing_busy
from lmdbstore.contract.commits.cursor_calls import CursorCalls
from lmdbstore.contract.commits.position import Present
from lmdbstore.errors import (
    EventReadException,
    ReadOnlyStore,
    shown,
)
from lmdbstore.opening.options import checked_limit, one_of
from lmdbstore.threads.deadline import Deadline
from lmdbstore.threads.reentry import reentry

from .options import checked_size, checked_standby, checked_statement_timeout
from .reading.feed import SQLFeed
from .reading.snapshot import SQLSnapshot
from .reading.state import Reader
from .reading.view import SQLView
from .server.link import Link, Settings, checked_address, connect
from .server.names import Names, checked_schema
from .server.schema import open_schema
from .writing.changes import SAVES, Remove, RemoveOne
from .writing.commit import Committer
from .writing.cursors import CursorTexts
from .writing.group import Group
from .writing.purge import Purge, PurgedRows, held_after

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from uuid import UUID

    from lmdbstore.contract.commits.follower import Feed
    from lmdbstore.contract.commits.position import Lineage
    from lmdbstore.contract.event import Event
    from lmdbstore.contract.query import Query
    from lmdbstore.contract.types import (
        Checkpoint,
        OnDuplicate,
        SaveResult,
        Strings,
        Time,
        Timeout,
    )

    from .writing.changes import Change
    from .writing.purge import Progress

__all__ = ["SQLEventStore"]

Consistency = Literal["strict", "snapshot"]
POOL_SIZE = 10


class _Open:
    """What one process has open: its connections, and its queue of writers."""

    def __init__(self, link: Link, committer: Committer) -> None:
        self.pid = os.getpid()
        self.link = link
        self.group = Group(committer)


class SQLEventStore(SQLView, CursorCalls, EventStore):
    """An event store on PostgreSQL, for programs on any number of machines.

    It keeps the whole contract of `EventStore`. Any number of threads may use one store object, and
    any number of processes on any machines one store. One writes at a time; threads of a process
    that write at the same moment share a transaction. Readers never delay each other.

    Durable: when a write returns it is committed, as durably as the server is set up to be: by
    default it is flushed to its disk, and with synchronous standbys (`synchronous_standby_names`)
    to theirs. If the answer to a commit does not come, the write raises EventWriteException, which
    says that the outcome is unknown; it may be repeated with `on_duplicate="ignore"`.

    Visible: with `consistency="strict"` a read that begins while a write is under way, on any
    machine, waits for its end. With `"snapshot"` it waits for no write and sees the last published
    state, which includes every write that has returned. A server that is a standby replays writes
    later, and other machines' locks are not known there: it can only be opened for reading and with
    `"snapshot"`, and shows a past state, whole writes only.

    Waits: `timeout`, in seconds, bounds the wait for others, as in `LMDBEventStore`, and for a
    connection while all are in use. For one to be made a call waits at most 30 s. If a connection
    is found broken, a read is tried again on another one, and a write too if it had not begun. A
    machine that dies while it writes holds up the others until the server notices, within two
    minutes. A server whose machine or network is gone is noticed in the same time. No limit counts
    while a server keeps a connection and does not answer: a call that has asked it waits until it
    answers or the connection breaks. Opening waits for a connection as long as `connect_timeout` in
    the address says, 130 s without.

    A snapshot uses a connection until it is closed, and on one server a transaction: it keeps
    VACUUM from removing what it sees, and ends if a statement of it fails or is interrupted.

    Several servers: see `lmdbstore.sql.server.shards`. There a read may also wait while deleted
    events are removed, for a moment.

    A store pickles as its address and options: the address may have a password. After `fork` the
    child opens connections of its own at its first call; it cannot use the parent's snapshots.
    """

    def __init__(  # noqa: PLR0913
        self,
        address: str,
        *,
        schema: str = "lmdbstore",
        create: bool = True,
        readonly: bool = False,
        consistency: Consistency = "strict",
        pool_size: int = POOL_SIZE,
        statement_timeout: float | None = None,
        timeout: float | None = None,
    ) -> None:
        """Open the store.

        Args:
            address: `postgresql://user@host:port/database`, or what else libpq takes: several hosts
                (with `target_session_attrs=read-write` it finds the primary), a service, TLS
                (`sslmode=verify-full`). Passwords are best in a password file or PGPASSWORD.
            schema: The schema in which the tables of the store are.
            create: Make a store if there is none.
            readonly: Never write; the store must exist.
            consistency: `"strict"` or `"snapshot"`; see the class.
            pool_size: Connections at most. Threads wait for each other when all are in use; an open
                snapshot uses one.
            statement_timeout: Seconds after which the server ends a statement, its wait for another
                writer included; None: as it is set.
            timeout: Seconds that this and every call may wait for others; None: for ever.

        Raises:
            InvalidOption: an option has an invalid value.
            OpenBusy: others wrote, or made the store, until the time limit.
            StoreOpenError: the server cannot be reached or refuses, or there is no store, or one of
                another version, or the server is a standby and the options ask for more than that.
        """
        self._address = checked_address(address)
        self._options: dict[str, Any] = {
            "schema": checked_schema(schema),
            "create": one_of("create", create, (True, False)),
            "readonly": one_of("readonly", readonly, (True, False)),
            "consistency": one_of("consistency", consistency, ("strict", "snapshot")),
            "pool_size": checked_size(pool_size),
            "statement_timeout": checked_statement_timeout(statement_timeout),
            "timeout": checked_limit(timeout),
        }
        self._limit = self._options["timeout"]
        self._settings = Settings(
            self._address, size=pool_size, statement_timeout=self._options["statement_timeout"]
        )
        names = Names(schema)
        strict = consistency == "strict"
        with connect(self._address) as connection:
            opened = open_schema(
                connection,
                names,
                may_create=create and not readonly,
                may_write=not readonly,
                deadline=Deadline(self._limit),
            )
        if opened.standby:
            checked_standby(sharded=opened.sharded, strict=strict, readonly=readonly)
        self._standby = self._settings.standby = opened.standby
        self._names = names
        self._sharded = self._settings.sharded = opened.sharded
        self._own = self._connected()
        reader = Reader(self._link_to_read, names, sharded=opened.sharded, strict=strict)
        self._cursor_store = CursorTexts(self._link, names)
        super().__init__(reader, opened.lineage)

    @property
    def standby(self) -> bool:
        """Whether the server was a standby when the store was opened: it shows a past state."""
        return self._standby

    def _connected(self) -> _Open:
        committer = Committer(self._link, self._names, sharded=self._sharded)
        return _Open(Link(self._settings), committer)

    def _current(self) -> _Open:
        """Return what this process has open; a forked child opens its own."""
        found = self._own
        if found.pid != os.getpid():
            _left.append(found)  # its connections are the parent's: they are not closed here
            found = self._own = self._connected()
        return found

    def _link(self) -> Link:
        self._check_open()
        return self._current().link

    def _link_to_read(self) -> Link:
        """Return the pool, for a read: a signal handler must not wait for its own thread."""
        self._check_open()
        own = self._current()
        if own.group.leads_here and self._options["consistency"] == "strict":
            raise reentry(EventReadException, "a read")
        return own.link

    # -- writing ----------------------------------------------------------------------------------

    def save(
        self, event: Event, *, on_duplicate: OnDuplicate = "raise", timeout: Timeout = ...
    ) -> None:
        self.save_many([event], on_duplicate=on_duplicate, timeout=timeout)

    def save_many(
        self,
        events: Iterable[Event],
        *,
        on_duplicate: OnDuplicate = "raise",
        checkpoint: Checkpoint | None = None,
        timeout: Timeout = ...,
    ) -> SaveResult:
        self._check_writable()
        self._waiting(timeout)  # refuses a wrong one before it reads the events
        kind, noted = SAVES[checked_on_duplicate(on_duplicate)], checked_checkpoints(checkpoint)
        change = kind(list(checked_all(events)), noted)
        self._write(change, self._waiting(timeout))
        return change.result

    def delete(self, event_id: str | UUID, *, timeout: Timeout = ...) -> None:
        wait = self._waiting(timeout)
        self._check_writable()
        self._write(RemoveOne([checked_id(event_id)]), wait)

    def delete_many(self, ids: Iterable[str | UUID], *, timeout: Timeout = ...) -> int:
        self._waiting(timeout)
        self._check_writable()
        change = Remove(checked_ids(ids))
        self._write(change, self._waiting(timeout))
        return change.removed

    def purge(  # noqa: PLR0913
        self,
        before: Time | None = None,
        *,
        max_events: int | None = None,
        flags: Strings | None = None,
        keep_flags: Strings | None = None,
        any_flags: Strings | None = None,
        source: str | None = None,
        match: str | None = None,
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> PurgedRows:
        """Delete the oldest events: those that are too old, or too many.

        It does what `LMDBEventStore.purge` does, and its arguments mean the same. It writes in
        transactions of at most 8,192 events, and other writes may come between them. If it stops,
        what it has deleted is gone, and the next call continues. Events saved in the meantime stay,
        and so do those that a named cursor holds. The server uses the space again after its next
        VACUUM.

        Raises:
            InvalidQuery: an argument is invalid, or none says which events to delete.
            WriteBusy, StoreClosed, ReadOnlyStore, EventReadException: as usual.
        """
        limits = checked_retained(
            before,
            max_events,
            flags,
            keep_flags,
            any_flags,
            source=source,
            match=match,
            dry_run=dry_run,
            progress=progress,
            limits="before= or max_events=",
        )
        self._check_open()
        if not dry_run:
            self._check_writable()
        held = held_after(self._cursor_store.texts(self._waiting()))
        purge = Purge(self._reader, limits, held, self._waiting)
        return purge.run(None if dry_run else self._write, progress)

    def _write(self, change: Change, deadline: Deadline) -> None:
        self._check_open()
        self._current().group.write(change, deadline)

    def _check_writable(self) -> None:
        self._check_open()
        if self._options["readonly"]:
            raise ReadOnlyStore("the store was opened with readonly=True; open it without")

    # -- the order of commits ---------------------------------------------------------------------

    def _present(self) -> Present:
        self._check_open()
        return Present(self._lineage, self._reader.present(waits=False))

    def _present_after_writes(self, wait: Deadline | None) -> Present:
        self._check_open()
        return Present(self._lineage, self._reader.present(wait or self._waiting()))

    def _feed(self, lineage: Lineage, after: int, until: int | None, query: Query) -> Feed[Event]:
        return SQLFeed(self._reader, lineage, after, until, query)

    def _cursor_text(self, name: str) -> str | None:
        self._check_open()
        return self._cursor_store.text(name)

    def _cursor_texts(self, wait: Deadline | None) -> dict[str, str]:
        self._check_open()
        return self._cursor_store.texts(wait or self._waiting())

    def _change_cursor(
        self,
        name: str,
        change: Callable[[str | None], str | None],
        wait: Deadline | None = None,
    ) -> None:
        self._check_writable()
        self._cursor_store.change(name, change, wait or self._waiting())

    def _process(self) -> str:
        return _this_process()

    def _has_ended(self, process: str) -> bool:  # noqa: ARG002
        """Return False: it may be on another machine. Its lease ends."""
        return False

    # -- states, and the end ----------------------------------------------------------------------

    def snapshot(self, *, timeout: Timeout = ...) -> SQLSnapshot:
        wait = self._waiting(timeout)
        self._check_open()
        return self._track(
            SQLSnapshot(
                self._reader, self._link_to_read, self._lineage, wait, sharded=self._sharded
            )
        )

    def close(self, *, timeout: Timeout = ...) -> None:
        wait = self._waiting(timeout)
        super().close()
        if self._own.pid == os.getpid():
            if not self._own.link.wait_for_calls(wait):
                raise closing_busy("the store", wait, "calls of other threads of this process")
            self._own.link.close()

    def __reduce__(self) -> Any:
        """Pickle as the address and the options."""
        return _reopened, (self._address, self._options)

    def __repr__(self) -> str:
        """The schema, and whether it is closed; an address may have a password."""
        closed = ", closed" if self._closed else ""
        return f"<SQLEventStore in the schema {shown(self._names.plain)}{closed}>"


_left: list[_Open] = []  # of the parent of a forked child
_processes: dict[int, str] = {}


def _this_process() -> str:
    """Return a name for this process, unique for ever."""
    pid = os.getpid()
    return _processes.setdefault(pid, f"sql-{os.urandom(16).hex()}")


def _reopened(address: str, options: dict[str, Any]) -> SQLEventStore:
    return SQLEventStore(address, **options)
