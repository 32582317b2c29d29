"""Purges that are killed and continued, purges during writes and reads, and endless purges."""

from __future__ import annotations

import os
import shutil
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import Event, LMDBEventStore
from tests.endurance.tools.nursery import Nursery
from tests.endurance.tools.purged import event, lane, noted
from tests.tools.children import until
from tests.tools.damages import small_runs
from tests.tools.indexes import assert_indexes_agree
from tests.tools.purges import expected

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from random import Random

    from tests.tools.rounds import Rounds


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[Nursery]:
    with Nursery("tests.endurance.tools.purged", tmp_path / "complaints") as nursery:
        yield nursery


EVENTS = 600


def retention(chance: Random) -> dict[str, Any]:
    """Return conditions of a purge that many events meet."""
    how: dict[str, Any] = {}
    if chance.random() < 0.6:
        how["before"] = float(chance.randrange(EVENTS))
    if not how or chance.random() < 0.5:
        how["max_events"] = chance.randrange(EVENTS // 2)
    for option in ("flags", "keep_flags"):
        if chance.random() < 0.4:
            how[option] = chance.sample(["even", "rare"], chance.randint(1, 2))
    return how


@pytest.mark.endurance("a purge is killed again and again, and gone on with", rounds=6)
def test_a_purge_is_killed(nursery: Nursery, tmp_path: Path, rounds: Rounds) -> None:
    for number in rounds:
        chance = rounds.random
        path, how = tmp_path / str(number), retention(chance)
        made = [
            event(n, *["even"] * (n % 2 == 0), *["rare"] * (chance.random() < 0.05))
            for n in range(EVENTS)
        ]
        with LMDBEventStore(path, durability="none") as store:
            store.save_many(made)
        left = expected(made, **how)
        may_stay = [each for each in made if each not in left]
        for _ in range(chance.randrange(4)):
            pid = nursery.begin("purge", path=str(path), pieces=chance.randint(1, 20), how=how)
            time.sleep(chance.choice([0.0, 0.005, 0.02]) * chance.random())
            code = kill(nursery, pid)
            rounds.add("purges killed", int(code != 0))
            found = look(path)
            gone = len(made) - len(found)
            assert found == [each for each in made if each not in may_stay[:gone]], (
                "what was not its turn is gone"
            )
        nursery.run("purge", path=str(path), pieces=100, how=how)
        assert look(path) == left
        rounds.add("events purged", len(may_stay))
        rounds.add("events that had to stay", len(left))
        shutil.rmtree(path)


def kill(nursery: Nursery, pid: int) -> int:
    """Kill a child that may have ended; return its exit code."""
    os.kill(pid, signal.SIGKILL)  # the process id is valid until the child is waited for
    code = nursery.code(pid)
    assert code in (0, -signal.SIGKILL), nursery.complaints()
    return code


def look(path: Path) -> list[Event]:
    with LMDBEventStore(path, create=False, durability="none") as store:
        assert_indexes_agree(store)
        return list(store.search())


LANES, LIMIT = 2, 100


@pytest.mark.endurance("purges run while processes write and read", rounds=1)
def test_a_purge_during_writes_and_reads_leaves_no_gap(
    nursery: Nursery, path: Path, tmp_path: Path, rounds: Rounds
) -> None:
    names = {"path": str(path), "notes": str(tmp_path / "notes")}
    notes = os.open(names["notes"], os.O_RDWR | os.O_CREAT)
    try:
        with LMDBEventStore(path, durability="none") as store:
            writers = [nursery.begin("write", number=number, **names) for number in range(LANES)]
            reader = nursery.begin("read", place=LANES, lanes=LANES, **names)
            for _ in rounds:
                for _ in range(10):
                    purge_each_lane(store, notes)
            looks = noted(notes, LANES)
            until(lambda: noted(notes, LANES) > looks + 1, "the reader is stuck")
            nursery.assert_alive(reader)
            nursery.kill(*writers, reader)
            for number in range(LANES):
                last = noted(notes, number)
                found = [int(each.timestamp) for each in store.search(flags=[lane(number)])]
                assert found[-1] in (last, last + 1)
                assert found == list(range(found[0], found[-1] + 1))
                rounds.add("acknowledged writes at the same time", last)
            rounds.add("states read at the same time", noted(notes, LANES))
            rounds.add("purges", 10 * LANES * rounds.number)
    finally:
        os.close(notes)


def purge_each_lane(store: LMDBEventStore, notes: int) -> None:
    for number in range(LANES):
        before = noted(notes, number)
        until(lambda: noted(notes, number) > before + LIMIT, "a writer is stuck")  # noqa: B023  called at once
        purged = store.purge(max_events=LIMIT, flags=[lane(number)])
        assert purged.events > 0
        assert purged.left >= LIMIT


BATCH, KEPT = 200, 2000
MOST_USED = 8_000_000  # bytes of the map: the space of a few rounds, not of all rounds
MOST_RUNS = 2 * KEPT // 64


@pytest.mark.endurance("events are saved in front and purged behind", rounds=50)
def test_retention(path: Path, rounds: Rounds, monkeypatch: pytest.MonkeyPatch) -> None:
    """File and runs keep their size for ever."""
    small_runs(monkeypatch, 64)
    with LMDBEventStore(path, durability="none") as store:
        for number in rounds:
            first = number * BATCH
            store.save_many(event(n) for n in range(first, first + BATCH))
            if rounds.random.random() < 0.2:
                store.save(Event(f"late {number}", timestamp=first - 50.5))
            if rounds.random.random() < 0.5:
                purged = store.purge(max_events=KEPT)
            else:
                purged = store.purge(before=float(first + BATCH - KEPT))
            rounds.add("events purged", purged.events)
            if rounds.random.random() < 0.2:
                store.seal()
            stats = store.stats()
            assert stats.events <= KEPT * 1.1  # and some late events
            assert stats.map_used <= MOST_USED, "the file grows"
            assert stats.runs <= MOST_RUNS, "the runs grow"
        assert store.count(match=f"{first + BATCH - 1:06d}") == 1
        rounds.add("bytes of the file in the end", stats.file_bytes)
