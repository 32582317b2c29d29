"""What a call says of itself is true: outcomes of writes, limits of waits, ends of calls."""

from __future__ import annotations

import gc
import signal
import threading
import time
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
    InvalidOption,
    ReadBusy,
    StoreBusy,
    StoreClosed,
    StoreOpenError,
    WriteBusy,
)
from lmdbstore.sql.server.failures import is_broken
from lmdbstore.sql.server.link import MOST_MILLISECONDS, milliseconds
from lmdbstore.sql.server.names import CLEANING
from lmdbstore.sql.server.shards import create_sharded
from lmdbstore.sql.store import SQLEventStore
from lmdbstore.sql.writing import commit
from lmdbstore.testing.helpers import ids, in_threads
from tests.sql.other_writer import OtherWriter
from tests.tools.children import until

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lmdbstore import EventStore
    from tests.sql.servers import Server

Queue = Any


def together(store: EventStore, other: OtherWriter, saves: list[Event]) -> dict[str, Any]:
    """Save events in threads that share a batch; return what each call raised."""
    found: dict[str, Any] = {}
    queue: Queue = store._own.group._queue  # type: ignore[attr-defined]

    def save(event: Event) -> None:
        found[event.id] = None
        try:
            store.save(event, timeout=30)
        except EventStoreException as error:
            found[event.id] = error

    def release() -> None:
        until(lambda: len(queue) == len(saves) and other.waiting() > 0, "they do not wait")
        other.unlock()

    other.lock()
    in_threads(release, *(partial(save, event) for event in saves))
    return found


