"""Servers and connections that fail: what is said, what is tried again, and what is unknown."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from lmdbstore import (
    DuplicateEvent,
    Event,
    EventReadException,
    EventStoreException,
    EventWriteException,
    InvalidEvent,
    ReadOnlyStore,
)
from lmdbstore.sql.server import link
from lmdbstore.sql.store import SQLEventStore
from lmdbstore.sql.writing import commit
from lmdbstore.sql.writing.rows import insert_events
from lmdbstore.testing.helpers import ids, in_threads
from tests.sql.other_writer import OtherWriter
from tests.sql.servers import HOST
from tests.tools.children import in_child, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lmdbstore import EventStore
    from tests.sql.servers import Server, Servers

KILL_ALL = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"


def cut(address: str) -> None:
    """End all connections of others."""
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(KILL_ALL + " AND backend_type = 'client backend'")


@contextmanager
def stopping(server: Server) -> Iterator[None]:
    """Stop a server at the end of a test."""
    try:
        yield
    finally:
        server.stop()


def test_calls_go_on_after_connections_broke(store: EventStore, address: str) -> None:
    in_threads(*(lambda n=n: store.save(Event(str(n))) for n in range(6)))
    cut(address)
    assert len(store) == 6
    cut(address)
    store.save(Event("x"))
    cut(address)
    store.delete("x")
    cut(address)
    with store.snapshot() as view:
        assert len(view) == 6
    cut(address)
    assert len(list(store.changes("start"))) == 6
    cut(address)
    with store.cursor("c", timeout=0) as cursor:
        assert len(list(cursor)) == 6
        cut(address)
        cursor.ack()


def answers(store: EventStore) -> bool:
    """Whether a store can be read: between two attempts to connect the pool pauses, up to 5 s."""
    try:
        store.count()
    except EventReadException:
        return False
    return True


def test_a_server_that_is_started_again_is_found_again(servers: Servers, schema: str) -> None:
    server = servers.get("restarted")
    with stopping(server), SQLEventStore(server.address, schema=schema, timeout=1.0) as store:
        store.save(Event("a"))
        server.stop()
        with pytest.raises(EventReadException, match="cannot be reached"):
            store.get("a")
        with pytest.raises(EventWriteException, match=r"cannot be reached.*nothing was written"):
            store.save(Event("b"))
        server.start()
        until(lambda: answers(store), "the server is not found again")
        store.save(Event("b"))
        assert sorted(ids(store.search())) == ["a", "b"]


@pytest.mark.parametrize(("given", "idle"), [("", 60), ("&keepalives_idle=7", 7)])
def test_a_network_that_is_gone_is_noticed(
    servers: Servers, schema: str, given: str, idle: int
) -> None:
    """The kernel notices it, on both sides; what the address says comes first."""
    server = servers.listening("noticed", tls=False)
    address = f"postgresql://postgres:secret@{HOST}:{server.port}/postgres?sslmode=disable{given}"
    with psycopg.connect(server.address, autocommit=True) as connection:
        connection.execute("ALTER ROLE postgres PASSWORD 'secret'")
    with SQLEventStore(address, schema=schema) as store, store._link().connection(None) as used:
        with socket.socket(fileno=os.dup(used.fileno())) as opened:
            for option, value in (
                (socket.TCP_KEEPIDLE, idle),
                (socket.TCP_KEEPINTVL, 15),
                (socket.TCP_KEEPCNT, 4),
                (socket.TCP_USER_TIMEOUT, 120_000),
            ):
                assert opened.getsockopt(socket.IPPROTO_TCP, option) == value
        names = ("tcp_keepalives_idle", "tcp_keepalives_count", "tcp_user_timeout")
        shown = [used.execute(f"SHOW {name}").fetchone() for name in names]
        assert shown == [("60",), ("4",), ("120000",)]


def test_a_shard_that_is_away_fails_what_needs_it(
    servers: Servers, shard_servers: tuple[Server, Sequence[Server]], schema: str
) -> None:
    from lmdbstore.sql.server.shards import create_sharded

    coordinator, (shard, *_) = shard_servers
    away = servers.get("away")
    create_sharded(coordinator.address, [shard.address, away.address], schema=schema)
    with stopping(away), SQLEventStore(coordinator.address, schema=schema, timeout=2.0) as store:
        store.save_many(Event(f"old{n}") for n in range(20))
        away.stop(signal.SIGKILL)
        with pytest.raises(EventWriteException, match="nothing was written"):
            store.save_many(Event(f"new{n}") for n in range(20))
        with pytest.raises(EventReadException):
            ids(store.search())
        away.start()
        assert len(store) == 20
        store.save_many(Event(f"new{n}") for n in range(20))
        assert len(store) == 40
        assert len(ids(store.search())) == 40


def test_a_snapshot_ends_with_its_connection(store: EventStore, address: str) -> None:
    """What was deleted since may be gone."""
    store.save(Event("a"))
    with store.snapshot() as view:
        cut(address)
        store.delete("a")
        with pytest.raises(EventReadException, match=r"connection is lost.*take a new one"):
            view.get("a")


def test_a_commit_without_an_answer_is_unknown(
    store: EventStore, address: str, single_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was committed here: so the same save is harmless with `on_duplicate`."""
    confirm, left = commit._Work._commit, [address != single_server.address]

    def lost(self: Any) -> None:
        confirm(self)
        if any(left):  # shards: that of the reservation
            left.pop()
            return
        # After the server's answer was sent, before it is read.
        self._connection.pgconn.pipeline_sync()
        until(lambda: committed(address, store), "it is committed")
        os.close(os.dup(self._connection.fileno()))
        self._connection.pgconn.finish()

    monkeypatch.setattr(commit._Work, "_commit", lost)
    with pytest.raises(EventWriteException, match=r"not confirmed.*not known whether.*repeated"):
        store.save(Event("a"))
    monkeypatch.undo()
    with pytest.raises(DuplicateEvent):
        store.save(Event("a"))
    assert store.save_many([Event("a")], on_duplicate="ignore").ignored == 1


