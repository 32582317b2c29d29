"""When events are sealed: by single saves, batches and group commit; late ones; large ones."""

from __future__ import annotations

import random
from itertools import chain
from typing import TYPE_CHECKING, cast

import pytest

from lmdbstore import Event, LMDBEventStore
from lmdbstore.write import seal
from lmdbstore.write.change import Change
from lmdbstore.write.save import Save, apply_all
from lmdbstore.write.transaction import WriteTransaction
from tests.tools.indexes import assert_indexes_agree
from tests.tools.sealing import TINY, count_puts, make_tiny_runs, shape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from lmdbstore.errors import EventStoreException

RUN, KEEP, LATE = TINY["RUN"], TINY["KEEP"], TINY["LATE"]
WAITING = RUN + KEEP + TINY["SLACK"]  # so many events may wait at the end


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    make_tiny_runs(monkeypatch)


def numbered(numbers: Iterable[float], name: str = "e") -> list[Event]:
    return [Event(f"{name}{n}", "s", float(n), ["f"], f"common word{n}") for n in numbers]


def ids(store: LMDBEventStore) -> list[str]:
    return [event.id for event in store.search()]


# -- the end of the timeline -----------------------------------------------------------------------


@pytest.mark.usefixtures("tiny")
def test_single_saves_seal_a_run_when_it_is_complete(store: LMDBEventStore) -> None:
    """One run in one save; the latest events stay live."""
    before = 0
    for n in range(100):
        store.save(numbered([n])[0])
        found = shape(store)
        assert set(found.runs) <= {RUN}
        assert len(found.runs) - before in (0, 1)
        assert found.live + (n < KEEP) * KEEP >= KEEP
        assert found.live <= WAITING
        before = len(found.runs)
        assert store.count() == n + 1
        assert store.count(match="common") == n + 1
    assert ids(store) == [f"e{n}" for n in range(100)]


@pytest.mark.usefixtures("tiny")
def test_runs_are_sealed_as_before_when_many_late_events_were_deleted(
    store: LMDBEventStore,
) -> None:
    """How many waited then says nothing of those that wait now."""
    store.save_many(numbered(range(100 * RUN)))
    for n in range(100):
        store.save(Event(f"late{n}", "s", n * RUN + 0.5, ["late"]))
    for event in numbered(range(1000, 1015)):
        store.save(event)
    assert shape(store).late == 100
    store.purge(before=1000, flags=["late"])
    for event in numbered(range(2000, 2100)):
        store.save(event)
        assert shape(store).live <= 2 * WAITING


@pytest.mark.usefixtures("tiny")
def test_every_part_of_a_run_that_late_events_split_gets_its_signature(
    store: LMDBEventStore,
) -> None:
    """Then no search has to read a part of it for nothing."""
    store.save_many(numbered(range(3 * RUN)))
    most = 0
    for n in range(2 * RUN):
        store.save(Event(f"late{n}", "s", 1 + n / 100, content=f"late{n}"))
        most = max(most, shape(store).unsigned)
    assert len(shape(store).runs) > 3
    for event in numbered(range(1000, 1004)):
        store.save(event)
    assert most > 1
    assert shape(store).unsigned == 0