def test_a_change_that_was_written_is_not_said_to_have_failed(
    store: EventStore, address: str, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if what failed came after the commit, or was the try of another change alone."""
    carrier = commit.Committer.__call__
    calls = 0

    def fails(self: Any, take: Any, deadline: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:  # the second of those that are tried alone
            raise WriteBusy("no lock")
        carrier(self, take, deadline)

    def refuse(connection: Any, *rest: Any) -> None:
        commit_insert(connection, *rest)
        if len(rest[1]) > 1:
            connection.execute("SELECT 'x'::integer")

    commit_insert = commit.insert_events  # type: ignore[attr-defined]
    monkeypatch.setattr(commit, "insert_events", refuse)
    monkeypatch.setattr(commit.Committer, "__call__", fails)
    with OtherWriter(address, schema) as other:
        found = together(store, other, [Event(f"e{n}") for n in range(3)])
    monkeypatch.undo()
    there = set(ids(store.search()))
    assert len(there) == 2
    for name, error in found.items():
        assert (error is None) == (name in there)
    assert [type(error) for error in found.values() if error] == [WriteBusy]


def test_an_error_after_the_commit_does_not_repeat_it(
    store: EventStore, address: str, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    carry_out = commit._Work.__subclasses__()
    for work in carry_out:
        monkeypatch.setattr(work, "carry_out", _and_then_fails(work.carry_out))
    with OtherWriter(address, schema) as other:
        found = together(store, other, [Event(f"e{n}") for n in range(3)])
    monkeypatch.undo()
    assert set(found.values()) == {None}
    assert len(store) == 3


def _and_then_fails(carry_out: Callable[..., None]) -> Callable[..., None]:
    def failing(self: Any, jobs: Any) -> None:
        carry_out(self, jobs)
        self._connection.execute("SELECT 'x'::integer")

    return failing


def test_only_the_word_error_says_that_nothing_was_committed(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy says FATAL for a server that it has lost, whatever that has done."""

    class Lost(psycopg.OperationalError):
        sqlstate = "08P01"

        @property
        def diag(self) -> Any:
            return type("Diag", (), {"severity_nonlocalized": "FATAL", "message_primary": "lost"})

    def lost(_: object) -> None:
        raise Lost("server conn crashed?")

    assert is_broken(Lost())
    monkeypatch.setattr(commit._Work, "_commit", lost)
    with pytest.raises(EventWriteException, match=r"not confirmed|could not be reserved"):
        store.save(Event("a"))


@pytest.mark.parametrize("limit", [3e6, 1e300])
def test_a_limit_may_be_longer_than_the_server_counts(store: EventStore, limit: float) -> None:
    assert milliseconds(limit) == str(MOST_MILLISECONDS)
    store.save(Event("a"), timeout=limit)
    assert store.get("a", timeout=limit).id == "a"
    with store.snapshot(timeout=limit) as view:
        assert len(view) == 1


def test_as_many_snapshots_as_connections_wait_for_nothing(single: str, schema: str) -> None:
    with SQLEventStore(single, schema=schema, pool_size=4, timeout=60) as store:
        store.save(Event("a"))
        start = threading.Barrier(4)

        def take() -> None:
            start.wait(60)
            with store.snapshot() as view:
                start.wait(60)  # all are open
                assert len(view) == 1

        in_threads(*[take] * 4)


def test_who_waits_for_a_connection_is_told_that_the_store_is_busy(
    single: str, schema: str
) -> None:
    with SQLEventStore(single, schema=schema, pool_size=2) as store:
        with store.snapshot(), store.snapshot():
            with pytest.raises(ReadBusy, match=r"all 2 connections.*pool_size"):
                store.get("a", None, timeout=0)
            with pytest.raises(WriteBusy, match=r"all 2 connections.*nothing was written"):
                store.save(Event("a"), timeout=0)
        assert store.get("a", None) is None


def test_snapshots_that_are_dropped_leave_their_connections(single: str, schema: str) -> None:
    with SQLEventStore(single, schema=schema, pool_size=3, timeout=60) as store:
        store.save(Event("a"))
        for _ in range(12):
            assert len(store.snapshot()) == 1
            gc.collect()
        assert len(store) == 1


def test_a_wait_for_a_removal_has_a_limit(sharded: str, schema: str) -> None:
    """Of what was deleted on shards."""
    with (
        SQLEventStore(sharded, schema=schema, consistency="snapshot") as store,
        OtherWriter(sharded, schema) as other,
    ):
        store.save(Event("a"))
        other.connection.execute(f"SELECT pg_advisory_lock({other.names.lock(CLEANING)})")
        for call in (
            lambda: store.get("a", timeout=0.05),
            lambda: store.count(timeout=0.05),
            lambda: store.snapshot(timeout=0.05),
        ):
            with pytest.raises(ReadBusy):
                call()


def test_shards_that_have_too_many_rows_end_a_write_at_once(sharded: str, schema: str) -> None:
    """What a reservation that was lost has left there is not published with others."""
    with (
        SQLEventStore(sharded, schema=schema) as store,
        OtherWriter(sharded, schema) as other,
    ):
        store.save(Event("a", timestamp=1.0))
        other.insert(["orphan"], 2)
        with pytest.raises(EventWriteException, match=r"shards have.*nothing was written"):
            store.save(Event("b", timestamp=2.0))
        assert ids(store.search()) == ["a"]
        store.save(Event("b", timestamp=2.0))
        assert ids(store.search()) == ["a", "b"]


def test_the_settings_of_a_role_hide_no_outcome(single_server: Server, schema: str) -> None:
    with psycopg.connect(single_server.address, autocommit=True) as connection:
        connection.execute("CREATE ROLE quiet LOGIN SUPERUSER")
        for setting in (
            "client_min_messages = 'error'",
            "lock_timeout = '50ms'",
            "idle_in_transaction_session_timeout = '50ms'",
        ):
            connection.execute(f"ALTER ROLE quiet SET {setting}")
    address = single_server.address_of("postgres", "quiet")
    with (
        SQLEventStore(address, schema=schema) as store,
        OtherWriter(single_server.address, schema) as other,
    ):
        with store._link().connection(None) as connection:
            assert connection.execute("SHOW client_min_messages").fetchall() == [("warning",)]
        with store.snapshot() as view:
            time.sleep(0.2)
            assert len(view) == 0
        other.lock()

        def release() -> None:
            until(lambda: other.waiting() > 0, "it does not wait")
            time.sleep(0.2)
            other.unlock()

        in_threads(release, lambda: store.save(Event("a")))
        assert len(store) == 1


# -- closing, and calls inside of calls -----------------------------------------------------------


def test_closing_waits_for_calls_or_says_that_it_did_not(
    address: str, schema: str, store: EventStore
) -> None:
    with OtherWriter(address, schema) as other:
        other.lock()
        errors: list[EventStoreException | None] = []

        def save() -> None:
            try:
                store.save(Event("a"))
                errors.append(None)
            except EventStoreException as error:
                errors.append(error)

        def close() -> None:
            until(lambda: other.waiting() > 0, "it does not wait")
            with pytest.raises(StoreBusy, match="busy: waited"):
                store.close(timeout=0.05)
            other.unlock()
            store.close()

        in_threads(save, close)
    with pytest.raises(StoreClosed):
        store.get("a")
    with SQLEventStore(address, schema=schema) as again:
        assert (errors == [None]) == ("a" in again)


def test_a_snapshot_that_is_closed_during_a_read_gives_no_answer_or_the_right_one(
    store: EventStore,
) -> None:
    store.save_many(Event(str(n), content="x" * 100) for n in range(2000))
    for _ in range(10):
        view: Any = store.snapshot()
        reading = threading.Event()

        def read(view: Any = view, reading: Any = reading) -> None:
            reading.set()
            try:
                while True:
                    assert view.get("1").id == "1"
                    assert len(view) == 2000
            except StoreClosed:
                pass

        def close(view: Any = view, reading: Any = reading) -> None:
            reading.wait()
            view.close()

        in_threads(read, close)
    assert len(store) == 2000


def test_a_read_in_a_signal_handler_does_not_wait_for_its_own_write(
    store: EventStore, address: str, schema: str
) -> None:
    found: list[Any] = []

    def strike(*_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        calls: list[Callable[[], object]] = [
            lambda: store.get("a", None),
            lambda: store.save(Event("b")),
        ]
        for call in calls:
            try:
                found.append(call())
            except EventStoreException as error:
                found.append(error)
        other.unlock()

    before = signal.signal(signal.SIGALRM, strike)
    try:
        with OtherWriter(address, schema) as other:
            other.lock()
            signal.setitimer(signal.ITIMER_REAL, 0.2, 0.2)
            store.save(Event("a"))
    finally:
        signal.signal(signal.SIGALRM, before)
    assert [type(each) for each in found] == [EventReadException, EventWriteException]
    assert all("signal handler" in str(each) for each in found)
    assert ids(store.search()) == ["a"]
    with pytest.raises(DuplicateEvent):
        store.save(Event("a"))


# -- names and addresses --------------------------------------------------------------------------


@pytest.mark.parametrize("schema", ["", "x" * 62, "100%", "a\0b", 5])
def test_shards_have_names_that_can_be_used(single: str, schema: Any) -> None:
    with pytest.raises(InvalidOption, match="schema"):
        create_sharded(single, [single], schema=schema)


def test_an_odd_name_of_a_schema_works_on_shards(
    shard_servers: tuple[Server, Sequence[Server]],
) -> None:
    coordinator, shards = shard_servers
    name = 'it\'s "{odd}" WHERE \\ é'
    create_sharded(coordinator.address, [each.address for each in shards], schema=name)
    with SQLEventStore(coordinator.address, schema=name) as store:
        store.save_many([Event("a")], checkpoint=("x", "y"))
        with store.snapshot() as view:
            store.save_many([], checkpoint=("x", "z"))
            assert view.checkpoint("x") == "y"
        assert store.checkpoint("x") == "z"


def test_no_address_of_a_shard_is_shown(single: str) -> None:
    secret = "postgresl://me:dont-tell@host/db"
    for address, shards in ((secret, [single]), (single, [secret])):
        with pytest.raises((InvalidOption, StoreOpenError)) as info:
            create_sharded(address, shards, schema="never")
        assert "dont-tell" not in str(info.value)


def test_times_that_are_too_small_to_be_divided_are_counted(store: EventStore) -> None:
    store.save_many(Event(timestamp=time_) for time_ in (5e-324, -5e-324, 1e-300, 1.0, -1e-200))
    assert store.histogram(1000) == [(-1000.0, 2), (0.0, 3)]