def committed(address: str, store: EventStore) -> bool:
    names = store._names  # type: ignore[attr-defined]
    with OtherWriter(address, names.plain) as other:
        return other.head() > 0


def test_a_warning_at_a_commit_is_no_confirmation(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the server reports a wait for a standby that was cut short."""
    confirm = commit._Work._commit

    def warned(self: Any) -> None:
        self._connection.execute("DO $$ BEGIN RAISE WARNING 'canceling wait'; END $$")
        confirm(self)

    monkeypatch.setattr(commit._Work, "_commit", warned)
    with pytest.raises(EventWriteException, match="not confirmed: canceling wait"):
        store.save(Event("a"))


def test_one_change_that_the_server_refuses_fails_alone(
    store: EventStore, address: str, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert = insert_events

    def refuse(connection: Any, events: str, new: dict[str, Event], base: int) -> None:
        insert(connection, events, new, base)
        if "bad" in new:
            connection.execute("SELECT 'x'::integer")

    monkeypatch.setattr(commit, "insert_events", refuse)
    errors: list[EventStoreException] = []

    def save_bad() -> None:
        with pytest.raises(InvalidEvent, match="nothing was written") as info:
            store.save(Event("bad"))
        errors.append(info.value)

    with OtherWriter(address, schema) as other:
        other.lock()

        def release() -> None:
            queue = store._own.group._queue  # type: ignore[attr-defined]
            until(lambda: len(queue) == 4, "they do not wait")
            other.unlock()

        good = [partial(store.save, Event(f"good{n}")) for n in range(3)]
        in_threads(release, save_bad, *good)
    assert len(errors) == 1
    assert sorted(ids(store.search())) == ["good0", "good1", "good2"]


def test_a_statement_that_takes_too_long_is_ended(single: str, schema: str) -> None:
    with SQLEventStore(single, schema=schema) as store:
        store.save_many(Event(str(n)) for n in range(10))
    with SQLEventStore(single, schema=schema, statement_timeout=0.5) as store:
        with OtherWriter(single, schema) as other:
            other.connection.execute("BEGIN")
            other.connection.execute(f"LOCK TABLE {other.names.events}")
            with pytest.raises(EventReadException, match="statement_timeout"):
                store.get("1")
            with pytest.raises(EventWriteException, match=r"nothing was written.*timeout"):
                store.save(Event("new"))
        assert store.get("1").id == "1"


def test_a_server_that_only_reads_says_so(single: str, schema: str) -> None:
    SQLEventStore(single, schema=schema).close()
    options = "&options=-c%20default_transaction_read_only%3Don"
    with SQLEventStore(single + options, schema=schema) as store:
        with pytest.raises(ReadOnlyStore, match="target_session_attrs=read-write"):
            store.save(Event("a"))
        assert len(store) == 0


def backend(store: EventStore) -> int:
    """Return the process of the server that a connection of the store has."""
    with store._link().connection(None) as connection:  # type: ignore[attr-defined]
        return int(connection.info.backend_pid)


def test_a_forked_child_has_connections_of_its_own(store: EventStore) -> None:
    store.save(Event("before"))
    with store.snapshot() as view:
        search, of_parent = view.search(), backend(store)

        def child() -> None:
            assert backend(store) != of_parent
            with pytest.raises(EventReadException, match="forked child"):
                next(search)
            assert ids(store.search()) == ["before"]
            store.save(Event("child", timestamp=1.0))
            with pytest.raises(EventReadException, match="forked child"):
                view.get("before")
            store.close()

        in_child(child)
        assert ids(view.search()) == ["before"]
    assert ids(store.search()) == ["child", "before"]
    store.save(Event("after"))


@pytest.mark.parametrize("write", [True, False])
def test_an_interrupt_between_two_statements_does_not_wait_for_the_first(
    store: SQLEventStore, address: str, schema: str, monkeypatch: pytest.MonkeyPatch, *, write: bool
) -> None:
    """The first one waits for a lock, and Ctrl-C comes before its answer is waited for."""
    execute, struck = link.Connection.execute, []

    def strike(self: Any, query: str, *arguments: Any) -> Any:
        found = execute(self, query, *arguments)
        if "advisory" in query and "unlock_all" not in query:
            until(lambda: other.waiting() > 0, "it waits")
            struck.append(query)
            raise KeyboardInterrupt
        return found

    with OtherWriter(address, schema) as other:
        other.lock()
        call = partial(store.save, Event("a")) if write else partial(store.get, "a", None)
        with monkeypatch.context() as patched:
            patched.setattr(link.Connection, "execute", strike)
            with pytest.raises(KeyboardInterrupt):
                call()
        assert struck
        until(lambda: other.waiting() == 0, "the server has ended the statement")
        other.unlock()
    assert len(store) == 0
    store.save(Event("a"))
    assert len(store) == 1


def test_an_interrupt_while_it_waits_leaves_the_store_usable(
    store: EventStore, address: str, schema: str
) -> None:
    class Interrupt(BaseException):
        pass

    def strike(*_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        raise Interrupt

    before = signal.signal(signal.SIGALRM, strike)
    try:
        with OtherWriter(address, schema) as other:
            other.lock()
            calls: list[Callable[[], object]] = [
                lambda: store.save(Event("a")),
                lambda: store.get("a", None),
            ]
            for call in calls:
                signal.setitimer(signal.ITIMER_REAL, 0.2, 0.2)
                with pytest.raises(Interrupt):
                    call()
            other.unlock()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert len(store) == 0
    store.save(Event("a"))
    assert len(store) == 1
