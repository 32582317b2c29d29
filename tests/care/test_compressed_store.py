"""A store with `compression="zstd"`: everything works, with both kinds of runs in one store."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import (
    CompressionMissing,
    Event,
    EventNotFound,
    InvalidOption,
    LMDBEventStore,
    repair,
    verify,
)
from lmdbstore.check import walk
from lmdbstore.opening import options
from lmdbstore.records import compression
from lmdbstore.records.run import Run
from lmdbstore.write import delete
from tests.tools.commands import LOG, run
from tests.tools.sealing import make_tiny_runs
from tests.tools.zstd import needs_zstd

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = needs_zstd

EVENTS = [
    Event(f"e{n}", "host", float(n), ["a", f"f{n % 3}"], f"a line of a log, number {n}")
    for n in range(100)
]


@pytest.fixture(autouse=True)
def tiny_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    make_tiny_runs(monkeypatch)


def filled(path: Path, kind: Any = "zstd", events: list[Event] = EVENTS) -> None:
    with LMDBEventStore(path, durability="none", compression=kind) as store:
        store.save_many(events)
        store.seal()


def kinds(store: LMDBEventStore) -> set[bool]:
    """Return whether runs are compressed."""
    return store._session.read(
        lambda txn, databases: {
            Run(end, value).is_compressed for end, value in txn.cursor(db=databases.runs)
        }
    )


def check(store: LMDBEventStore, events: list[Event]) -> None:
    assert list(store.search()) == events
    assert list(store.search(order="desc")) == events[::-1]
    assert list(store.search(match="number 7[0-9]")) == [
        event for event in events if 70 <= event.timestamp < 80
    ]
    assert list(store.search(flags=["f1"])) == [event for event in events if "f1" in event.tags]
    assert store.count(5.0, 60.0) == sum(5 <= event.timestamp <= 60 for event in events)
    assert all(store.get(event.id) == event for event in events)
    assert store.verify() == []


@pytest.mark.parametrize("kind", [None, "zstd"])
def test_runs_of_both_kinds_are_in_one_store(path: Path, kind: Any) -> None:
    """Whichever were first; a rewritten run does not lose its compression."""
    filled(path, kind, EVENTS[:50])
    filled(path, None if kind else "zstd", EVENTS[50:])
    with LMDBEventStore(path) as store:
        check(store, EVENTS)
        for event in EVENTS[3:99:9]:
            store.delete(event.id)
        left = [event for event in EVENTS if event not in EVENTS[3:99:9]]
        check(store, left)
        late = [event._replace(id=f"{event.id}-late") for event in EVENTS[::2]]
        store.save_many(late)
        store.seal()
        check(store, sorted([*left, *late], key=lambda event: event.timestamp))
        assert any(kinds(store))


def test_seal_compresses_the_runs_that_are_not(path: Path) -> None:
    filled(path, None)
    with LMDBEventStore(path, compression="zstd") as store:
        assert kinds(store) == {False}
        store.seal()
        assert kinds(store) == {True}
        check(store, EVENTS)


def test_a_rewritten_run_stays_compressed_without_the_option(path: Path) -> None:
    filled(path)
    with LMDBEventStore(path) as store:
        for event in EVENTS[:50:2]:
            store.delete(event.id)
        store.seal()
        assert kinds(store) == {True}
        check(store, EVENTS[1:50:2] + EVENTS[50:])


def test_copies_and_repairs_keep_what_was_compressed(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy writes a run again of which an event was deleted."""
    monkeypatch.setattr(delete, "SHARE", 1)
    filled(path)
    left = [event for event in EVENTS if event is not EVENTS[20]]
    with LMDBEventStore(path) as store:
        store.delete("e20")
        store.backup(tmp_path / "copy")
        store.compact()
        check(store, left)
        assert kinds(store) == {True}
    with LMDBEventStore(tmp_path / "copy") as copy:
        check(copy, left)
        assert kinds(copy) == {True}
    assert repair(path).left_out == []
    with LMDBEventStore(path) as store:
        check(store, left)
        assert kinds(store) == {True}
        store.purge(before=90.0)
        check(store, EVENTS[90:])


