"""The executor compared with the memory store: every plan gives the same answer."""

from __future__ import annotations

import gc
import random
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmdbstore import (
    DuplicateEvent,
    Event,
    EventReadException,
    EventStore,
    EventStoreException,
    LMDBEventStore,
    MemoryEventStore,
    StoreDamaged,
)
from lmdbstore.contract.query import Position
from lmdbstore.contract.search import Page, Search
from lmdbstore.disk import format as fmt
from lmdbstore.read import executor as pager
from lmdbstore.read import plan
from lmdbstore.read.record_match import matching_records
from lmdbstore.write import save as saving
from tests.tools.planting import writing
from tests.tools.properties import examples

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lmdbstore.contract.types import Order
    from lmdbstore.write.transaction import WriteTransaction

EVENTS = 3000


def sample() -> list[Event]:
    """Return events with equal timestamps, flags of every density, and some long contents."""
    chance = random.Random(7)
    events = []
    for number in range(EVENTS):
        tags = [f"f{n}" for n in (2, 3, 10, 50, 300) if chance.randrange(n) == 0]
        tags += ["early"] * (number < 900) + ["late"] * (number > 2000) + [""] * (number % 7 == 0)
        content = f"line {number} {chance.choice(['red', 'green', 'blue'])}\nf2 {number:05}"
        if number % 500 == 0:
            content += "x" * 100_000
        timestamp = float(chance.randrange(-50, 50)) if number % 2 else number / 30 - 50
        events.append(Event(f"e{number}", f"s{number % 5}", timestamp, tags, content))
    return events


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[EventStore]]:
    folder = tmp_path_factory.mktemp("executing") / "events"
    memory = MemoryEventStore()
    memory.save_many(sample())
    with LMDBEventStore(folder, durability="none") as store:
        for start in range(0, EVENTS, 700):
            store.save_many(sample()[start : start + 700])
        yield [memory, store]


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every search go through many chunks."""
    monkeypatch.setattr(pager, "FIRST_CHUNK", 3)
    monkeypatch.setattr(pager, "LONGEST_CHUNK", 64)
    monkeypatch.setattr(pager, "KEY_CHUNK", 100)
    monkeypatch.setattr(pager, "CHUNK_BYTES", 150_000)


flags = st.lists(
    st.sampled_from(["f2", "f3", "f10", "f50", "f300", "early", "late", "", "none"]),
    max_size=3,
)
times = st.none() | st.integers(-60, 60).map(float) | st.floats(-60, 60)


@examples(40)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "ts_start": times,
            "ts_end": times,
            "flags": flags,
            "match": st.sampled_from(
                ["red", "^line 1", "f2", "0$", "nothing", "(?i)GREEN", "x{50}"]
            ),
            "order": st.sampled_from(["asc", "desc"]),
            "source": st.sampled_from(["s1", "s4", "f2"]),
            "limit": st.integers(0, 200),
        },
    ),
    st.none() | st.integers(0, EVENTS - 1),
)
def test_both_stores_give_the_same_results(
    stores: list[EventStore], query: dict[str, Any], after: int | None
) -> None:
    """Compared are searches, their tokens, and counts."""
    answers = []
    for store in stores:
        if after is not None:
            query["after"] = store.get(f"e{after}")
        search = store.search(**query)
        events = list(search)
        answers.append((events, search.token, store.count(**query)))
        assert len(events) == answers[-1][-1]
        assert store.explain(**query)
    assert answers[0] == answers[1]


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize(
    "wanted", [["early", "f10"], ["late", "f10"], ["early", "late"], ["f50", "f300"], ["f2", "f3"]]
)
def test_every_plan_gives_the_same_results(
    stores: list[EventStore], monkeypatch: pytest.MonkeyPatch, wanted: list[str], order: Order
) -> None:
    """The plans are: scan, walk one posting set, walk all; the planner's choice is not used."""
    memory, store = stores
    expected = [event.id for event in memory.search(flags=wanted, order=order)]
    for dense, merged in ((10**9, 1), (1, 1), (1, 10**9)):
        monkeypatch.setattr(plan, "DENSE", dense)
        monkeypatch.setattr(plan, "MERGED", merged)
        assert [event.id for event in store.search(flags=wanted, order=order)] == expected


