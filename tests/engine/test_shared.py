"""Stores of one process on one folder share an environment, whatever concerns only one of them."""

from __future__ import annotations

import fcntl
import threading
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import (
    Event,
    EventWriteException,
    InvalidOption,
    LMDBEventStore,
    ReadOnlyStore,
    StoreOpenError,
    verify,
)
from lmdbstore.engine import open_file
from lmdbstore.opening.open_lmdb import open_lmdb
from tests.tools.beside import beside
from tests.tools.children import LONG, in_child, opened_elsewhere, until

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def filled(path: Path) -> Path:
    """Return the path of a store with 3,000 events."""
    with LMDBEventStore(path, durability="none") as store:
        store.save_many(Event(f"e{n}", timestamp=float(n)) for n in range(3000))
    return path


@pytest.mark.parametrize(
    "options",
    [
        {"consistency": "snapshot"},
        {"readonly": True},
        {"create": False, "mode": 0o660},
        {"map_size": None, "max_readers": None},
        {"max_readers": 4096},
    ],
)
def test_options_of_one_store_do_not_conflict(path: Path, options: dict[str, Any]) -> None:
    """As in a notebook cell that is changed and run again."""
    store = LMDBEventStore(path)
    store.save(Event("a"))
    store = LMDBEventStore(path, **options)
    assert "a" in store
    store.close()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {"durability": "none"}),
        ({}, {"map_size": 1 << 20}),
        ({"map_size": 2 << 20}, {"map_size": 1 << 20}),
        ({}, {"max_readers": 100}),
        ({"max_readers": 200}, {"max_readers": 100}),
        ({"map_size": 2 << 20}, {"map_size": 1 << 20, "readonly": True}),
    ],
)
def test_options_of_the_environment_conflict_if_they_were_given(
    path: Path, first: dict[str, Any], second: dict[str, Any]
) -> None:
    with LMDBEventStore(path, **first) as store:
        with pytest.raises(InvalidOption, match=rf"^{next(iter(second))}: .*contradicts"):
            LMDBEventStore(path, **second)
        store.save(Event("a"))
        if "durability" not in second:
            with LMDBEventStore(path) as other:
                assert "a" in other


def test_a_store_that_only_reads_beside_a_writer_refuses_to_write(path: Path) -> None:
    with (
        LMDBEventStore(path, durability="none") as store,
        LMDBEventStore(path, readonly=True) as reader,
    ):
        store.save(Event("a"))
        assert "a" in reader
        with pytest.raises(ReadOnlyStore):
            reader.save(Event("b"))
        with pytest.raises(ReadOnlyStore):
            reader.compact()
        assert verify(path) == []
        store.close()
        assert "a" in reader


def test_a_writer_beside_a_store_that_only_reads(filled: Path) -> None:
    with LMDBEventStore(filled, readonly=True, max_readers=300) as reader:
        search = reader.search()
        assert next(search).id == "e0"
        with LMDBEventStore(filled, durability="none") as store:
            assert store._session._environment is reader._session._environment
            store.save(Event("new", timestamp=5000.0))
            assert "new" in reader
            assert store.stats().max_readers >= 300
            assert [event.id for event in search] == [f"e{n}" for n in range(1, 3000)]
            with pytest.raises(ReadOnlyStore):
                reader.save(Event("b"))
            with LMDBEventStore(filled, durability="none") as third:
                third.delete("new")
        assert "new" not in reader
        assert len(reader) == 3000


def test_a_snapshot_of_a_reader_must_be_closed_before_the_first_write(filled: Path) -> None:
    with LMDBEventStore(filled, readonly=True) as reader:
        with reader.snapshot() as view, LMDBEventStore(filled) as store:
            with pytest.raises(EventWriteException, match=r"snapshot of this process.*close the"):
                store.save(Event("a"))
            assert len(view) == len(reader) == len(store) == 3000
            with pytest.raises(ReadOnlyStore):
                reader.save(Event())
            view.close()
            store.save(Event("a"))
        assert "a" in reader


