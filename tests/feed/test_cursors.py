"""Named cursors on disk: processes that die, what care does to them, purges, and damage."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import (
    CursorLost,
    Event,
    LMDBEventStore,
)
from lmdbstore.contract.commits.cursor_state import CursorState, decode_state
from lmdbstore.contract.commits.shelf import Shelf
from lmdbstore.disk import format as fmt
from lmdbstore.feed.cursors import has_ended, process_name
from lmdbstore.processes import lock_list
from tests.tools.children import LONG, in_child
from tests.tools.cursors import events, ids
from tests.tools.interrupts import interrupted_at_each_step

if TYPE_CHECKING:
    from pathlib import Path

WORKER = """
import sys
from lmdbstore import Event, LMDBEventStore
path, out, die = sys.argv[1:]
with LMDBEventStore(path) as store, store.cursor("a", batch=5, timeout=1) as cursor:
    for n, event in enumerate(cursor):
        with open(out, "a") as file:
            file.write(event.id + "\\n")
        if n % 3 == 0:
            cursor.ack()
        if n == int(die):
            print("here", flush=True)
            sys.stdin.read()
    cursor.ack()
"""


def worker(path: Path, out: Path, die: int = -1) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, str(path), str(out), str(die)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_killed_worker_gives_its_events_back_at_once(path: Path, tmp_path: Path) -> None:
    """Its process is seen to be gone, whatever its lease."""
    with LMDBEventStore(path) as store:
        store.save_many(events(20))
        with worker(path, tmp_path / "out", die=7) as child:
            assert child.stdout
            assert child.stdout.readline() == "here\n"
            assert store.cursors()["a"].workers == 1
            assert ids(store.cursor("a", timeout=0)) == ids(events(20))[10:]  # after its batches
            child.send_signal(signal.SIGKILL)
            child.wait(LONG)
            assert store.cursors()["a"].workers == 0
            began = time.monotonic()
            with store.cursor("a", timeout=0) as cursor:
                assert ids(cursor) == ids(events(20))[7:]  # e0 to e6 were acknowledged
                cursor.ack()
            assert time.monotonic() - began < LONG
        assert store.cursors()["a"].lag.events == 0


CLOSES = """
import sys
from lmdbstore import LMDBEventStore
with LMDBEventStore(sys.argv[1]) as store:
    with store.cursor("a") as cursor:
        next(cursor)
    print("closed", flush=True)
    sys.stdin.read()
"""


def test_a_worker_that_closes_gives_its_events_back_to_other_processes(path: Path) -> None:
    with LMDBEventStore(path) as store:
        store.save_many(events(3))
        with subprocess.Popen(
            [sys.executable, "-c", CLOSES, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as child:
            assert child.stdout
            assert child.stdout.readline() == "closed\n"
            assert ids(store.cursor("a", timeout=0)) == ["e0", "e1", "e2"]
            child.communicate()


def test_workers_that_are_killed_lose_nothing(path: Path, tmp_path: Path) -> None:
    """Every event is given, and those that were acknowledged are not given again later."""
    with LMDBEventStore(path, durability="none") as store:
        store.save_many(events(100))
        store.cursor("a").close()
        chance = random.Random(7)
        out = tmp_path / "out"
        for _ in range(6):
            children = [worker(path, out, die=chance.randrange(12)) for _ in range(2)]
            for child in children:
                assert child.stdout
                child.stdout.readline()
                child.kill()
                child.communicate()
        with store.cursor("a", timeout=0) as cursor:
            rest = ids(cursor)
            cursor.ack()
        given = out.read_text(encoding="utf-8").split()
        assert {*given, *rest} == set(ids(events(100)))
        assert store.cursors()["a"].lag.events == 0


def test_processes_share_the_events(path: Path, tmp_path: Path) -> None:
    with LMDBEventStore(path) as store:
        store.save_many(events(60))
        children = [worker(path, tmp_path / "out") for _ in range(3)]
        for child in children:
            child.communicate(timeout=LONG)
            assert child.returncode == 0
        given = (tmp_path / "out").read_text(encoding="utf-8").split()
        assert sorted(given) == sorted(ids(events(60)))
        assert store.cursors()["a"].position == store.position()


def test_a_process_that_runs_is_not_taken_for_an_ended_one() -> None:
    own = process_name()
    namespace, pid, start = own.split(".")
    assert pid == str(os.getpid())
    assert not has_ended(own)
    assert has_ended(f"{namespace}.{pid}.{int(start) + 1}")  # another one had its id
    assert not has_ended(f"{int(namespace) + 1}.{pid}.{start}")  # it cannot be seen
    assert not has_ended("")

    def child() -> None:
        assert process_name() != own

    in_child(child)
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    name = f"{namespace}.{other.pid}.{_started(other.pid)}"
    assert not has_ended(name)
    other.communicate(b"\n")
    assert has_ended(name)


def test_a_process_of_which_the_system_says_nothing_has_ended_if_its_id_is_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another user's may be hidden, and not every system has a list."""
    namespace, _, start = process_name().split(".")
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    names = [f"{namespace}.{other.pid}.{when}" for when in (start, "None")]
    monkeypatch.setattr(lock_list, "_status", lambda _: [])
    assert not any(map(has_ended, names))

    def refuse(*_: object) -> None:
        raise PermissionError

    with monkeypatch.context() as patch:
        patch.setattr(os, "kill", refuse)
        assert not any(map(has_ended, names))
    other.communicate(b"\n")
    assert all(map(has_ended, names))


