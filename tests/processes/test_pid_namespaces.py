"""Two processes with one process id, as in two containers: LMDB tells readers apart by it."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from lmdbstore import Event, LMDBEventStore, StoreInUse
from lmdbstore.processes.snapshot_notes import slots_in
from tests.tools.namespaces import Contained, contained, needs_pid_namespaces

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.surroundings


@pytest.fixture
def two() -> Iterator[tuple[Contained, Contained]]:
    """Yield two processes, each of which is process 1 of its pid namespace."""
    needs_pid_namespaces()
    with contained() as first, contained() as second:
        yield first, second


def opening(path: Path, options: str = "") -> str:
    return f"store = LMDBEventStore({str(path)!r}{options})"


def slots(path: Path) -> list[int]:
    with LMDBEventStore(path, readonly=True) as store:
        table = store._session._environment.lmdb.readers()
        return [slot.process for slot in slots_in(table)]


@pytest.mark.parametrize("first_options", ["", ", readonly=True"])
@pytest.mark.parametrize("options", ["", ", readonly=True"])
def test_a_taken_process_id_is_named_with_its_cause_and_the_remedy(
    path: Path, two: tuple[Contained, Contained], first_options: str, options: str
) -> None:
    LMDBEventStore(path).close()
    first, second = two
    assert first.do(opening(path, first_options)) == "done"
    refusal = second.do(opening(path, options))
    assert refusal.startswith("StoreInUse: ")
    assert "another pid namespace (another container) that also has the process id 1" in refusal
    assert "--pid=host" in refusal
    assert first.do("store.close()") == "done"
    assert second.do(opening(path, options)) == "done", "nothing is left locked"
    assert second.do("answer = len(store)") == "0"
    assert second.do("store.close()") == "done"
    with LMDBEventStore(path) as store:
        store.compact()


@pytest.mark.parametrize("options", ["", ", readonly=True"])
def test_readers_of_a_dead_process_with_the_own_id_are_freed(
    path: Path, two: tuple[Contained, Contained], options: str
) -> None:
    """No other process frees them while a process with that id has the store open."""
    first, second = two
    with LMDBEventStore(path, durability="none") as store:
        store.save_many(Event(f"e{n}", content="x" * 2000) for n in range(100))
        assert first.do(opening(path, ", readonly=True")) == "done"
        assert first.do("views = [store.snapshot() for _ in range(3)]") == "done"
        first.kill()
        assert second.do(opening(path, options)) == "done"
        table = store._session._environment.lmdb.readers()
        assert 1 not in [slot.process for slot in slots_in(table)]
        assert second.do("answer = len(store)") == "100"
        size = (path / "data.mdb").stat().st_size
        for _ in range(20):
            store.purge(max_events=0)
            store.save_many(Event(f"e{n}", content="x" * 2000) for n in range(100))
        assert (path / "data.mdb").stat().st_size < 6 * size, "the dead reader holds pages"
        assert second.do("store.close()") == "done"


def test_readers_of_a_dead_process_are_freed_if_its_id_exists_elsewhere(path: Path) -> None:
    """Process 1 exists here, too, and has not the store open."""
    needs_pid_namespaces()
    with contained() as reader, LMDBEventStore(path) as store:
        store.save(Event("a"))
        assert reader.do(opening(path, ", readonly=True")) == "done"
        assert reader.do("view = store.snapshot()") == "done"
        store.save(Event("b"))
        assert [held.behind for held in store.stats().snapshots] == [1]
        reader.kill()
        assert store.stats().snapshots == ()
        assert store.stats().readers == 0


def test_a_process_frees_no_readers_of_living_processes(path: Path) -> None:
    """Not of itself, if it opens the store again, and not of processes with other ids."""
    needs_pid_namespaces()
    with ExitStack() as stack:
        reader = stack.enter_context(contained())
        store = stack.enter_context(LMDBEventStore(path))
        store.save(Event("a"))
        assert reader.do(opening(path)) == "done"
        assert reader.do("view = store.snapshot()") == "done"
        stack.enter_context(store.snapshot())
        stack.enter_context(LMDBEventStore(path))
        store.save(Event("b"))
        assert reader.do("answer = [len(view), len(store)]") == "[1, 2]"
        assert len(store.stats().snapshots) == 2
        assert reader.do("view.close(); store.close()") == "done"


# -- what a person is told ------------------------------------------------------------------------


def test_a_snapshot_of_another_namespace_is_shown_with_the_process_here(path: Path) -> None:
    """The process is below this namespace, so the system lists it."""
    needs_pid_namespaces()
    with contained() as reader, LMDBEventStore(path) as store:
        store.save(Event("a"))
        assert reader.do(opening(path, ", readonly=True")) == "done"
        assert reader.do("view = store.snapshot()") == "done"
        (held,) = store.stats().snapshots
        assert (held.process, held.namespace) == (reader.pid, None)
        assert held.command is not None
        assert "python" in held.command
        with pytest.raises(StoreInUse, match=rf"python.*\(process {reader.pid}\)"):
            store.compact()


def test_a_process_with_a_list_of_another_namespace_is_not_named_itself(path: Path) -> None:
    """The ids in the system's lists are then not those that the process knows."""
    needs_pid_namespaces()
    with LMDBEventStore(path) as store, contained(proc=False) as inside:
        store.save(Event("a"))
        assert inside.do(opening(path)) == "done"
        refusal = inside.do("store.compact()")
        assert f"(process {os.getpid()})" in refusal
        assert str(inside.pid) not in refusal
        assert inside.do("view = store.snapshot()") == "done"
        assert f"process={inside.pid}, " in inside.do("answer = store.stats().snapshots")
        assert inside.do("view.close(); store.close()") == "done"


def test_a_snapshot_of_a_process_that_cannot_be_seen_has_its_namespace(path: Path) -> None:
    """Its id is that of another process here, whose name would be wrong."""
    needs_pid_namespaces()
    with contained() as inside, LMDBEventStore(path) as store:
        store.save(Event("a"))
        namespace = os.stat("/proc/self/ns/pid").st_ino
        assert inside.do(opening(path)) == "done"
        with store.snapshot():
            shown = inside.do("answer = store.stats().snapshots")
            assert f"process={os.getpid()}, command=None" in shown
            assert f"namespace={namespace})" in shown
            assert "cannot be seen here, perhaps in another container" in inside.do(
                "store.compact()"
            )
        assert inside.do("view = store.snapshot()") == "done"
        shown = inside.do("answer = store.stats().snapshots")
        assert "process=1," in shown
        assert "namespace=None)" in shown
        assert inside.do("view.close(); store.close()") == "done"
