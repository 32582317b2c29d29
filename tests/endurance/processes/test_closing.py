"""`close` during every other call: the call succeeds, or says that the store is closed."""

from __future__ import annotations

import itertools
import shutil
import threading
import time
from typing import TYPE_CHECKING

import pytest

from lmdbstore import Event, LMDBEventStore, StoreClosed
from tests.tools.indexes import assert_indexes_agree

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.tools.rounds import Rounds

    Work = Callable[[LMDBEventStore, str], object]

THREADS = 3  # that make the same calls
LONG = 60  # seconds; ends a hang, decides nothing
EVENTS = 1200  # more than a page


def search(store: LMDBEventStore, _: str) -> None:
    found = [event.id for event in store.search(flags=["first"])]
    assert len(found) == EVENTS


def view(store: LMDBEventStore, _: str) -> None:
    with store.snapshot() as state:
        assert state.count(flags=["first"]) == EVENTS
        assert state.get("e7").content == "event 7"


def leave_half_read(store: LMDBEventStore, _: str) -> None:
    assert next(store.search(match="event")).id == "e0"


def delete_one(store: LMDBEventStore, name: str) -> None:
    store.save(Event(name))
    store.delete(name)


def back_up(store: LMDBEventStore, name: str) -> None:
    target = f"{store._path}-{name}"
    try:
        store.backup(target)
        with LMDBEventStore(target, create=False) as copy:
            assert len(copy) >= EVENTS
    finally:
        shutil.rmtree(target, ignore_errors=True)


# Each call has its own name; the name of a save is the id of its event.
SAVES = "save", "save_many"
WORKS: dict[str, Work] = {
    "save": lambda store, name: store.save(Event(name)),
    "save_many": lambda store, name: store.save_many([Event(name), Event(f"{name}'")]),
    "delete": delete_one,
    "get": lambda store, _: store.get("e7"),
    "contains": lambda store, _: "e7" in store,
    "search": search,
    "half a search": leave_half_read,
    "match": lambda store, _: list(store.search(match="event 7$")),
    "count": lambda store, _: store.count(match="event"),
    "explain": lambda store, _: store.explain(match="event"),
    "flags": lambda store, _: store.flags(),
    "len": lambda store, _: len(store),
    "snapshot": view,
    "stats": lambda store, _: store.stats(),
    "seal": lambda store, _: store.seal(),
    "verify": lambda store, _: store.verify(pages=True),
    "purge": lambda store, _: store.purge(max_events=1 << 30),
    "backup": back_up,
    "compact": lambda store, _: store.compact(),
}


@pytest.mark.endurance("A store is closed while threads are inside of every call", rounds=1)
def test_close_against_every_other_call(path: Path, rounds: Rounds) -> None:
    with LMDBEventStore(path, durability="none") as store:
        store.save_many(
            Event(f"e{n}", timestamp=float(n), tags=["first"], content=f"event {n}")
            for n in range(EVENTS)
        )
    for number in rounds:
        for name, work in WORKS.items():
            done = race(path, work, f"{number} {name}", rounds.random.random() * 0.005)
            rounds.add("calls done", len(done))
            rounds.add("calls refused", THREADS)
            check(path, name, done)


def race(path: Path, work: Work, name: str, pause: float) -> list[str]:
    """Close the store while threads call; return the names of the calls that succeeded."""
    store = LMDBEventStore(path, durability="none")
    done: list[str] = []
    errors: list[tuple[type, str]] = []  # not the errors: their frames would keep what they had
    begun = threading.Semaphore(0)

    def run(thread: int) -> None:
        for n in itertools.count():
            try:
                work(store, f"{name} {thread} {n}")
                done.append(f"{name} {thread} {n}")
            except BaseException as error:
                errors.append((type(error), str(error)))
                return
            finally:
                begun.release()

    threads = [threading.Thread(target=run, args=(n,)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert begun.acquire(timeout=LONG)
    time.sleep(pause)
    store.close()
    for thread in threads:
        thread.join(LONG)
        assert not thread.is_alive(), f"{name} hangs"
    others = [f"{kind.__name__}: {text}" for kind, text in errors if kind is not StoreClosed]
    assert not others, f"{name}: {others[0]}"
    assert len(errors) == THREADS
    return done


def check(path: Path, work: str, done: list[str]) -> None:
    """Check that successful calls left their events, and refused ones none; then delete them."""
    with LMDBEventStore(path, durability="none") as store:
        assert assert_indexes_agree(store) == len(store)
        new = {event.id for event in store.search() if "first" not in event.tags}
        if work == "delete":  # the last save of each thread may have succeeded, and its delete not
            assert len(new) <= THREADS
        else:
            saved = done if work in SAVES else []
            assert new == {*saved, *(f"{name}'" for name in saved if work == "save_many")}
        for name in new:
            store.delete(name)