def _started(pid: int) -> str:
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        return file.read().rpartition(")")[2].split()[19]


def test_a_child_is_another_worker(store: LMDBEventStore) -> None:
    store.save_many(events(6))
    with store.cursor("a", batch=3, timeout=0) as cursor:
        next(cursor)

        def child() -> None:
            with store.cursor("a", timeout=0) as mine:
                assert ids(mine) == ["e3", "e4", "e5"]
                mine.ack()

        in_child(child)
        assert ids(cursor) == ["e1", "e2"]
        cursor.ack()
        assert store.cursors()["a"].lag.events == 0


def test_a_child_leaves_an_inherited_cursor_to_its_parent(store: LMDBEventStore) -> None:
    store.save_many(events(6))
    with store.cursor("a", batch=3, timeout=0) as cursor:
        next(cursor)

        def child() -> None:
            with cursor:
                for call in (cursor.ack, lambda: ids(cursor)):
                    with pytest.raises(CursorLost, match="forked child; make it again here"):
                        call()
            assert ids(store.cursor("a", timeout=0)) == ["e3", "e4", "e5"]

        in_child(child)
        assert ids(store.cursor("a", timeout=0)) == ["e3", "e4", "e5"]
        cursor.ack()
        assert cursor.lag.events == 5


def test_a_worker_that_is_closed_before_it_takes_events_takes_none(
    store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would have them until its lease ends, as no one gives them back."""
    store.save_many(events(6))
    cursor = store.cursor("a")

    def left() -> float:  # the last call before it takes some
        cursor.close()
        return 1.0

    monkeypatch.setattr(cursor._worker, "_left", left)
    assert ids(cursor) == []
    assert decode_state(store._cursor_text("a") or "").leases == ()


def test_a_waiting_worker_reads_what_does_not_match_once(
    store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[tuple[int, int]] = []
    page = Shelf.page

    def noted(shelf: Shelf, state: CursorState, part: Any, most: int) -> Any:
        read.append(tuple(part))
        return page(shelf, state, part, most)

    monkeypatch.setattr(Shelf, "page", noted)
    with store.cursor("a", flags=["y"], timeout=0) as cursor:
        for n in range(3):
            store.save_many([Event(f"{n}-{m}", tags=["x"]) for m in range(4)])
            assert cursor._worker._take()
        store.save(Event("y", tags=["y"]))
        assert ids(cursor) == ["y"]
        cursor.ack()
        assert cursor.position == store.position()
    assert read == [(0, 4), (4, 8), (8, 12), (12, 13), (13, 13)]
    read.clear()
    with store.cursor("b", flags=["y"], timeout=0) as cursor:
        store.delete("y")
        assert cursor._worker._take()
        store.delete_cursor("b")
        store.cursor("b", flags=["x"]).close()
        assert len(ids(cursor)) == 12  # another cursor, with the same beginning


def test_a_cursor_made_again_while_a_worker_reads_for_the_old_one_loses_nothing(
    store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.save_many(Event(str(n), tags=["x"]) for n in range(1100))  # so many are worth noting
    page = Shelf.page

    def meanwhile(shelf: Shelf, state: CursorState, part: Any, most: int) -> Any:
        monkeypatch.setattr(Shelf, "page", page)
        found = page(shelf, state, part, most)
        store.delete_cursor("a")
        store.cursor("a", flags=["x"]).close()
        return found

    monkeypatch.setattr(Shelf, "page", meanwhile)
    with store.cursor("a", flags=["y"], timeout=0) as cursor:
        assert len(ids(cursor)) == 1100


def test_an_interrupt_at_any_step_loses_no_event(path: Path) -> None:
    """What was given and not acknowledged comes again, and what was not given comes."""

    def child() -> None:
        with LMDBEventStore(path, durability="none") as store:
            store.save_many(events(4))
            seen: list[str] = []

            def work() -> None:
                cursor = store.cursor("a", batch=2, timeout=0)
                for _ in range(3):
                    for event in cursor:
                        seen.append(event.id)
                        break
                    cursor.ack()
                seen.extend(ids(cursor))
                cursor.ack()
                cursor.close()

            for number in interrupted_at_each_step(work):
                if number % 7:
                    continue
                again = ids(store.cursor("a", timeout=0))
                assert {*seen, *again} == {"e0", "e1", "e2", "e3"}
                store.delete_cursor("a")
                seen.clear()

    in_child(child)


@pytest.mark.parametrize("call", ["take", "ack"])
def test_an_interrupt_right_after_a_write_loses_nothing(
    store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """The cursor does not know of it, and goes on all the same."""
    store.save_many(events(6))
    change = Shelf.change
    with store.cursor("a", batch=2, timeout=0) as cursor:
        given = [next(cursor).id] if call == "ack" else []

        def interrupted(shelf: Shelf, work: Any) -> None:
            monkeypatch.setattr(Shelf, "change", change)
            change(shelf, work)
            raise KeyboardInterrupt

        monkeypatch.setattr(Shelf, "change", interrupted)
        with pytest.raises(KeyboardInterrupt):
            next(cursor) if call == "take" else cursor.ack()
        assert [*given, *ids(cursor)] == ids(events(6))
        cursor.ack()
        assert cursor.lag.events == 0


def test_a_state_that_is_no_state_is_refused() -> None:
    state = CursorState(flags=("a",), after=7)
    assert decode_state(state.encode()) == state
    for text in ("", "{}", "[]", '{"after": 7}', "null"):
        with pytest.raises(ValueError, match="not the state of a cursor"):
            decode_state(text)


def test_a_worker_renews_its_lease_while_it_waits(store: LMDBEventStore) -> None:
    """At the last look too, however late that is."""
    store.save_many(events(2))
    with store.cursor("a", lease=1.0, timeout=0.7) as cursor:
        next(cursor)
        (before,) = decode_state(store._cursor_text("a") or "").leases
        assert ids(cursor) == ["e1"]
        (after,) = decode_state(store._cursor_text("a") or "").leases
        assert after.until > before.until
        assert after[:3] == before[:3]


def test_a_cursor_deleted_while_a_worker_waits_ends_it(store: LMDBEventStore) -> None:
    cursor = store.cursor("a", timeout=LONG)
    store.delete_cursor("a")
    store.save(Event())
    with pytest.raises(CursorLost):
        next(cursor)
    cursor.close()


def test_the_key_of_a_cursor_is_that_of_its_name(store: LMDBEventStore) -> None:
    store.cursor("shipper").close()
    found = store._session.read(lambda txn, dbs: txn.get(fmt.text_key("shipper"), db=dbs.cursors))
    assert found is not None