def test_a_page_is_bounded_in_bytes(
    stores: list[EventStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few long contents fill a page before it has its number of events."""
    monkeypatch.setattr(pager, "CHUNK_BYTES", 50_000)
    sizes = []
    decode = fmt.decode

    def measured(records: list[bytes]) -> list[Event]:
        sizes.append(sum(map(len, records)))
        return decode(records)

    monkeypatch.setattr(fmt, "decode", measured)
    assert sum(1 for _ in stores[1].search()) == EVENTS
    assert sum(1 for _ in stores[1].search(flags=[""])) == len(range(0, EVENTS, 7))
    assert max(sizes) < 50_000 + 101_000
    assert min(sizes) >= 0


def test_a_search_does_not_find_events_saved_while_it_runs(path: Path) -> None:
    """Neither after nor before its position, in any order, with any plan."""
    with LMDBEventStore(path, durability="none") as store:
        store.save_many(Event(f"e{n}", timestamp=float(n % 50), tags=["f"]) for n in range(500))
        old = [f"e{n}" for n in range(500)]
        plans: list[dict[str, Any]] = [
            {}, {"flags": ["f"]}, {"order": "desc"}, {"flags": ["f"], "order": "desc"},
        ]  # fmt: skip
        searches = [store.search(**query) for query in plans]
        found = [[next(search).id for _ in range(10)] for search in searches]
        store.save_many(Event(f"n{n}", timestamp=float(n % 50), tags=["f"]) for n in range(500))
        for ids, search in zip(found, searches, strict=True):
            assert sorted(ids + [event.id for event in search]) == sorted(old)
        assert [sum(1 for _ in store.search(**query)) for query in plans] == [1000] * 4


def test_events_deleted_before_their_page_is_read_are_not_found(path: Path) -> None:
    """The key at the position of the search may be deleted, too."""
    with LMDBEventStore(path, durability="none") as store:
        store.save_many(Event(f"e{n}", timestamp=float(n), tags=["f"]) for n in range(200))
        searches = [store.search(), store.search(flags=["f"])]
        for search in searches:
            assert [next(search).id for _ in range(3)] == ["e0", "e1", "e2"]
        for n in range(150):
            store.delete(f"e{n}")
        for search in searches:
            assert [event.id for event in search] == [f"e{n}" for n in range(150, 200)]


def test_an_interrupted_search_continues_at_its_position(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interrupt at any point of the change to the next page loses no page."""
    with LMDBEventStore(path, durability="none") as store:
        store.save_many(Event(f"e{n}", timestamp=float(n), content="x") for n in range(300))
        for place in (
            "read.executor._page",
            "read.filter.matching_records",
            "read.executor._Place",
        ):
            search = store.search(match="x")
            found = [next(search).id for _ in range(3)]
            token = search.token
            with monkeypatch.context() as patch:
                patch.setattr(f"lmdbstore.{place}", interrupt)
                with pytest.raises(KeyboardInterrupt):
                    next(search)
            assert search.token == token
            assert found + [event.id for event in search] == [f"e{n}" for n in range(300)]


def interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_counting_stops_at_the_limit(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events after the limit are not read."""
    read: list[int] = []
    matching = matching_records

    def noted(pattern: Any, records: Any) -> list[int]:
        read.append(len(records))
        return matching(pattern, records)

    monkeypatch.setattr("lmdbstore.read.filter.matching_records", noted)
    with LMDBEventStore(path, durability="none") as store:
        store.save_many(Event(content="x", tags=["f"]) for n in range(500))
        assert store.count(match="x", limit=5) == 5
        assert sum(read) < 20
        assert store.count(limit=7) == store.count(limit=7, flags=["f"]) == 7


def test_a_flag_that_names_no_event_is_damage(path: Path) -> None:
    """A search reports an index that contradicts the records."""
    with LMDBEventStore(path) as store:
        store.save_many(Event(f"e{n}", timestamp=1.0) for n in range(10))
        key = fmt.encode_time(1.0) + fmt.encode_number(5)[:-1] + b"\0"
        with writing(store) as (txn, databases):
            txn.put(b"ghost", key, db=databases.flags)
            txn.put(b"ghost-id", key, db=databases.ids)
        with pytest.raises(StoreDamaged, match="a flag names an event"):
            list(store.search(flags=["ghost"]))
        with pytest.raises(StoreDamaged, match="its event is not"):
            store.get("ghost-id")
        with writing(store) as (txn, databases):
            txn.delete(b"ghost", db=databases.flags)
            txn.delete(b"ghost-id", db=databases.ids)


def test_a_record_with_a_flipped_bit_is_never_returned(path: Path) -> None:
    """Neither by `get`, nor by `delete`, which would leave postings of other flags."""
    with LMDBEventStore(path) as store:
        store.save(Event("a", timestamp=1.0, tags=["f"], content="all as it was"))
        key = fmt.encode_time(1.0) + fmt.encode_number(1)
        record = store._session.read(lambda txn, databases: txn.get(key, db=databases.timeline))
        assert record is not None
        for bit in range(len(record) * 8):
            flipped = bytearray(record)
            flipped[bit // 8] ^= 1 << bit % 8
            with writing(store) as (txn, databases):
                assert txn.put(key, bytes(flipped), db=databases.timeline)
            with pytest.raises(StoreDamaged, match="checksum"):
                store.get("a")
            with pytest.raises(StoreDamaged, match="checksum"):
                store.delete("a")
        with writing(store) as (txn, databases):
            assert txn.put(key, record, db=databases.timeline)
        assert store.get("a").content == "all as it was"


def test_the_event_of_another_id_is_never_returned(path: Path) -> None:
    with LMDBEventStore(path) as store:
        store.save(Event("a", timestamp=1.0))
        entry = store._session.read(lambda txn, databases: txn.get(b"a", db=databases.ids))
        assert entry is not None
        with writing(store) as (txn, databases):
            assert txn.put(b"b", entry, db=databases.ids)
        with pytest.raises(StoreDamaged, match="'b'"):
            store.get("b")
        with writing(store) as (txn, databases):
            txn.delete(b"b", db=databases.ids)


def test_a_batch_of_events_is_in_memory_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the events nor the written rows stay in memory while the next are read."""
    monkeypatch.setattr(saving, "BATCH_EVENTS", 100)
    alive: list[int] = []
    index = saving.Batch.index

    def measured(batch: saving.Batch, txn: WriteTransaction, *arguments: Any, **named: Any) -> None:
        index(batch, txn, *arguments, **named)
        parts = [known for known in gc.get_objects() if isinstance(known, saving.Batch)]
        assert not any(isinstance(known, fmt.Row) for known in gc.get_objects())
        alive.append(sum(len(known.rows.records) for known in parts))

    monkeypatch.setattr(saving.Batch, "index", measured)

    def events() -> Iterator[Event]:
        for number in range(1000):
            if number == 550:
                objects = gc.get_objects()
                mine = [one for one in objects if isinstance(one, Event) and one.source == "once"]
                assert len(mine) == 50, "those of this part"
            yield Event(f"e{number}", "once", tags=["shared"])

    gc.collect()
    with LMDBEventStore(path, durability="none") as store:
        assert store.save_many(events()) == len(store) == 1000
    assert alive == list(range(1000, 0, -100))


def test_a_duplicate_in_a_late_part_undoes_the_earlier_parts(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All parts are in one transaction."""
    monkeypatch.setattr(saving, "BATCH_EVENTS", 10)
    with LMDBEventStore(path, durability="none") as store:
        store.save(Event("e75"))
        with pytest.raises(DuplicateEvent, match="e75"):
            store.save_many(Event(f"e{n}") for n in range(100))
        assert len(store) == 1
        store.save_many(Event(f"f{n}", timestamp=float(-n), tags=["f"]) for n in range(100))
        assert store.count(flags=["f"]) == 100


def test_a_token_uses_one_page_while_another_thread_changes_to_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The number of returned events and the position of the last are of the same page."""
    long = Page([Event(f"e{n}") for n in range(5)], lambda n: Position(1.0, n + 1))
    short = Page([Event("f")], lambda _: Position(2.0, 9))
    pages = iter([long])
    search = Search(lambda: next(pages, None))
    assert [next(search).id for _ in range(5)] == ["e0", "e1", "e2", "e3", "e4"]

    def given(page: Page) -> int:
        search._page = short  # as the other thread does
        return len(page.events)

    monkeypatch.setattr(Page, "given", property(given))
    assert search._position()() == Position(1.0, 5)  # type: ignore[misc]  # not None here


def test_a_signal_handler_during_an_import_gets_an_error_of_ours(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have interrupted the import of a module for the first pattern or long id."""
    with LMDBEventStore(path) as store:
        for half_imported in ("lmdbstore.patterns.pattern", "hashlib"):
            monkeypatch.setitem(sys.modules, half_imported, ModuleType(half_imported))
        with pytest.raises(EventReadException, match="signal handler"):
            store.search(match="x")
        with pytest.raises(EventStoreException, match="signal handler"):
            store.get("x" * 600)
        monkeypatch.undo()
        assert list(store.search(match="x")) == []
        assert store.get("x" * 600, None) is None