def test_a_reader_continues_if_it_cannot_become_a_writer(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening = open_lmdb

    def refused(folder: Any, options: Any, marks: Any, *, locked: bool = False) -> Any:
        if not options.readonly:
            raise StoreOpenError("refused")
        return opening(folder, options, marks, locked=locked)

    with LMDBEventStore(filled, readonly=True) as reader:
        with monkeypatch.context() as patch:
            patch.setattr(open_file, "open_lmdb", refused)
            with pytest.raises(StoreOpenError, match=r"nothing was written: refused$"):
                LMDBEventStore(filled)
        assert len(reader) == 3000
        with LMDBEventStore(filled) as store:
            store.save(Event("a"))
        assert "a" in reader


def test_readers_go_on_while_their_store_becomes_a_writer(filled: Path) -> None:
    with LMDBEventStore(filled, readonly=True) as reader:

        def read(_: int) -> None:
            assert sum(1 for _ in reader.search(limit=1000)) == 1000
            assert "e7" in reader

        with beside(read, read, turns=5) as go_on:
            go_on()
            with LMDBEventStore(filled, durability="none") as store:
                store.save(Event("a", timestamp=9000.0))
                go_on()
                store.delete("a")


def test_a_strict_reader_that_waits_continues_when_its_store_becomes_a_writer(
    filled: Path,
) -> None:
    """Another process writes; the reader waits for it, and so does the opening."""
    with LMDBEventStore(filled, readonly=True) as reader:
        byte = (filled / "barrier").open("r+b")
        fcntl.flock(byte, fcntl.LOCK_EX)
        byte.write(b"\1")
        byte.flush()
        found: list[int] = []
        waiting = threading.Thread(target=lambda: found.append(len(reader)))
        waiting.start()
        barrier = reader._session._environment.barrier

        def is_waiting() -> bool:
            free = barrier._waiting.acquire(blocking=False)
            if free:
                barrier._waiting.release()
            return not free

        until(is_waiting, "the reader does not wait")
        opened: list[LMDBEventStore] = []
        opening = threading.Thread(target=lambda: opened.append(LMDBEventStore(filled)))
        opening.start()
        byte.seek(0)
        byte.write(b"\2")
        byte.flush()
        fcntl.flock(byte, fcntl.LOCK_UN)
        byte.close()
        waiting.join(LONG)
        opening.join(LONG)
        assert found == [3000]
        opened[0].save(Event("a"))
        assert "a" in reader
        opened[0].close()


def test_a_writer_that_died_is_settled_by_the_store_that_became_a_writer(filled: Path) -> None:
    with LMDBEventStore(filled, readonly=True) as reader:
        (filled / "barrier").write_bytes(b"\3")  # in place: the map shows it
        with LMDBEventStore(filled) as store:
            assert len(store) == len(reader) == 3000
            store.save(Event("a"))
            assert not store._session._environment.barrier.up


def test_a_reader_becomes_a_writer_beside_other_processes(filled: Path) -> None:
    with (
        opened_elsewhere(filled),
        LMDBEventStore(filled, readonly=True) as reader,
        LMDBEventStore(filled) as store,
    ):
        store.save(Event("a"))
        assert "a" in reader


def test_a_forked_child_opens_both_in_either_order(filled: Path) -> None:
    with LMDBEventStore(filled, readonly=True) as reader, LMDBEventStore(filled) as store:

        def work() -> None:
            assert len(reader) == 3000
            store.save(Event("of the child"))
            assert "of the child" in reader

        in_child(work)
        assert "of the child" in reader
        store.save(Event("of the parent"))


@pytest.mark.parametrize("dropped", [False, True])
def test_the_options_of_a_writer_that_is_gone_do_not_conflict(
    filled: Path, *, dropped: bool
) -> None:
    """As in a notebook, whose cell is run again with another option."""
    with LMDBEventStore(filled, readonly=True) as reader:
        store = LMDBEventStore(filled, durability="none", map_size=1 << 30)
        store.save(Event("a"))
        if not dropped:
            store.close()
        del store
        with LMDBEventStore(filled) as again:
            again.save(Event("b"))
            assert again._session._environment is reader._session._environment
            assert again._session._environment.options.durability == "full"
            with pytest.raises(InvalidOption, match="durability"):
                LMDBEventStore(filled, durability="none")
        assert "a" in reader
        assert "b" in reader
        reader.flush()


def test_writers_that_come_and_go_beside_a_reader_leave_no_descriptor(filled: Path) -> None:
    with LMDBEventStore(filled, readonly=True) as reader:
        for number in range(4):
            with LMDBEventStore(filled, durability="none") as store:
                store.save(Event(f"new {number}"))
            opened = len(reader._session._environment.barrier._descriptors)
            assert opened == 4  # of the reader, and of the first writer
        assert len(reader) == 3004
