"""`save_many` with ids that are there, in the store on disk: batches, runs, damage, a full map."""

from __future__ import annotations

import pickle
import random
from typing import TYPE_CHECKING, Any

import lmdb
import pytest

from lmdbstore import (
    DuplicateEvent,
    Event,
    LMDBEventStore,
    MemoryEventStore,
    SaveResult,
    StoreDamaged,
    StoreFull,
)
from lmdbstore.engine.open_file import OpenFile
from lmdbstore.feed.pages import Feed
from lmdbstore.write import save as saving
from tests.tools.damages import DAMAGES, fill, made, make_small
from tests.tools.ids import share_keys
from tests.tools.planting import writing
from tests.tools.sealing import TINIEST, TINY, make_tiny_runs, shape
from tests.tools.zstd import CAN_COMPRESS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MODES = ("raise", "ignore", "replace")


def numbers(result: SaveResult) -> tuple[int, int, int]:
    return result.saved, result.ignored, result.replaced


def drawn(chance: random.Random, number: int) -> list[Event]:
    """Draw events with few ids and times, and contents of many sizes."""
    return [
        Event(
            f"e{chance.randrange(60)}",
            chance.choice(["door", "roof"]),
            float(chance.randrange(20)),
            chance.sample("abc", chance.randrange(3)),
            f"{chance.random()}" + "x" * chance.choice([0, 30, 3000]),
        )
        for _ in range(number)
    ]


def test_a_result_is_pickled_with_its_numbers() -> None:
    same = pickle.loads(pickle.dumps(SaveResult(3, 1, 2)))
    assert type(same) is SaveResult
    assert (*numbers(same), int(same)) == (3, 1, 2, 3)


@pytest.mark.parametrize("keys", [0, 2])
@pytest.mark.parametrize("compression", [None, "zstd"])
@pytest.mark.parametrize("sizes", [TINIEST, TINY, {}], ids=["tiniest", "tiny", "usual"])
@pytest.mark.parametrize("at_once", [1, 7, 10_000])
def test_the_stores_do_the_same_about_duplicates(  # noqa: PLR0917
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    sizes: dict[str, int],
    at_once: int,
    compression: Any,
    keys: int,
) -> None:
    """Whatever is in one batch, in a run, or has one id key; indexes and pages are sound."""
    if compression and not CAN_COMPRESS:
        pytest.skip("zstd is not installed")
    make_tiny_runs(monkeypatch, sizes)
    monkeypatch.setattr(saving, "BATCH_EVENTS", at_once)
    if keys:
        share_keys(monkeypatch, keys)
    chance = random.Random(f"{sizes} {at_once} {compression} {keys}")
    memory = MemoryEventStore()
    with LMDBEventStore(path, durability="none", compression=compression) as store:
        for turn in range(12):
            mode: Any = chance.choice(MODES)
            events = drawn(chance, chance.choice([1, 5, 40, 120]))
            if mode == "raise":
                events = [Event(f"{turn} {at}", tags=["a"]) for at in range(9)]
            expected = memory.save_many(events, on_duplicate=mode)
            found = store.save_many(iter(events), on_duplicate=mode)
            assert numbers(found) == numbers(expected), mode
            assert sum(numbers(found)) == len(events)
            assert list(store.search()) == list(memory.search())
            assert store.flags() == memory.flags()
        assert store.verify(pages=True) == []
        for event in list(memory.search()):
            store.delete(event.id)
        assert store.verify(pages=True) == []


@pytest.mark.parametrize("mode", ["ignore", "replace"])
def test_events_that_are_sealed_are_found(
    path: Path, monkeypatch: pytest.MonkeyPatch, mode: Any
) -> None:
    """In runs with deleted events, too; and a replaced one is no event of the feed."""
    make_tiny_runs(monkeypatch)
    events = [Event(f"e{n}", timestamp=float(n % 10), tags=["t"]) for n in range(40)]
    with LMDBEventStore(path) as store:
        store.save_many(events)
        store.seal()
        for n in range(3):
            store.delete(f"e{n}")
        assert shape(store).live == 0
        again = [event._replace(content="again") for event in events]
        result = store.save_many(again, on_duplicate=mode)
        assert numbers(result) == ((3, 37, 0) if mode == "ignore" else (3, 0, 37))
        with LMDBEventStore(path) as other:
            feed = Feed(other._session.read, 1, 1000)
            found: list[Event] = []
            while page := feed.next_page():
                found += page.events
        new = again[:3] if mode == "ignore" else again
        assert found == [*([] if mode == "replace" else events[3:]), *new]
        assert store.flags() == {"t": 40}


