"""Following a store on disk: other processes, wake-ups, forks, interrupts, and what care does."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import (
    Event,
    LMDBEventStore,
    ReadBusy,
    StoreClosed,
)
from lmdbstore.feed import commits
from lmdbstore.feed.commits import NextCommit
from lmdbstore.testing.helpers import in_threads
from lmdbstore.threads.notices import Notices
from tests.tools.children import LONG, in_child, output_of, until
from tests.tools.held_writer import HeldWriter, threads
from tests.tools.sealing import make_tiny_runs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lmdbstore import Changes

EVER = 3600.0  # seconds; a wait that only a notice may end


@pytest.fixture(params=["notices", "looks"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let a commit be found by one way only."""
    if request.param == "notices":
        pytest.importorskip("inotify_simple")
        monkeypatch.setattr(commits, "LONGEST", EVER)
    else:
        monkeypatch.setattr(Notices, "make", classmethod(lambda _: None))
    return str(request.param)


def ids(found: Changes, number: int) -> list[str]:
    return [next(found).id for _ in range(number)]


def without_notices(found: Changes) -> bool:
    wait: Any = found._source
    return [made for _, made in wait._feed._next_commit._notices] == [None]


def waits(found: Changes) -> bool:
    """Whether a thread waits, for longer than the looks after a notice take."""
    wait: Any = found._source
    next_commit = wait._feed._next_commit
    return bool(next_commit._waiter) and (next_commit._pause >= 0.05 or without_notices(found))


SAVES = """
import sys
from lmdbstore import Event, LMDBEventStore
with LMDBEventStore(sys.argv[1]) as store:
    for n in range(int(sys.argv[3])):
        store.save(Event(f"{sys.argv[2]}{n}", timestamp=-float(n)))
"""


def save_elsewhere(path: Path, name: str, number: int) -> None:
    output_of([sys.executable, "-c", SAVES, str(path), name, str(number)])


@pytest.mark.usefixtures("way")
def test_what_another_process_saves_comes(store: LMDBEventStore, path: Path) -> None:
    with store.follow(timeout=LONG) as found:
        in_threads(
            lambda: save_elsewhere(path, "x", 50),
            lambda: save_elsewhere(path, "y", 50),
            lambda: ids(found, 100),
        )
        assert found.position == store.position()
    assert len(list(store.changes("start"))) == 100


@pytest.mark.usefixtures("way")
def test_each_commit_ends_a_wait(store: LMDBEventStore) -> None:
    """Also the first one after the follower was made, and one that comes late."""
    found = store.follow()
    given: list[str] = []

    def read() -> None:
        while len(given) < 30:
            given.append(next(found).id)

    def write() -> None:
        for n in range(30):
            if n % 10 == 0:
                until(lambda: waits(found), "it does not wait")
            store.save(Event(str(n)))
            until(lambda n=n: len(given) > n, "it was not woken")  # type: ignore[misc]  # a default

    in_threads(read, write)
    assert given == [str(n) for n in range(30)]
    found.close()


