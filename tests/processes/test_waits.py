"""Time limits: a call waits for a stopped process until its limit, and no longer.

A process is stopped in the middle of a write, with all of its locks, or of an opening. A limit that
is over late, on a slow machine, is right too: no test asserts that a call returns soon.
"""

from __future__ import annotations

import pickle
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import (
    Event,
    EventWriteException,
    InvalidOption,
    LMDBEventStore,
    OpenBusy,
    ReadBusy,
    StoreBusy,
    WriteBusy,
    verify,
)
from lmdbstore.processes.lock_list import described, held_up_by
from tests.tools.held_writer import LONG, NEW, threads, waiting
from tests.tools.stopped import THEIRS, stopped
from tests.tools.waits import (
    LIMIT,
    TIMED_READS,
    TIMED_WRITES,
    Calls,
    busy,
    named,
    with_one_event,
)

if TYPE_CHECKING:
    from concurrent.futures import Future
    from pathlib import Path

READS_OF_THE_STORE: Calls = {
    "in": lambda store, _: THEIRS in store,
    "len": lambda store, _: len(store),
    "pages": lambda store, _: store.verify(pages=True),
    "backup": lambda store, _: store.backup(f"{store._path}-copy"),
    "purge": lambda store, _: store.purge(max_events=0),
    "compact": lambda store, _: store.compact(),
    "flush": lambda store, _: store.flush(),
}
WRITES_OF_THE_STORE: Calls = {"seal": lambda store, _: store.seal()}


@pytest.fixture
def filled(path: Path) -> Path:
    return with_one_event(path)


@pytest.mark.parametrize("per_call", [True, False])
def test_every_call_that_waits_for_a_stopped_writer_ends_at_its_limit(
    filled: Path, *, per_call: bool
) -> None:
    limit = {"timeout": LIMIT}
    with LMDBEventStore(filled, **({} if per_call else limit)) as store:  # type: ignore[arg-type]  # of a dict
        how = limit if per_call else {}
        reads = TIMED_READS | ({} if per_call else READS_OF_THE_STORE)
        writes = TIMED_WRITES | ({} if per_call else WRITES_OF_THE_STORE)
        with stopped(filled, "write") as other:
            for read in reads.values():
                busy(ReadBusy, partial(read, store, how), named(other.pid), "nothing was read")
            for write in writes.values():
                busy(WriteBusy, partial(write, store, how), named(other.pid), "nothing was written")
            other.go()
        assert sorted(event.id for event in store.search()) == sorted(["old", THEIRS])
        store.save(Event("ours"))
        assert len(store) == 3
        assert store.verify() == []


def test_a_limit_of_the_call_replaces_that_of_the_store(filled: Path) -> None:
    with (
        LMDBEventStore(filled, timeout=LONG) as patient,
        LMDBEventStore(filled, timeout=0) as hasty,
        threads() as pool,
    ):
        with stopped(filled, "write") as other:
            busy(ReadBusy, lambda: patient.count(timeout=0), limit=0)
            busy(WriteBusy, lambda: patient.save(NEW, timeout=0), limit=0)
            busy(ReadBusy, hasty.count, limit=0)
            busy(WriteBusy, lambda: hasty.save(NEW), named(other.pid), limit=0)
            read = pool.submit(hasty.get, THEIRS, None, timeout=None)
            write = pool.submit(hasty.save, NEW, timeout=None)
            assert waiting(read, write)
            other.go()
            assert read.result(LONG) == Event(THEIRS, timestamp=9.0)
            write.result(LONG)
        hasty.delete("new")


def test_without_a_limit_calls_wait(filled: Path) -> None:
    with LMDBEventStore(filled) as store, threads() as pool:
        with stopped(filled, "write") as other:
            calls: list[Future[Any]] = [pool.submit(store.get, THEIRS, None)]
            calls += [pool.submit(store.save, NEW), pool.submit(store.delete, "old")]
            opening = pool.submit(LMDBEventStore, filled)
            assert waiting(*calls)
            opening.result(LONG).close()  # it shares what is open
            other.go()
            for call in calls:
                call.result(LONG)
        assert {event.id for event in store.search()} == {"new", THEIRS}


def test_a_search_waits_before_its_first_page_only(filled: Path) -> None:
    with LMDBEventStore(filled, timeout=LIMIT) as store:
        search = store.search()
        with stopped(filled, "write"):
            assert [event.id for event in search] == ["old"]


def test_a_reader_with_the_right_to_read_alone_waits_until_its_limit(filled: Path) -> None:
    with LMDBEventStore(filled, readonly=True, timeout=LIMIT) as store:
        with stopped(filled, "write") as other:
            busy(ReadBusy, lambda: store.get(THEIRS, None), named(other.pid))
            other.go()
        assert THEIRS in store


def test_a_verification_of_pages_waits_until_its_limit(filled: Path) -> None:
    with stopped(filled, "write") as other:
        busy(
            ReadBusy, lambda: verify(filled, pages=True, timeout=LIMIT), named(other.pid), "changed"
        )
        other.go()
    assert verify(filled, pages=True, timeout=LIMIT) == []
    with pytest.raises(InvalidOption, match="timeout"):
        verify(filled, timeout=-1)


@pytest.mark.parametrize("wrong", [-1, -0.1, float("nan"), True, "1", b"1", [1], object()])
def test_what_is_no_limit_is_refused_before_anything_happens(path: Path, wrong: Any) -> None:
    with pytest.raises(InvalidOption, match=r"^timeout: .*seconds"):
        LMDBEventStore(path, timeout=wrong)
    assert not path.exists()


def test_a_store_pickles_with_its_limit(filled: Path) -> None:
    with LMDBEventStore(filled, timeout=2.5) as store, LMDBEventStore(filled) as other:
        with pickle.loads(pickle.dumps(store)) as again:
            assert again._session.timeout == 2.5
        with pickle.loads(pickle.dumps(other)) as again:
            assert again._session.timeout is None


def test_the_exceptions_are_of_the_kinds_that_callers_catch() -> None:
    assert issubclass(WriteBusy, EventWriteException)
    assert issubclass(ReadBusy, StoreBusy)
    assert issubclass(OpenBusy, StoreBusy)


def test_a_process_is_named_by_what_the_system_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lmdbstore.processes.lock_list.LOCKS", str(tmp_path / "absent"))
    assert held_up_by(str(tmp_path)) is None
    assert described(1 << 30) == f"unknown (process {1 << 30})"