@pytest.mark.parametrize("mode", ["ignore", "replace"])
def test_when_the_map_grows_in_the_middle_each_duplicate_counts_once(
    path: Path, monkeypatch: pytest.MonkeyPatch, mode: Any
) -> None:
    """The events are written again from the first batch on."""
    monkeypatch.setattr(saving, "BATCH_EVENTS", 10)
    monkeypatch.setattr(OpenFile, "make_room", lambda *_: "")
    place: Callable[..., None] = vars(saving)["place_or_keep"]
    batches: list[int] = []

    def full_once(*arguments: Any) -> None:
        batches.append(1)
        if len(batches) == 4:
            raise lmdb.MapFullError("full")
        place(*arguments)

    with LMDBEventStore(path, map_size=1 << 24, durability="none") as store:
        store.save_many(Event(f"e{n}", content="old") for n in range(5))
        batches.clear()
        monkeypatch.setattr(saving, "place_or_keep", full_once)
        # Each batch has an id twice, and ids of the store or of the batch before.
        events = [Event(f"e{n // 20 * 10 + n % 15 % 9}", content=str(n)) for n in range(60)]
        memory = MemoryEventStore()
        memory.save_many(Event(f"e{n}", content="old") for n in range(5))
        expected = memory.save_many(events, on_duplicate=mode)
        result = store.save_many(events, on_duplicate=mode, checkpoint=("log", "1"))
        assert len(batches) > 6
        assert numbers(result) == numbers(expected)
        assert {e.id: e.content for e in store.search()} == {
            e.id: e.content for e in memory.search()
        }
        assert store.checkpoint("log") == "1"


@pytest.mark.parametrize("mode", ["ignore", "replace"])
def test_a_full_store_stays_as_it_is(path: Path, mode: Any) -> None:
    with LMDBEventStore(path, map_size=1 << 20, durability="none") as store:
        store.save_many(
            (Event(f"e{n}", content="x" * 1000) for n in range(100)), checkpoint=("log", "1")
        )
        before = list(store.search())
        with pytest.raises(StoreFull):
            store.save_many(
                (Event(f"e{n}", content="y" * 1000) for n in range(50, 2000)),
                on_duplicate=mode,
                checkpoint=("log", "2"),
            )
        assert list(store.search()) == before
        assert store.checkpoint("log") == "1"
        assert store.verify(pages=True) == []


def test_a_batch_that_is_there_writes_nothing(path: Path) -> None:
    """Not even the number of the transaction."""
    events = [Event(f"e{n}") for n in range(30)]
    with LMDBEventStore(path) as store:
        store.save_many(events)
        before = (path / "data.mdb").read_bytes()
        assert store.save_many(events, on_duplicate="ignore").ignored == 30
        assert (path / "data.mdb").read_bytes() == before
        store.save(Event("new"))


# Damage that concerns the events to which one of these ids leads, or would lead.
CONCERNED = {damage.__name__ for damage, *_ in DAMAGES} & {
    "break_record", "empty_record", "change_content", "change_id",
    "change_tags", "change_checksum", "misplace_in_time", "misplace_local_id", "lose_run",
    "change_sealed_content", "change_sealed_header", "change_id_entry", "change_sealed_id_entry",
    "lead_to_another", "lead_to_another_sealed", "add_id_of_nothing", "add_id_of_deleted",
    "cut_id_entry",
}  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "damage", [damage for damage, *_ in DAMAGES if damage.__name__ in CONCERNED]
)
def test_a_damaged_event_is_no_duplicate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[..., None], mode: Any
) -> None:
    """Neither is it replaced, nor is another with its id saved: nothing is written."""
    make_small(monkeypatch)
    with LMDBEventStore(tmp_path / "events", durability="none") as store:
        fill(store)
        with writing(store) as (txn, databases):
            damage(txn, databases)
        before = store._session.read(state)
        of_all = [made(7), made(20), made(130), Event("ghost")]
        refused = (StoreDamaged, DuplicateEvent) if mode == "raise" else StoreDamaged
        with pytest.raises(refused):
            store.save_many([Event("new"), *of_all], on_duplicate=mode, checkpoint=("log", "1"))
        assert store._session.read(state) == before


@pytest.mark.parametrize(
    "damage", [damage for damage, *_ in DAMAGES if damage.__name__ in CONCERNED]
)
def test_a_damaged_event_keeps_all_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[..., None]
) -> None:
    """Of `delete_many`; and another event is not saved over it."""
    make_small(monkeypatch)
    with LMDBEventStore(tmp_path / "events", durability="none") as store:
        fill(store)
        with writing(store) as (txn, databases):
            damage(txn, databases)
        before = store._session.read(state)
        with pytest.raises(StoreDamaged):
            store.delete_many(["e1", "e7", "e20", "e130", "e131", "ghost"])
        assert store._session.read(state) == before
        over = (made(7), made(20), made(130), Event("ghost"))
        assert any([is_refused(store, event) for event in over])  # noqa: C419  each is tried


def is_refused(store: LMDBEventStore, event: Event) -> bool:
    """Whether the event with this id is too damaged to be replaced."""
    try:
        store.save(event, on_duplicate="replace")
    except StoreDamaged:
        return True
    return False


def state(txn: Any, databases: Any) -> dict[str, list[tuple[bytes, bytes]]]:
    """Return all entries."""
    names = ("live", "runs", "ids", "postings", "run_postings", "totals", "checkpoints", "meta")
    return {name: list(txn.cursor(db=getattr(databases, name))) for name in names}
