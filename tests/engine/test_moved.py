"""A store whose path no longer leads to it: every call says so, and nothing else is touched."""

from __future__ import annotations

import os
import re
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import (
    Event,
    EventReadException,
    EventWriteException,
    LMDBEventStore,
    StoreMoved,
)
from lmdbstore.engine import open as opening
from lmdbstore.opening import place
from lmdbstore.opening.open_lmdb import open_lmdb
from lmdbstore.threads.deadline import FOREVER
from lmdbstore.write.change import Job
from lmdbstore.write.save import Save
from tests.tools.children import in_child
from tests.tools.moves import MOVES, OTHER, Move, aside, other_store, put_back

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lmdbstore.write.writer import Writer

EVENTS = 700  # more than a page of a search


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a path for a store that is moved, so that it is not checked at the end."""
    return tmp_path / "events"


@pytest.fixture
def store(path: Path) -> Iterator[LMDBEventStore]:
    with LMDBEventStore(path, durability="none") as opened:
        made = [Event(f"e{n}", timestamp=float(n), tags=["f"]) for n in range(EVENTS)]
        opened.save_many(made[:-1])
        opened.save(made[-1])  # it is live, so there is something to seal
        opened.backup(path.with_name("backup"))
        yield opened


@pytest.fixture(params=MOVES)
def move(request: pytest.FixtureRequest) -> Move:
    return MOVES[request.param]


def contents(path: Path) -> dict[str, bytes]:
    """Return all files under a path."""
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file() and file.name != "lock.mdb"
    }


WRITES: dict[str, Callable[[LMDBEventStore], object]] = {
    "save": lambda store: store.save(Event("new")),
    "save_many": lambda store: store.save_many([Event("new")]),
    "delete": lambda store: store.delete("e5"),
    "purge": lambda store: store.purge(before=1.0),
    "seal": lambda store: store.seal(),
}
READS: dict[str, Callable[[LMDBEventStore], object]] = {
    "get": lambda store: store.get("e1"),
    "in": lambda store: "e1" in store,
    "len": len,
    "count": lambda store: store.count(flags=["f"]),
    "flags": lambda store: store.flags(),
    "search": lambda store: list(store.search(limit=1)),
    "explain": lambda store: store.explain(),
    "snapshot": lambda store: store.snapshot(),
    "stats": lambda store: store.stats(),
    "verify": lambda store: store.verify(),
    "flush": lambda store: store.flush(),
    "dry purge": lambda store: store.purge(before=1.0, dry_run=True),
}


# -- writes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("write", WRITES)
def test_a_write_is_not_acknowledged(
    store: LMDBEventStore, path: Path, move: Move, write: str
) -> None:
    """It says that it was committed elsewhere; later ones write nothing."""
    number = last_transaction(store)
    move.make(path)
    before = contents(path) if path.is_dir() else {}
    with pytest.raises(StoreMoved, match=move.says) as caught:
        WRITES[write](store)
    assert "was committed to the store that moved" in str(caught.value)
    assert caught.value.committed
    assert last_transaction(store) > number
    number = last_transaction(store)
    for again in WRITES.values():
        with pytest.raises(StoreMoved, match=f"{move.says}.*written nothing") as caught:
            again(store)
        assert not caught.value.committed
    assert last_transaction(store) == number
    if path.is_dir() and move.is_back:
        assert contents(path) == before, "another folder was written to"


def last_transaction(store: LMDBEventStore) -> int:
    return int(store._session._environment.lmdb.info()["last_txnid"])


def test_a_refused_change_says_that_nothing_was_written(store: LMDBEventStore, path: Path) -> None:
    """Whether the id is taken was decided elsewhere."""
    path.rename(aside(path))
    with pytest.raises(StoreMoved, match="this call has written nothing") as caught:
        store.save(Event("e1"))
    assert not caught.value.committed


@pytest.mark.parametrize("name", [name for name in MOVES if MOVES[name].is_back])
def test_a_store_that_was_put_back_works_again(
    store: LMDBEventStore, path: Path, name: str
) -> None:
    MOVES[name].make(path)
    for _ in range(2):
        with pytest.raises(StoreMoved):
            store.save(Event("elsewhere"))
    put_back(path)
    assert store.get("elsewhere").id == "elsewhere"
    store.save(Event("here"))
    store.compact()
    assert store.verify(pages=True) == []
    with LMDBEventStore(path, durability="none") as again:
        assert "here" in again


def test_the_message_says_where_the_open_store_is(store: LMDBEventStore, path: Path) -> None:
    path.rename(aside(path))
    with pytest.raises(StoreMoved, match=re.escape(f"{str(path)!r} no longer leads")) as caught:
        store.save(Event())
    if os.path.exists("/proc/self/fd"):
        assert f"is {str(aside(path))!r} now" in str(caught.value)
    assert isinstance(caught.value, EventReadException)
    assert isinstance(caught.value, EventWriteException)


def test_changes_that_are_committed_together_are_told_apart(
    store: LMDBEventStore, path: Path
) -> None:
    """Of two store objects that share a commit, only the one that was moved is told."""
    path.with_name("link").symlink_to(path)
    with LMDBEventStore(path.with_name("link"), durability="none") as linked:
        environment = store._session._environment
        assert linked._session._environment is environment
        path.with_name("link").unlink()
        jobs = together(environment.writer, [store, linked, store])
        assert [isinstance(job.error, StoreMoved) for job in jobs] == [False, True, False]
        assert sum(f"together {n}" in store for n in range(3)) == 3


def together(writer: Writer, stores: list[LMDBEventStore]) -> list[Job]:
    """Let the first of these stores lead a batch of a change of each; return the jobs."""
    jobs = [Job(Save(Event(f"together {n}")), each._session.place) for n, each in enumerate(stores)]
    for job in jobs:
        writer._queue.append(job)
    writer._lead(jobs[0], FOREVER)
    return jobs


# -- the quick check ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MOVES)
def test_a_quick_check_notices_what_changes_a_name(
    store: LMDBEventStore, path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    settle(store, path, monkeypatch)
    MOVES[name].make(path)
    with pytest.raises(StoreMoved):
        store.save(Event("new"))


def settle(store: LMDBEventStore, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let quick checks count from now on, and wait until the clock of the file system moves."""
    monkeypatch.setattr(place, "LONGEST", 3600.0)
    monkeypatch.setattr(place, "_settled_after", lambda _: -place.SECOND)
    noted = path.stat().st_ctime_ns
    store._session.place.check()
    store.save(Event("settled"))
    probe = path.with_name("probe")
    while True:
        probe.touch()
        if probe.stat().st_ctime_ns > noted:
            return