def test_after_a_notice_it_looks_again_until_the_commit_is_visible(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A notice may come before the commit can be seen, and be the only one."""
    asked: list[float] = []

    class OneNotice:
        def watch(self, _: object) -> bool:
            return True

        def wait(self, seconds: float, wanted: Callable[[str], bool]) -> bool:
            assert wanted("data.mdb")
            assert not wanted("lock.mdb")
            asked.append(seconds)
            return len(asked) == 20

        def close(self) -> None:
            pass

    monkeypatch.setattr(Notices, "make", classmethod(lambda _: OneNotice()))
    next_commit = NextCommit("/nowhere")
    next_commit.wait(EVER)  # it returns: what was committed before is not noticed
    assert asked == []
    for _ in range(22):
        next_commit.wait(EVER)
    assert asked[:4] == [0.001, 0.002, 0.004, 0.008]
    assert asked[18] == asked[19] == commits.LONGEST
    assert asked[20:] == [0.001, 0.002]
    next_commit.wait(0.0015)
    assert asked[-1] == 0.0015


def test_without_notices_it_looks(monkeypatch: pytest.MonkeyPatch, store: LMDBEventStore) -> None:
    """The library is missing, or there are too many watches."""
    for breaks in ("library", "watches"):
        with monkeypatch.context() as patch:
            if breaks == "library":
                patch.setitem(sys.modules, "inotify_simple", None)
            else:
                inotify_simple = pytest.importorskip("inotify_simple")

                def refuse(*_: object) -> None:
                    raise OSError

                patch.setattr(inotify_simple.INotify, "add_watch", refuse)
            with store.follow(timeout=LONG) as found:

                def save(found: Changes = found) -> None:
                    until(lambda: without_notices(found), "it does not wait so")
                    store.save(Event())

                in_threads(lambda found=found: ids(found, 1), save)  # type: ignore[misc]  # a default


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("what", ["follower", "store"])
def test_closing_ends_a_wait_and_releases_the_notices(
    path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commits, "FIRST", EVER)
    with LMDBEventStore(path) as store:
        found = store.follow()
        before = len(os.listdir("/dev/fd"))

        def wait() -> None:
            if what == "store":
                with pytest.raises(StoreClosed):
                    next(found)
            else:
                assert list(found) == []

        def close() -> None:
            until(lambda: waits(found), "it does not wait")
            (found if what == "follower" else store).close()

        in_threads(wait, close)
        assert len(os.listdir("/dev/fd")) <= before


def test_a_follower_that_is_dropped_releases_the_notices(store: LMDBEventStore) -> None:
    before = len(os.listdir("/dev/fd"))
    found = store.follow(timeout=0.01)
    assert list(found) == []
    assert len(os.listdir("/dev/fd")) == before
    found = store.follow("start", timeout=0.01)
    store.save(Event())
    next(found)
    del found
    assert len(os.listdir("/dev/fd")) == before


@pytest.mark.usefixtures("way")
def test_a_child_follows_on_and_leaves_the_parent_its_notices(store: LMDBEventStore) -> None:
    found = store.follow()
    store.save(Event("a"))
    assert ids(found, 1) == ["a"]
    inherited = threading.Thread(target=lambda: ids(found, 2))
    inherited.start()
    until(lambda: waits(found), "it does not wait")

    def child() -> None:
        mine = store.follow(found.position)

        def save() -> None:
            until(lambda: waits(mine), "it does not wait")
            store.save(Event("b"))

        in_threads(lambda: ids(mine, 1), save)
        assert ids(found, 1) == ["b"]  # the inherited one
        found.close()
        store.close()

    in_child(child)
    until(lambda: waits(found), "it does not wait")
    store.save(Event("c"))
    inherited.join(LONG)
    assert not inherited.is_alive()
    assert found.position == store.position()
    found.close()


def test_a_child_that_closes_an_inherited_follower_leaves_the_parent_its_notices(
    store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("inotify_simple")
    monkeypatch.setattr(commits, "FIRST", EVER)  # only a notice ends a wait
    began, wait = threading.Event(), Notices.wait

    def noted(notices: Notices, seconds: float, wanted: Callable[[str], bool]) -> bool:
        began.set()
        return wait(notices, seconds, wanted)

    monkeypatch.setattr(Notices, "wait", noted)
    found = store.follow()
    reads = threading.Thread(target=lambda: ids(found, 1))
    reads.start()
    assert began.wait(LONG)  # it waits for notices, and there are none
    in_child(found.close)

    def woken() -> bool:
        store.save(Event())  # the notices of one save may all come before it can be seen
        reads.join(0.1)
        return not reads.is_alive()

    until(woken, "it was not woken")
    found.close()


@pytest.mark.usefixtures("way")
def test_an_interrupt_ends_a_wait_and_nothing_is_lost(store: LMDBEventStore) -> None:
    class Interrupt(BaseException):
        pass

    def handler(*_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        raise Interrupt

    before = signal.signal(signal.SIGALRM, handler)
    try:
        with store.follow() as found:
            for n in range(3):
                # Again and again: Python does not notice a signal that comes right before a wait.
                signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
                with pytest.raises(Interrupt):
                    next(found)
                store.save(Event(str(n)))
                assert ids(found, 1) == [str(n)]
    finally:
        signal.signal(signal.SIGALRM, before)


def test_no_transaction_is_open_while_it_waits(store: LMDBEventStore) -> None:
    found = store.follow()

    def look() -> None:
        until(lambda: waits(found), "it does not wait")
        assert not store._session.current().readers()
        store.save(Event())

    in_threads(lambda: ids(found, 1), look)
    found.close()


def test_a_follower_waits_for_no_writer(
    store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other calls do, in a store with strict consistency; what is not committed does not come."""
    store.save(Event("a"))
    before = store.position()
    held = HeldWriter(monkeypatch)
    with threads() as pool:
        save = pool.submit(store.save, Event("b"))
        assert held.reached.wait(LONG)
        for found in (store.follow("start", timeout=0.01), store.follow(timeout=0.01)):
            assert "b" not in [event.id for event in found]
            assert found.position == before
        for call in (store.position, lambda timeout: store.changes("start", timeout=timeout)):
            with pytest.raises(ReadBusy):
                call(timeout=0)
        changes = pool.submit(lambda: list(store.changes(before)))
        held.go.set()
        save.result(LONG)
        assert [event.id for event in changes.result(LONG)] == ["b"]


def test_sealing_compacting_and_purging_do_not_stop_it(
    store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_tiny_runs(monkeypatch)
    found = store.follow()
    given: list[str] = []
    for n in range(6):
        store.save_many(Event(f"{n}-{m}", timestamp=float(m)) for m in range(20))
        given += ids(found, 20)
        store.seal()
        if n % 2:
            store.compact()
        store.purge(max_events=15)
        assert ids(store.follow(found.position, timeout=0), 0) == []
    assert given == [f"{n}-{m}" for n in range(6) for m in range(20)]
    assert found.position == store.position()
    found.close()


def test_a_reader_follows(path: Path) -> None:
    with (
        LMDBEventStore(path) as store,
        LMDBEventStore(path, readonly=True, consistency="snapshot") as reader,
        reader.follow() as found,
    ):
        in_threads(lambda: ids(found, 1), lambda: store.save(Event()))
        assert reader.position() == store.position() == found.position


def test_polling_a_search_misses_what_a_follower_gives(store: LMDBEventStore) -> None:
    """This is why there is one."""
    store.save(Event("a", timestamp=5.0))
    search, found = store.search(), store.follow("start")
    assert [next(search).id, next(found).id] == ["a", "a"]
    store.save(Event("late", timestamp=4.0))
    assert list(store.search(after=search.token)) == []
    assert next(found).id == "late"
    found.close()


def test_a_follower_under_load_gives_every_event_once(path: Path) -> None:
    """Of eight processes that save at once, in the order of commits."""
    with LMDBEventStore(path) as store, store.follow(timeout=LONG) as found:
        given: list[str] = []
        began = time.monotonic()
        in_threads(
            lambda: given.extend(ids(found, 8 * 40)),
            *[lambda n=n: save_elsewhere(path, f"{n}-", 40) for n in range(8)],
        )
        assert time.monotonic() - began < LONG
        assert given == [event.id for event in store.changes("start")]
        assert len(set(given)) == 8 * 40