@pytest.mark.usefixtures("tiny")
def test_a_save_looks_at_few_of_many_late_events(
    store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And all that are enough for a run are sealed, one run in one save."""
    store.save_many(numbered(range(100 * RUN)))
    for n in range(200):
        store.save(Event(f"late{n}", "s", n % 100 * RUN + 0.5 + n / 1000))
    assert shape(store).late == 200
    numbers: list[int] = []
    for name in ("keys_from", "first_items", "items_below"):
        read: Callable[..., list[object]] = getattr(WriteTransaction, name)

        def counted(*arguments: object, read: Callable[..., list[object]] = read) -> list[object]:
            found = read(*arguments)
            numbers.append(len(found))
            return found

        monkeypatch.setattr(WriteTransaction, name, counted)
    for n in range(200, 400):
        store.save(Event(f"late{n}", "s", n % 100 * RUN + 0.5 + n / 1000))
    assert max(numbers) <= TINY["LATE_KEYS"]
    assert shape(store).late < 200
    assert len(ids(store)) == 100 * RUN + 400
    assert_indexes_agree(store)


@pytest.mark.parametrize("length", [1_000, 4_000, 12_000, 60_000])
@pytest.mark.usefixtures("tiny")
def test_events_with_many_tags_are_sealed(store: LMDBEventStore, length: int) -> None:
    """However little content they have, and however few of them are read at once."""
    for n in range(60):
        store.save(Event(f"e{n}", "s", float(n), ["t" * length], "word"))
        assert shape(store).live <= WAITING
    assert sum(shape(store).runs) >= 60 - WAITING
    assert ids(store) == [f"e{n}" for n in range(60)]
    store.save_many(numbered(range(60, 100)))
    assert shape(store).live <= WAITING
    assert_indexes_agree(store)


@pytest.mark.usefixtures("tiny")
def test_the_save_after_one_that_sealed_a_run_makes_its_signature(store: LMDBEventStore) -> None:
    unsigned = 0
    for n in range(60):
        store.save(numbered([n])[0])
        if unsigned:
            assert shape(store).unsigned == 0
        unsigned = shape(store).unsigned
        assert unsigned <= 1
        assert [event.id for event in store.search(match=f"word{n}$")] == [f"e{n}"]
    assert shape(store).runs == [RUN] * 7


@pytest.mark.usefixtures("tiny")
def test_a_run_that_never_got_its_signature_is_searched(path: Path) -> None:
    """The process that sealed it may end before its next save."""
    with LMDBEventStore(path) as store:
        for n in range(100):
            store.save(numbered([n])[0])
            if shape(store).unsigned:
                break
        last = n
    with LMDBEventStore(path) as store:
        assert shape(store).unsigned == 1
        assert store.count(match="word3$") == 1
        assert store.count(match="common") == last + 1
        store.seal()
        assert shape(store).unsigned == 0
        assert store.count(match="common") == last + 1


@pytest.mark.usefixtures("tiny")
def test_a_large_batch_is_sealed_at_once_with_signatures(
    store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    puts = count_puts(monkeypatch)
    store.save_many(numbered(range(100)))
    found = shape(store)
    assert found.live <= KEEP
    assert found.unsigned == 0
    assert all(number == RUN for number in found.runs[:-1])
    assert sum(puts) <= 100
    store.save_many(numbered(range(100, 130)))
    assert shape(store).live <= KEEP
    assert ids(store) == [f"e{n}" for n in range(130)]


@pytest.mark.usefixtures("tiny")
def test_small_batches_fill_runs_as_single_saves_do(store: LMDBEventStore) -> None:
    for n in range(0, 120, 3):
        store.save_many(numbered(range(n, n + 3)))
        assert shape(store).live <= WAITING + 3
    assert set(shape(store).runs) == {RUN}
    assert ids(store) == [f"e{n}" for n in range(120)]


class Together(Change):
    """Several saves that a leader carries out together."""

    def __init__(self, events: list[Event]) -> None:
        self._saves = [Save(event) for event in events]

    def apply(self, txn: WriteTransaction) -> EventStoreException | None:
        assert apply_all(txn, cast("list[Change]", self._saves)) == [None] * len(self._saves)
        return None


@pytest.mark.usefixtures("tiny")
def test_a_group_commit_seals_as_a_batch_does(store: LMDBEventStore) -> None:
    for n in range(0, 100, 5):
        store._session.write(Together(numbered(range(n, n + 5))))
        assert shape(store).live <= WAITING + 5
    store._session.write(Together(numbered(range(100, 150))))
    assert shape(store).live <= WAITING
    assert ids(store) == [f"e{n}" for n in range(150)]


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("batch", [1, 7, 60])
def test_events_of_one_time_are_sealed_in_the_order_of_saving(
    store: LMDBEventStore, batch: int
) -> None:
    made = [Event(f"e{n}", timestamp=7.0, tags=["f"]) for n in range(120)]
    for n in range(0, 120, batch):
        if batch == 1:
            store.save(made[n])
        else:
            store.save_many(made[n : n + batch])
    found = shape(store)
    assert sum(found.runs) >= 120 - WAITING - batch
    assert max(found.runs) <= TINY["LONGEST"]
    assert list(store.search()) == made
    assert list(store.search(flags=["f"], order="desc")) == made[::-1]
    assert list(store.search(after=made[50])) == made[51:]


# -- late events -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("tiny")
def test_late_events_wait_until_they_are_enough_for_one_run(store: LMDBEventStore) -> None:
    store.save_many(numbered(range(80)))
    before = shape(store)
    late = [20.1, 20.2, 50.1, 50.2]
    for time in late:
        store.save(Event(f"late{time}", timestamp=time, content="late"))
    found = shape(store)
    assert found.late == len(late)
    assert found.runs == before.runs
    assert [event.id for event in store.search(match="^late")] == [f"late{t}" for t in late]
    for n in range(3):
        store.save_many([Event(f"more{n}", timestamp=20.3 + n / 100, content="late")])
    for n in range(80, 100):
        store.save(numbered([n])[0])  # each looks for one run, at most
    found = shape(store)
    assert found.late == 2, "those of the other run still wait"
    assert sum(found.runs) + found.live == 80 + 20 + 7
    assert store.count(match="^late") == 7


@pytest.mark.usefixtures("tiny")
def test_a_batch_of_late_events_is_sealed_into_its_runs(store: LMDBEventStore) -> None:
    store.save_many(numbered(range(80)))
    store.save_many(numbered([n / 10 for n in range(201, 230) if n % 10], "late"))
    found = shape(store)
    assert found.late == 0
    assert max(found.runs) <= TINY["LONGEST"], "a run that became long is split"
    times = [event.timestamp for event in store.search()]
    assert times == sorted(times)
    assert len(times) == 80 + 27


@pytest.mark.usefixtures("tiny")
def test_the_end_of_a_run_stays_when_late_events_are_sealed_into_it(store: LMDBEventStore) -> None:
    store.save_many(numbered(range(80)))
    ends = shape(store).ends
    store.save_many(numbered([n / 10 for n in range(301, 400) if n % 10], "late"))
    assert set(ends) <= set(shape(store).ends)
    assert_indexes_agree(store)


def test_interleaved_old_logs_rewrite_few_runs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five logs of the same time, imported one after the other."""
    make_tiny_runs(monkeypatch)
    puts = count_puts(monkeypatch)
    chance = random.Random(5)
    logs = [sorted(chance.uniform(0, 1000) for _ in range(600)) for _ in range(5)]
    with LMDBEventStore(path, durability="none") as store:
        for number, log in enumerate(logs):
            for n in range(0, 600, 200):
                store.save_many(
                    Event(f"{number}-{m}", f"log{number}", time, content=f"line {m}")
                    for m, time in enumerate(log[n : n + 200], n)
                )
        found = shape(store)
        assert max(found.runs) <= TINY["LONGEST"]
        assert sum(found.runs) / len(found.runs) >= RUN / 2
        assert found.live <= 3000 / 4
        assert sum(puts) <= 3000 * 4, "events are written again and again"
        assert [event.timestamp for event in store.search()] == sorted(chain(*logs))


@pytest.mark.parametrize("batch", [1, 50, 400])
def test_random_times_degrade_neither_into_single_events_nor_into_rewriting(
    path: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    """Runs keep their size; what waits and what is written again is bounded."""
    make_tiny_runs(monkeypatch)
    puts = count_puts(monkeypatch)
    chance, events = random.Random(batch), 2000
    with LMDBEventStore(path, durability="none") as store:
        for n in range(0, events, batch):
            made = [Event(f"e{m}", timestamp=chance.random()) for m in range(n, n + batch)]
            if batch == 1:
                store.save(made[0])
            else:
                store.save_many(made)
        found = shape(store)
        assert max(found.runs) <= TINY["LONGEST"]
        assert sum(found.runs) / len(found.runs) >= RUN / 2
        assert found.live <= events * 0.6, "late events pile up"
        assert sum(puts) <= events * 5, "events are written again and again"
        assert len(ids(store)) == events
        store.seal()
        assert shape(store).live == 0


def test_random_times_by_the_thousand_are_sealed_in_runs_of_full_size(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    puts = count_puts(monkeypatch)
    chance, events = random.Random(3), 30_000
    with LMDBEventStore(path, durability="none") as store:
        for n in range(0, events, 2000):
            store.save_many(Event(f"e{m}", timestamp=chance.random()) for m in range(n, n + 2000))
        found = shape(store)
        assert max(found.runs) <= seal.LONGEST
        assert sum(found.runs) / len(found.runs) >= seal.RUN / 2
        assert found.live <= events / 2
        assert sum(puts) <= events * 6


# -- large events ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("size", [3_000, 15_000, 30_000, 300_000])
def test_runs_of_large_events_have_few(store: LMDBEventStore, size: int) -> None:
    made = [Event(f"e{n}", timestamp=float(n), content="x" * size) for n in range(60)]
    for event in made[:30]:
        store.save(event)
        assert shape(store).live <= 2 * WAITING
    store.save_many(made[30:])
    assert max(shape(store).runs) <= max(1, 2 * TINY["RUN_BYTES"] // size)
    store.seal()
    assert shape(store).live == 0
    assert list(store.search()) == made


def test_a_single_save_reads_few_large_events(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It seals one run, so it reads no more than that."""
    make_tiny_runs(monkeypatch)
    read: list[int] = []
    live_events = vars(seal)["live_events"]

    def noted(items: list[tuple[bytes, bytes]], *arguments: object) -> object:
        read.append(sum(len(value) for _, value in items))
        found: object = live_events(items, *arguments)
        return found

    monkeypatch.setattr(seal, "live_events", noted)
    with LMDBEventStore(path, durability="none") as store:
        for n in range(40):
            store.save(Event(f"e{n}", timestamp=float(n), content="x" * 30_000))
        assert len(shape(store).runs) >= 40 - 2 * WAITING
    assert 0 < max(read) <= 4 * TINY["RUN_BYTES"] + 31_000


@pytest.mark.usefixtures("tiny")
def test_a_very_large_event_does_not_keep_the_next_ones_from_being_sealed(
    store: LMDBEventStore,
) -> None:
    store.save(Event("large", timestamp=-1.0, content="x" * 10 * TINY["RUN_BYTES"]))
    for event in numbered(range(50)):
        store.save(event)
    found = shape(store)
    assert found.runs[0] == 1
    assert found.live <= 2 * WAITING
    assert ids(store) == ["large", *[f"e{n}" for n in range(50)]]