def test_a_repair_compresses_all_runs_if_one_was(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those too that were written again before the first of them was read."""
    monkeypatch.setattr(walk, "PIECE_ENTRIES", 10)
    filled(path, None, EVENTS[:50])
    with LMDBEventStore(path, compression="zstd") as store:
        store.save_many(EVENTS[50:])
        assert kinds(store) == {False, True}
    assert repair(path).left_out == []
    with LMDBEventStore(path) as store:
        check(store, EVENTS)
        assert kinds(store) == {True}


def test_stores_of_a_process_agree_on_the_compression(path: Path) -> None:
    with (
        LMDBEventStore(path, compression="zstd") as store,
        LMDBEventStore(path),
        LMDBEventStore(path, readonly=True),
        pickle.loads(pickle.dumps(store)) as again,
    ):
        again.save_many(EVENTS)
        assert kinds(store) == {True}
    with LMDBEventStore(path, readonly=True), LMDBEventStore(path, compression="zstd") as store:
        store.save_many(event._replace(id=f"{event.id}-") for event in EVENTS)
        assert kinds(store) == {True}
    with LMDBEventStore(path), pytest.raises(InvalidOption, match=r"compression: 'zstd' contra"):
        LMDBEventStore(path, compression="zstd")


@pytest.mark.parametrize("value", ["", "gzip", True, 3, b"zstd"])
def test_another_compression_is_refused(path: Path, value: Any) -> None:
    with pytest.raises(InvalidOption, match=r"^compression: "):
        LMDBEventStore(path, compression=value)
    assert not path.exists()


def test_without_the_library_only_what_needs_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each says how to install it. Nothing is lost, and events can be saved."""
    path = tmp_path / "events"
    filled(path)

    def missing() -> Any:
        raise CompressionMissing("pip install 'lmdbstore[zstd]'")

    for module in (compression, options):
        monkeypatch.setattr(module, "library", missing)
    with pytest.raises(InvalidOption, match=r"lmdbstore\[zstd\]"):
        LMDBEventStore(path, compression="zstd")
    with LMDBEventStore(path) as store:
        assert store.count(10.0, 20.0) == 11
        calls: list[Any] = [
            lambda: store.get("e7"),
            lambda: "e7" in store,
            lambda: list(store.search()),
            lambda: list(store.search(damaged="skip")),
            lambda: list(store.search(flags=["f1"])),
            lambda: list(store.search(match="line")),
            lambda: store.delete("e7"),
            store.verify,
            lambda: store.purge(before=5.0),
        ]
        for call in calls:
            with pytest.raises(CompressionMissing, match=r"lmdbstore\[zstd\]"):
                call()
        for n in range(200):  # late, and after the last run
            store.save(Event(f"new{n}", timestamp=float(n)))
        with pytest.raises(EventNotFound):
            store.get("none")
    with pytest.raises(CompressionMissing):
        repair(path)
    monkeypatch.undo()
    assert verify(path) == []
    with LMDBEventStore(path) as store:
        assert len(store) == 300
        assert all(store.get(event.id) == event for event in EVENTS)


def test_the_command_line_compresses(path: Path) -> None:
    assert run("import", "--db", path, LOG).exit_code == 0
    sealed = run("seal", "--db", path, "--compression", "zstd")
    assert sealed.exit_code == 0
    assert "all runs are compressed" in sealed.stdout + sealed.stderr
    with LMDBEventStore(path, readonly=True) as store:
        assert kinds(store) == {True}
        lines = len(store)
    other = path.with_name("other")
    assert run("import", "--db", other, "--compression", "zstd", LOG).exit_code == 0
    with LMDBEventStore(other, readonly=True) as store:
        assert kinds(store) == {True}
        assert len(store) == lines
    assert run("seal", "--db", path, "--compression", "gzip").exit_code == 2


def test_a_purge_counts_the_bytes_of_records(path: Path) -> None:
    """Not those that compressed runs take."""
    filled(path)
    with LMDBEventStore(path) as store:
        promised = store.purge(before=50.0, dry_run=True)
        purged = store.purge(before=50.0)
    assert purged.bytes == promised.bytes > sum(len(event.content) for event in EVENTS[:50])
