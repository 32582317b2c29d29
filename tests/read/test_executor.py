"""The executor compared with the memory store: every plan gives the same answer."""

from __future__ import annotations

import random
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmdbstore import (
    Event,
    EventReadException,
    EventStore,
    EventStoreException,
    LMDBEventStore,
    MemoryEventStore,
    StoreDamaged,
)
from lmdbstore.contract.commits.paged import Page
from lmdbstore.contract.commits.paged import Page as AnyPage
from lmdbstore.contract.query import Position
from lmdbstore.contract.search import Search
from lmdbstore.disk import format as fmt
from lmdbstore.read import executor, found, plan
from lmdbstore.read import live as live_reading
from lmdbstore.read.live import matching_records
from lmdbstore.write import seal
from tests.tools.ids import drop_entry, entry_of, put_entry
from tests.tools.indexes import assert_indexes_agree
from tests.tools.planting import writing
from tests.tools.properties import examples
from tests.tools.sealing import make_tiny_runs, shape
from tests.tools.zstd import with_zstd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lmdbstore.contract.types import Order

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


def live(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RUN", "RUN_BYTES", "WAITING_BYTES", "LATE", "WAITING"):
        monkeypatch.setattr(seal, name, 10**9)
    store.save_many(sample())


def sealed_whole(store: EventStore, _: pytest.MonkeyPatch) -> None:
    store.save_many(sample())
    seal_all(store)


def compressed(store: EventStore, _: pytest.MonkeyPatch) -> None:
    sealed_whole(store, _)
    if isinstance(store, LMDBEventStore):
        seal.seal_all(store._session.write, compress=True)


def tiny(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    make_tiny_runs(monkeypatch)
    for start in range(0, EVENTS, 700):
        store.save_many(sample()[start : start + 700])


def mixed(store: EventStore, _: pytest.MonkeyPatch) -> None:
    """Save some events late, delete others before and after sealing."""
    events = sample()
    store.save_many(events[::2])
    for event in events[:200:4]:
        store.delete(event.id)
    seal_all(store)
    for event in events[200:400:2]:
        store.delete(event.id)
    for event in events[1000::10]:
        store.delete(event.id)
    for start in range(1, EVENTS, 300):
        save_each(store, events[start : start + 300 : 2])
    store.save_many(events[1000::10])
    for event in events[3::60]:
        store.delete(event.id)


def mixed_tiny(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    make_tiny_runs(monkeypatch)
    mixed(store, monkeypatch)
    for number in range(8, EVENTS, 9):
        if f"e{number}" in store:
            store.delete(f"e{number}")


def save_each(store: EventStore, events: list[Event]) -> None:
    """Save events one by one; a store in memory is linear in all of them, and has no runs."""
    if not isinstance(store, LMDBEventStore):
        store.save_many(events)
        return
    for event in events:
        store.save(event)


def seal_all(store: EventStore) -> None:
    if isinstance(store, LMDBEventStore):
        store.seal()


@pytest.fixture(
    scope="module", params=[live, sealed_whole, with_zstd(compressed), tiny, mixed, mixed_tiny]
)
def stores(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[EventStore]]:
    """Yield two stores with the same events: live ones, sealed ones, and both, in runs of any size.

    In the first, nothing is sealed.
    """
    folder = tmp_path_factory.mktemp("executing") / "events"
    fill: Callable[[EventStore, pytest.MonkeyPatch], None] = request.param
    memory = MemoryEventStore()
    with LMDBEventStore(folder, durability="none") as store:
        with pytest.MonkeyPatch.context() as patch:
            fill(memory, patch)
            fill(store, patch)
        assert bool(shape(store).runs) == (fill is not live)
        if fill in {mixed, mixed_tiny}:
            assert shape(store).late
            assert shape(store).dead
        store.snapshot().close()  # opens a side file, which stays open
        yield [memory, store]
        assert_indexes_agree(store)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every search go through many pages."""
    monkeypatch.setattr(executor, "FIRST_PAGE", 3)
    monkeypatch.setattr(executor, "LONGEST_PAGE", 64)
    monkeypatch.setattr(executor, "LONGEST_PATTERN", 100)
    monkeypatch.setattr(executor, "KEY_CHUNK", 100)
    monkeypatch.setattr(live_reading, "CHUNK_BYTES", 150_000)
    monkeypatch.setattr(found, "MOST_RUNS", 5)


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
    """Compared are searches, their tokens, and counts; also those of a snapshot."""
    answers: list[Any] = []
    for store in [*stores, stores[1]]:
        if after is not None and f"e{after}" in store:
            query["after"] = store.get(f"e{after}")
        if len(answers) == 2:
            assert isinstance(store, LMDBEventStore)
            with store.snapshot() as view:
                assert list(view.search(**query)) == answers[0][0]
                assert view.count(**query) == answers[0][2]
            break
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
    """The plans are: walk one posting set, walk all; the planner's choice is not used."""
    memory, store = stores
    expected = [event.id for event in memory.search(flags=wanted, order=order)]
    for merged in (0, 1, 10**9):
        monkeypatch.setattr(plan, "MERGED", merged)
        assert [event.id for event in store.search(flags=wanted, order=order)] == expected
        assert store.count(flags=wanted) == len(expected)


@pytest.mark.parametrize("flag", ["f300", "f50", "f10", "early"])
def test_an_event_that_a_rare_flag_leads_to_matches_the_rest_of_the_query(
    stores: list[EventStore], flag: str
) -> None:
    """A posting with a slot leads to the event; the rest of the query is tested on that alone."""
    rest: list[dict[str, Any]] = [
        *({"source": f"s{n}"} for n in range(5)), {"match": "red"}, {"match": "x{50}"},
        {"flags": [flag, "f2"]}, {"flags": [flag, "late"]}, {"ts_end": 0.0}, {"ts_start": 0.0},
        {"ts_start": -7.5, "ts_end": 7.25, "source": "s1"}, {"limit": 2},
    ]  # fmt: skip
    memory, store = stores
    orders: tuple[Order, ...] = ("asc", "desc")
    for query in rest:
        for order in orders:
            wanted = {"flags": [flag], **query, "order": order}
            assert list(store.search(**wanted)) == list(memory.search(**wanted)), wanted
            assert store.count(**wanted) == memory.count(**wanted)


WRONG_SLOTS = [[0], [3, 4], [0, 1, 2, 3], [7, 8], [2, 3], [3, 40], [65_534]]


@pytest.mark.parametrize("wrong", WRONG_SLOTS, ids=str)
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_a_posting_with_wrong_slots_leads_to_no_other_event(
    tmp_path: Path, order: Order, wrong: list[int]
) -> None:
    """The runs are read where an event lacks the flag or is not there."""
    tags = [["rare"] if n in {3, 7} else ["other"] for n in range(30)]
    with LMDBEventStore(tmp_path) as store:
        store.save_many(Event(f"e{n}", timestamp=float(n), tags=tag) for n, tag in enumerate(tags))
        store.seal()
        with writing(store) as (txn, databases), txn.cursor(db=databases.run_postings) as cursor:
            assert cursor.set_key(fmt.flag_key("rare"))
            end = fmt.posting_key(cursor.value())
            assert cursor.value() == fmt.run_posting(end, [3, 7])
            cursor.delete()
            txn.put(fmt.flag_key("rare"), fmt.run_posting(end, wrong), db=databases.run_postings)
        expected = ["e3", "e7"] if order == "asc" else ["e7", "e3"]
        assert [event.id for event in store.search(flags=["rare"], order=order)] == expected


@pytest.mark.parametrize(
    "other", ["plain", 'quoted"', "back\\slash", "tab\t", "naïve", "\0", "é\n"]
)
def test_an_event_of_a_rare_flag_is_found_by_any_other_flag(path: Path, other: str) -> None:
    """A flag is looked for in the bytes of a header only where these show it as it is."""
    with LMDBEventStore(path) as store:
        store.save_many(
            Event(f"e{n}", other, float(n), [other, *["rare"] * (n % 200 == 0)], "content")
            for n in range(600)
        )
        expected = [f"e{n}" for n in range(0, 600, 200)]
        for query in ({"flags": ["rare", other]}, {"flags": ["rare"], "source": other}):
            assert [event.id for event in store.search(**query)] == expected
        assert store.count(flags=["rare"], source=f"{other}x") == 0


def test_a_page_is_bounded_in_bytes(
    stores: list[EventStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few long contents fill a page before it has its number of live events."""
    monkeypatch.setattr(live_reading, "CHUNK_BYTES", 50_000)
    sizes = [0]
    decode: Callable[[list[bytes]], list[Event]] = vars(live_reading)["decode_live"]

    def measured(values: list[bytes]) -> list[Event]:
        sizes.append(sum(map(len, values)))
        return decode(values)

    monkeypatch.setattr(live_reading, "decode_live", measured)
    memory, store = stores
    assert sum(1 for _ in store.search()) == len(memory)
    assert sum(1 for _ in store.search(flags=[""])) == memory.count(flags=[""])
    assert max(sizes) < 50_000 + 101_000


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
        store.save_many(Event(f"e{n}", timestamp=float(n), content="x") for n in range(0, 300, 2))
        store.seal()
        store.save_many(Event(f"e{n}", timestamp=float(n), content="x") for n in range(1, 300, 6))
        store.save_many(Event(f"e{n}", timestamp=float(n), content="x") for n in range(3, 300, 6))
        for n in range(5, 300, 6):
            store.save(Event(f"e{n}", timestamp=float(n), content="x"))
        assert shape(store).live == 150
        for place in (
            "read.executor._merged",
            "read.live.matching_records",
            "read.run_match.RunMatcher.matching",
            "read.executor._Place",
        ):
            search = store.search(match="x")
            found = [next(search).id for _ in range(3)]
            token = search.token
            with monkeypatch.context() as patch:
                patch.setattr(f"lmdbstore.{place}", interrupt)
                with pytest.raises(KeyboardInterrupt):
                    found += (event.id for event in search)
            token = search.token
            assert token is not None
            assert token.startswith(f"{store._locate(None, found[-1]).local_id}@")
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

    monkeypatch.setattr("lmdbstore.read.live.matching_records", noted)
    with LMDBEventStore(path, durability="none") as store:
        store.save_many(Event(content="x", tags=["f"]) for n in range(500))
        assert store.count(match="x", limit=5) == 5
        assert sum(read) == executor.LONGEST_PATTERN
        assert store.count(limit=7) == store.count(limit=7, flags=["f"]) == 7


def test_a_flag_that_names_no_event_is_damage(path: Path) -> None:
    """A search reports an index that contradicts the records."""
    with LMDBEventStore(path) as store:
        store.save_many(Event(f"e{n}", timestamp=1.0) for n in range(10))
        key = fmt.encode_time(1.0) + fmt.encode_number(5)[:-1] + b"\0"
        with writing(store) as (txn, databases):
            txn.put(b"fghost", key, db=databases.postings)
            put_entry(txn, databases, "ghost-id", key)
        with pytest.raises(StoreDamaged, match="a term names an event"):
            list(store.search(flags=["ghost"]))
        with pytest.raises(StoreDamaged, match="its event is not"):
            store.get("ghost-id")
        with writing(store) as (txn, databases):
            txn.delete(b"fghost", db=databases.postings)
            drop_entry(txn, databases, "ghost-id")


def test_the_event_of_another_id_is_never_returned(path: Path) -> None:
    with LMDBEventStore(path) as store:
        store.save(Event("a", timestamp=1.0))
        entry = store._session.read(lambda txn, databases: entry_of(txn, databases, "a"))
        assert entry is not None
        with writing(store) as (txn, databases):
            put_entry(txn, databases, "b", entry)
        with pytest.raises(StoreDamaged, match="'b'"):
            store.get("b")
        with writing(store) as (txn, databases):
            drop_entry(txn, databases, "b")


def test_a_token_uses_one_page_while_another_thread_changes_to_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The number of returned events and the position of the last are of the same page."""
    long = Page([Event(f"e{n}") for n in range(5)], lambda n: Position(1.0, n + 1))
    short = Page([Event("f")], lambda _: Position(2.0, 9))
    pages = iter([long])
    search = Search(lambda: next(pages, None))
    assert [next(search).id for _ in range(5)] == ["e0", "e1", "e2", "e3", "e4"]

    def given(page: Page[Any, Any]) -> int:
        search._page = short  # as the other thread does
        return len(page.events)

    monkeypatch.setattr(AnyPage, "given", property(given))
    assert search._position()() == Position(1.0, 5)  # type: ignore[misc]  # not None here


def test_a_signal_handler_during_an_import_gets_an_error_of_ours(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have interrupted the import of a module for the first pattern or long flag."""
    with LMDBEventStore(path) as store:
        for half_imported in ("lmdbstore.patterns.pattern", "hashlib"):
            monkeypatch.setitem(sys.modules, half_imported, ModuleType(half_imported))
        with pytest.raises(EventReadException, match="signal handler"):
            store.search(match="x")
        with pytest.raises(EventStoreException, match="signal handler"):
            store.count(flags=["x" * 600])
        monkeypatch.undo()
        assert list(store.search(match="x")) == []
        assert store.count(flags=["x" * 600]) == 0


def test_a_damaged_index_of_ids_brings_no_deleted_event_back(path: Path) -> None:
    """Its event is still in the run, and marked as deleted."""
    with LMDBEventStore(path, durability="none") as store:
        store.save_many(Event(f"e{n}", timestamp=float(n)) for n in range(600))
        key = store._session.read(lambda txn, databases: entry_of(txn, databases, "e7"))
        store.delete("e7")
        with writing(store) as (txn, databases):
            put_entry(txn, databases, "e7", key)
        with pytest.raises(StoreDamaged):
            store.get("e7")
        with writing(store) as (txn, databases):
            drop_entry(txn, databases, "e7")
        assert store.get("e8").id == "e8"