def test_a_quick_check_is_one_stat(
    store: LMDBEventStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(store, path, monkeypatch)
    monkeypatch.setattr(place.Place, "_look", lambda _: pytest.fail("a full check"))
    for _ in range(3):
        store.save(Event())


@pytest.mark.parametrize(
    ("age", "fraction", "quick"),
    [
        (place.SETTLED - 1, 1, False),
        (place.SETTLED + 1, 1, True),
        (place.SETTLED + 1, 0, False),  # a file system that notes whole seconds
        (place.SETTLED_SECONDS + 1, 0, True),
    ],
)
def test_a_quick_check_counts_only_if_the_folder_changed_long_ago(
    store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch, age: int, fraction: int, *, quick: bool
) -> None:
    """A name that changes within the same tick of the clock leaves the ctime as it is."""
    spot = store._session.place
    ctime = 1_000_000_000 * place.SECOND + fraction

    class Status:
        st_dev, st_ino = spot._known.files.folder
        st_ctime_ns = ctime

    monkeypatch.setattr(place, "stat", lambda _: Status)
    monkeypatch.setattr(time, "time_ns", lambda: ctime + age)
    spot.check()
    assert (spot._quick is not None) is quick


def test_after_a_second_a_quick_check_is_not_enough(
    store: LMDBEventStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is mounted over does not change the folder."""
    settle(store, path, monkeypatch)
    spot = store._session.place
    looked: list[float] = []

    def look(spot: place.Place) -> str:
        looked.append(spot.deadline)
        return ""

    monkeypatch.setattr(place.Place, "_look", look)
    spot.deadline = time.monotonic() + 3600
    assert not spot.is_left()
    assert not looked
    spot.deadline = time.monotonic()
    assert not spot.is_left()
    assert looked


# -- reads ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("read", READS)
def test_a_read_is_refused_after_a_second(
    store: LMDBEventStore, path: Path, move: Move, read: str
) -> None:
    store._session.place.check()
    assert store._session.place.deadline <= time.monotonic() + 1.0
    move.make(path)
    store._session.place.deadline = time.monotonic()  # as if a second had passed
    with pytest.raises(StoreMoved, match=move.says) as caught:
        READS[read](store)
    assert not caught.value.committed
    assert store._session._environment.readers().total() == 0


def test_a_flush_is_not_acknowledged(
    store: LMDBEventStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, "LONGEST", 3600.0)
    store._session.place.check()
    path.rename(aside(path))
    with pytest.raises(StoreMoved, match="were flushed in the store that moved"):
        store.flush()


def test_what_is_under_way_is_refused_at_its_next_page(
    store: LMDBEventStore, path: Path, move: Move
) -> None:
    with store.snapshot() as view:
        searches = [store.search(), view.search(), store.search(match="x?", order="desc")]
        for search in searches:
            next(search)
        move.make(path)
        store._session.place.deadline = time.monotonic()
        for search in searches:
            with pytest.raises(StoreMoved, match=move.says):
                list(search)
        with pytest.raises(StoreMoved, match=move.says):
            view.get("e1")


def test_reads_make_a_check_no_more_than_once_a_second(
    store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, "LONGEST", 3600.0)
    store._session.place.check()
    monkeypatch.setattr(place.Place, "_look", lambda _: pytest.fail("a full check"))
    for _ in range(100):
        store.get("e1")
    assert len(list(store.search())) == EVENTS


# -- opening --------------------------------------------------------------------------------------


def test_another_store_at_the_path_is_not_the_open_one(store: LMDBEventStore, path: Path) -> None:
    """A process may have both open, and each is where it was opened."""
    path.rename(aside(path))
    with LMDBEventStore(path) as new, LMDBEventStore(aside(path), durability="none") as found:
        new.save(Event("new"))
        found.save(Event("found"))
        with pytest.raises(StoreMoved, match="with another store"):
            store.save(Event("lost"))
        assert [event.id for event in new.search()] == ["new"]
        assert {"found", "lost"} <= {event.id for event in found.search()}
        found.compact()
        assert len(found) == EVENTS + 2
        assert [event.id for event in new.search()] == ["new"]


@pytest.mark.parametrize("name", ["barrier", "lock.mdb", "data.mdb"])
@pytest.mark.parametrize("how", ["removed", "replaced"])
def test_a_folder_that_is_open_with_other_files_is_not_opened(
    store: LMDBEventStore, path: Path, name: str, how: str
) -> None:
    """Two environments of a process would write without knowing of each other."""
    MOVES[f"{name} {how}"].make(path)
    before = contents(path)
    with pytest.raises(StoreMoved, match=name.replace("data.mdb", "data")):
        LMDBEventStore(path, durability="none")
    assert contents(path) == before
    with pytest.raises(StoreMoved):
        store.save(Event())


def test_an_exchange_while_opening_is_noticed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other_store(path)
    other_store(path.with_name("other"))
    opened = open_lmdb

    def exchanged(*arguments: Any, **options: Any) -> Any:
        path.rename(aside(path))
        path.with_name("other").rename(path)
        return opened(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(opening, "open_lmdb", exchanged)
        with pytest.raises(StoreMoved, match="another folder is there"):
            LMDBEventStore(path)
    for folder in (path, aside(path)):
        with LMDBEventStore(folder) as store:
            assert [event.id for event in store.search()] == [OTHER]


@pytest.mark.parametrize("target", ["nothing", "another store"])
def test_a_link_that_leads_elsewhere_is_noticed(path: Path, target: str) -> None:
    """The path is the one that the program passed, before links were followed."""
    other_store(path)
    other_store(path.with_name("other"))
    link = path.with_name("link")
    link.symlink_to(path)
    with LMDBEventStore(link) as store, LMDBEventStore(path) as direct:
        link.unlink()
        if target == "another store":
            link.symlink_to(path.with_name("other"))
        with pytest.raises(StoreMoved):
            store.save(Event("a"))
        direct.save(Event("b"))
        assert "a" in direct


def test_a_path_through_a_descriptor_may_be_closed(path: Path) -> None:
    other_store(path)
    if not os.path.exists("/proc/self/fd"):
        pytest.skip("the system has no /proc/self/fd")
    descriptor = os.open(path, os.O_RDONLY)
    with LMDBEventStore(f"/proc/self/fd/{descriptor}") as store:
        os.close(descriptor)
        store.save(Event("a"))


# -- forked children ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in MOVES if " " not in name or "store" in name])
def test_a_child_does_not_open_what_is_at_the_path_now(
    store: LMDBEventStore, path: Path, name: str
) -> None:
    MOVES[name].make(path)
    before = contents(path) if path.is_dir() else {}

    def work() -> None:
        for call in (*WRITES.values(), *READS.values()):
            with pytest.raises(StoreMoved, match="nothing"):
                call(store)

    in_child(work)
    assert (contents(path) if path.is_dir() else {}) == before


def test_a_child_knows_its_store_by_its_identity(
    path: Path,
) -> None:
    """The inode of a folder may be given to another one."""
    other_store(path)
    other_store(path.with_name("other"))
    with LMDBEventStore(path) as store:
        os.replace(path.with_name("other") / "data.mdb", path / "data.mdb")
        for name in ("lock.mdb", "barrier"):
            (path / name).unlink()

        def work() -> None:
            with pytest.raises(StoreMoved, match="the parent of this process had another store"):
                store.save(Event())
            with LMDBEventStore(path) as new:
                assert [event.id for event in new.search()] == [OTHER]

        in_child(work)


def test_a_child_of_a_store_that_stays_opens_it(store: LMDBEventStore) -> None:
    in_child(lambda: store.save(Event("of the child")))
    assert "of the child" in store
    store.compact()
    in_child(lambda: store.save(Event("of another child")))
    assert "of another child" in store


# -- compacting, backing up -----------------------------------------------------------------------


def test_care_is_refused(store: LMDBEventStore, path: Path, move: Move) -> None:
    move.make(path)
    before = contents(path) if path.is_dir() else {}
    store._session.place.deadline = time.monotonic() + 3600.0
    for call in (store.compact, partial(store.backup, path.with_name("another"))):
        with pytest.raises(StoreMoved, match=move.says):
            call(progress=lambda *_: pytest.fail("it has begun"))
    assert (contents(path) if path.is_dir() else {}) == before
    assert not path.with_name("another").exists()
    if move.is_back:
        with LMDBEventStore(aside(path), durability="none") as found:
            assert found.verify(pages=True) == []
            assert len(found) == EVENTS


def test_closing_is_never_refused(store: LMDBEventStore, path: Path, move: Move) -> None:
    move.make(path)
    with pytest.raises(StoreMoved):
        store.save(Event())
    store.close()
    assert repr(store).endswith("closed>")
