"""A store on shards after a writer that stopped before it published what it wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from lmdbstore import Event, WriteBusy
from lmdbstore.testing.helpers import ids, in_threads
from tests.sql.other_writer import OtherWriter
from tests.tools.children import until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lmdbstore import EventStore
    from tests.sql.servers import Server


@pytest.fixture
def store(sharded: str, schema: str) -> Iterator[EventStore]:
    from lmdbstore.sql.store import SQLEventStore

    with SQLEventStore(sharded, schema=schema) as store:
        store.save_many(Event(f"old{n}", timestamp=float(n)) for n in range(6))
        yield store


@pytest.fixture
def stopped(store: EventStore, sharded: str, schema: str) -> None:
    """A writer that has saved, replaced and deleted, and stopped before it published."""
    assert store.position().startswith("6:")
    with OtherWriter(sharded, schema) as other:
        other.lock()
        last = other.reserve(5)
        other.mark("old0", last)
        other.mark("old1", last)
        other.insert(["new0", "new1", "old1"], 7)


OLD = [f"old{n}" for n in range(6)]


@pytest.mark.usefixtures("stopped")
def test_nobody_sees_what_was_not_published(store: EventStore) -> None:
    assert ids(store.search()) == ids(store.changes("start")) == OLD
    assert store.get("new0", None) is None
    assert store.get("old0").id == "old0"
    assert len(store) == 6
    with store.snapshot() as view:
        assert ids(view.search()) == OLD


@pytest.mark.usefixtures("stopped")
def test_the_next_write_removes_it_and_gives_back_what_was_deleted(
    store: EventStore, sharded: str, schema: str
) -> None:
    store.save(Event("new1", timestamp=9.0))  # the id was used by what was not published
    store.delete("old1")
    assert ids(store.search()) == ["old0", *OLD[2:], "new1"]
    assert ids(store.changes("start")) == ["old0", *OLD[2:], "new1"]
    with OtherWriter(sharded, schema) as other:
        assert other.one(f"SELECT count(*) FROM {other.names.events} WHERE id = 'new0'") == 0


@pytest.mark.usefixtures("stopped")
def test_numbers_that_were_reserved_are_not_used_again(store: EventStore) -> None:
    store.save(Event("next", timestamp=9.0))
    assert int(store.position().partition(":")[0]) > 11


@pytest.mark.parametrize("end", ["COMMIT PREPARED 'left'", "ROLLBACK PREPARED 'left'"])
def test_a_transaction_that_a_crash_left_on_a_shard_is_settled_first(
    store: EventStore,
    shard_servers: tuple[Server, Sequence[Server]],
    sharded: str,
    schema: str,
    end: str,
) -> None:
    """Citus and others commit in two phases: the second may come long after a crash."""
    _, shards = shard_servers
    with OtherWriter(sharded, schema) as other, psycopg.connect(shards[0].address) as shard:
        other.reserve(1)
        other.insert(["ghost"], 7, shard)
        shard.execute("PREPARE TRANSACTION 'left'")
    with pytest.raises(WriteBusy, match=r"1 transactions on shards.*nothing was written"):
        store.save(Event("ghost", timestamp=9.0), timeout=0.2)
    assert ids(store.search()) == OLD

    def settle() -> None:
        with psycopg.connect(shards[0].address, autocommit=True) as shard:
            shard.execute(end)

    in_threads(lambda: store.save(Event("ghost", timestamp=9.0)), settle)
    assert ids(store.search()) == [*OLD, "ghost"]
    assert store.get("ghost").timestamp == 9.0


def test_what_is_not_on_all_shards_is_not_published(
    store: EventStore, sharded: str, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a shard says that it has committed, and does not show it, a writer waits."""
    from lmdbstore.errors import EventWriteException
    from lmdbstore.sql.writing import commit

    monkeypatch.setattr(commit, "insert_events", lambda *_: None)
    with pytest.raises(EventWriteException, match=r"shards have.*nothing was written"):
        store.save(Event("lost"), timeout=0.2)
    monkeypatch.undo()
    assert ids(store.search()) == OLD
    store.save(Event("lost", timestamp=9.0))
    with OtherWriter(sharded, schema) as other:
        until(lambda: other.head() > 7, "it is published")


def test_deleted_events_are_removed_when_no_one_needs_them(
    store: EventStore, sharded: str, schema: str
) -> None:
    with OtherWriter(sharded, schema) as other:
        number = f"SELECT count(*) FROM {other.names.events}"
        with store.snapshot() as view:
            store.delete("old0")
            store.delete("old1")
            assert other.one(number) == 6
            assert ids(view.search()) == OLD
        store.delete("old2")
        assert other.one(number) == 3
    assert ids(store.search()) == OLD[3:]
