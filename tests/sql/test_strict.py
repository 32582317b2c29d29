"""Strict reads beside a writer on another machine, paused at each of its steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import Event, ReadBusy, WriteBusy
from lmdbstore.testing.helpers import ids, in_threads
from tests.sql.other_writer import OtherWriter
from tests.tools.children import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lmdbstore import EventStore

READS: dict[str, Callable[[EventStore], object]] = {
    "get": lambda store: store.get("new", None) is not None,
    "search": lambda store: "new" in ids(store.search()),
    "count": lambda store: store.count() == 2,
    "len": lambda store: len(store) == 2,
    "flags": lambda store: len(store.sources()) == 1 and len(store) == 2,
    "snapshot": lambda store: len(store.snapshot().__enter__()) == 2,
    "changes": lambda store: "new" in ids(store.changes("start")),
    "position": lambda store: store.position().startswith("2:"),
    "histogram": lambda store: store.histogram(1000)[0][1] == 2,
    "stats": lambda store: store.stats().events == 2,
    "explain": lambda store: bool(store.explain()),
    "checkpoint": lambda store: store.checkpoint("x") is None,
}


@pytest.fixture
def other(address: str, schema: str, store: EventStore) -> Iterator[OtherWriter]:
    store.save(Event("old", timestamp=0.0))
    with OtherWriter(address, schema) as other:
        yield other


def prepared(other: OtherWriter) -> int:
    """Do all of a write but its publication; return the number to publish."""
    other.lock()
    last = other.reserve(1)
    if other.one(f"SELECT sharded FROM {other.names.store}"):
        other.insert(["new"], last)  # the shards have committed
    else:
        other.connection.execute("BEGIN")
        other.insert(["new"], last)
    return last


def publish(other: OtherWriter, last: int) -> None:
    other.publish(last)
    if not other.one(f"SELECT sharded FROM {other.names.store}"):
        other.connection.execute("COMMIT")
    other.unlock()


@pytest.mark.parametrize("name", READS)
def test_a_read_that_begins_during_a_write_waits_for_it(
    store: EventStore, other: OtherWriter, address: str, schema: str, name: str
) -> None:
    last = prepared(other)
    found: list[object] = []

    def write() -> None:
        with OtherWriter(address, schema) as looking:
            until(lambda: looking.waiting() > 0, "the read does not wait")
        assert not found
        publish(other, last)

    in_threads(lambda: found.append(READS[name](store)), write)
    assert found == [True]


@pytest.mark.parametrize("name", READS)
def test_a_read_with_a_limit_says_that_the_store_is_busy(
    store: EventStore, other: OtherWriter, name: str
) -> None:
    calls: dict[str, Callable[[], Any]] = {
        "get": lambda: store.get("old", timeout=0.05),
        "search": lambda: store.search(timeout=0.05),
        "count": lambda: store.count(timeout=0),
        "flags": lambda: store.flags(timeout=0.05),
        "snapshot": lambda: store.snapshot(timeout=0.05),
        "changes": lambda: store.changes("start", timeout=0.05),
        "position": lambda: store.position(timeout=0.05),
        "histogram": lambda: store.histogram(1, timeout=0.05),
        "stats": lambda: store.stats(timeout=0.05),
        "explain": lambda: store.explain(timeout=0.05),
        "checkpoint": lambda: store.checkpoint("x", timeout=0.05),
        "len": lambda: store.count(timeout=0.05),
    }
    other.lock()
    with pytest.raises(ReadBusy, match=r"busy: waited 0.*longer"):
        calls[name]()
    other.unlock()
    calls[name]()


def test_nothing_of_a_write_shows_before_it_is_published(
    other: OtherWriter, address: str, schema: str
) -> None:
    from lmdbstore.sql.store import SQLEventStore

    last = prepared(other)
    with SQLEventStore(address, schema=schema, consistency="snapshot") as store:
        assert ids(store.search()) == ids(store.changes("start")) == ["old"]
        assert store.count() == len(store) == 1
        assert store.get("new", None) is None
        assert store.position().startswith("1:")
        with store.snapshot() as view:
            publish(other, last)
            assert ids(view.search()) == ["old"]
        assert ids(store.search()) == ids(store.changes("start")) == ["new", "old"][::-1]


def test_a_deletion_shows_when_it_is_published(
    store: EventStore, other: OtherWriter, address: str, schema: str
) -> None:
    from lmdbstore.sql.store import SQLEventStore

    if not other.one(f"SELECT sharded FROM {other.names.store}"):
        pytest.skip("on one server a deletion is published as it is committed")
    other.lock()
    last = other.reserve(1)
    other.mark("old", last)
    with SQLEventStore(address, schema=schema, consistency="snapshot") as reader:
        assert ids(reader.search()) == ["old"]
        assert reader.get("old").id == "old"
        other.publish(last)
        assert ids(reader.search()) == []
        assert reader.get("old", None) is None
    other.unlock()
    assert len(store) == 0


def test_a_write_waits_for_another_one_or_says_that_it_did_not(
    store: EventStore, other: OtherWriter
) -> None:
    other.lock()
    for call in (
        lambda: store.save(Event("x"), timeout=0.05),
        lambda: store.save_many([Event("x")], timeout=0),
        lambda: store.delete("old", timeout=0.05),
        lambda: store.delete_many(["old"], timeout=0.05),
    ):
        with pytest.raises(WriteBusy, match="nothing was written"):
            call()
    other.unlock()
    assert ids(store.search()) == ["old"]
    store.save(Event("x"))


def test_threads_that_wait_share_a_transaction(
    store: EventStore, other: OtherWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lmdbstore.sql.writing.changes import Batch

    batches: list[Batch] = []
    make = Batch.__init__

    def counted(self: Batch, present: Any) -> None:
        batches.append(self)
        make(self, present)

    monkeypatch.setattr(Batch, "__init__", counted)
    other.lock()

    def release() -> None:
        group = store._own.group  # type: ignore[attr-defined]
        until(lambda: len(group._queue) == 8 and other_waits(), "they do not wait")
        other.unlock()

    def other_waits() -> bool:
        return other.waiting() > 0

    in_threads(release, *(lambda n=n: store.save(Event(f"e{n}")) for n in range(8)))
    assert len(batches) == 1
    assert len(store) == 9
