"""The feed: every event once, in the order of commits, whatever is changed between two pages."""

from __future__ import annotations

import random
import tempfile
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmdbstore import Event, LMDBEventStore, StoreDamaged
from lmdbstore.disk import format as fmt
from lmdbstore.disk.databases import next_local_id
from lmdbstore.feed import pages
from lmdbstore.feed.pages import Feed
from tests.tools.damages import flipped
from tests.tools.indexes import assert_indexes_agree
from tests.tools.planting import writing
from tests.tools.properties import examples
from tests.tools.sealing import TINIEST, make_tiny_runs, shape

SMALL = {
    "FIRST_WINDOW": 3,
    "LONGEST_WINDOW": 9,
    "LONGEST_PAGE": 4,
    "PAGE_BYTES": 9_000,  # two of the long contents
    "MANY": 2,
}


def make_small(patch: pytest.MonkeyPatch) -> None:
    make_tiny_runs(patch, TINIEST)
    for name, size in SMALL.items():
        assert hasattr(pages, name)
        patch.setattr(pages, name, size)


def following(store: LMDBEventStore) -> int:
    """Return the next local id."""
    return store._session.read(lambda txn, dbs: fmt.decode_number(next_local_id(txn, dbs)))


def fed(store: LMDBEventStore, low: int = 1, high: int | None = None) -> list[Event]:
    """Return a part of the feed, read at once."""
    feed = Feed(store._session.read, low, following(store) if high is None else high)
    found: list[Event] = []
    while (page := feed.next_page()) is not None:
        assert len(page.local_ids) == len(page.events)
        found += page.events
    return found


class Unread:
    """A feed that is under way, and what it must still give."""

    def __init__(self, store: LMDBEventStore, low: int, high: int, left: list[Event]) -> None:
        self.store, self.feed = store, Feed(store._session.read, low, high)
        self.left = left
        self.gone: set[str] = set()  # deleted since: it may be given or not
        self.last = low - 1

    def read(self) -> bool:
        """Read a page; return whether there was one."""
        page = self.feed.next_page()
        if page is None:
            assert {event.id for event in self.left} <= self.gone
            return False
        assert len(page.events) <= SMALL["LONGEST_PAGE"]
        assert [self.last, *page.local_ids] == sorted({self.last, *page.local_ids})
        assert max([self.last + 1, *page.local_ids]) <= page.reached < following(self.store)
        self.last = page.reached
        for event in page.events:
            place = self.left.index(event)
            assert {missed.id for missed in self.left[:place]} <= self.gone
            del self.left[: place + 1]
        return True


class Model:
    """A store, and its events as a plain list in the order of commits."""

    def __init__(self, store: LMDBEventStore) -> None:
        self.store = store
        self.saved: list[tuple[int, Event]] = []  # with a number that is not above its local id
        self.numbers = count()
        self.feeds: list[Unread] = []

    def made(self, time: int) -> Event:
        number = next(self.numbers)
        content = "z" * 5_000 if number % 7 == 0 else f"content {number}"
        return Event(f"e{number}", f"s{number % 2}", float(time), ["f"], content)

    def save(self, times: list[int]) -> None:
        first, events = following(self.store), [self.made(time) for time in times]
        if len(events) == 1:
            self.store.save(events[0])
        else:
            self.store.save_many(events)
        self.saved += enumerate(events, first)

    def forget(self, ids: set[str]) -> None:
        self.saved = [(n, event) for n, event in self.saved if event.id not in ids]
        for unread in self.feeds:
            unread.gone |= ids

    def delete(self, pick: int) -> None:
        if self.saved:
            _, event = self.saved[pick % len(self.saved)]
            self.store.delete(event.id)
            self.forget({event.id})

    def purge(self, pick: int) -> None:
        before = {event.id for event in self.store.search()}
        self.store.purge(before=float(pick % 20))
        self.forget(before - {event.id for event in self.store.search()})

    def begin(self, low: int, high: int) -> None:
        end = following(self.store)
        low, high = low % (end + 1) + 1, min(high % (2 * end) + 1, end)
        left = [event for n, event in self.saved if low <= n < high]
        assert fed(self.store, low, high) == left
        self.feeds.append(Unread(self.store, low, high, left))


TIMES = st.lists(st.integers(0, 30), min_size=1, max_size=9)
COMMANDS = st.one_of(
    st.tuples(st.just("save"), TIMES),
    st.tuples(st.just("save"), st.integers(0, 30).map(lambda time: [time])),
    st.tuples(st.just("save"), st.integers(0, 20).map(lambda time: [*range(time, time + 9)])),
    st.tuples(st.just("delete"), st.integers(0, 1000)),
    st.tuples(st.just("purge"), st.integers(0, 10)),
    st.tuples(st.just("seal")),
    st.tuples(st.just("begin"), st.integers(0, 1000), st.integers(0, 1000)),
    st.tuples(st.just("begin"), st.just(0), st.just(0)),
    st.tuples(st.just("read"), st.integers(0, 10)),
    st.tuples(st.just("compact")),
)


def play(store: LMDBEventStore, commands: list[tuple[Any, ...]]) -> None:
    model = Model(store)
    for name, *arguments in commands:
        if name in {"seal", "compact"}:
            getattr(store, name)()
        elif name == "read":
            for unread in model.feeds[arguments[0] % (len(model.feeds) + 1) :][:1]:
                unread.read()
        else:
            getattr(model, name)(*arguments)
    assert fed(store) == [event for _, event in model.saved]
    for unread in model.feeds:
        while unread.read():
            pass
    assert_indexes_agree(store)


@examples(60)
@given(st.lists(COMMANDS, max_size=40))
def test_each_event_is_given_once_in_the_order_of_commits(commands: list[tuple[Any, ...]]) -> None:
    with (
        pytest.MonkeyPatch.context() as patch,
        tempfile.TemporaryDirectory() as folder,
        LMDBEventStore(Path(folder) / "events", durability="none") as store,
    ):
        make_small(patch)
        play(store, commands)


@pytest.mark.parametrize("seed", range(3))
def test_interleaved_logs_are_given_in_the_order_of_commits(
    store: LMDBEventStore, seed: int
) -> None:
    """Runs and pages of the usual size: each run has events of each log."""
    chance = random.Random(seed)
    events = [Event(f"e{n}", timestamp=n % 700 + chance.random()) for n in range(3_500)]
    for place in range(0, len(events), 500):
        store.save_many(events[place : place + 500])
    for event in chance.sample(events, 300):
        store.delete(event.id)
        events.remove(event)
    assert len(shape(store).runs) > 3
    assert fed(store) == events
    store.seal()
    assert fed(store) == events
    assert fed(store, 600, 1200) == [event for event in events if 599 <= int(event.id[1:]) < 1199]


def test_a_page_has_bounded_bytes(store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "PAGE_BYTES", 10_000)
    store.save_many(Event(f"e{n}", timestamp=float(-n), content="x" * 4_000) for n in range(40))
    store.save(Event("large", content="x" * 50_000))
    feed = Feed(store._session.read, 1, following(store))
    sizes = []
    while (page := feed.next_page()) is not None:
        sizes.append(sum(len(event.content) for event in page.events))
    assert max(sizes[:-1]) <= 12_000
    assert sum(sizes) == 40 * 4_000 + 50_000


def test_what_is_saved_or_deleted_between_two_pages(
    store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planned events that were deleted are left out; an id that is saved again comes later."""
    make_small(monkeypatch)
    store.save_many(Event(f"e{n}", timestamp=float(n)) for n in range(9))
    feed = Feed(store._session.read, 1, following(store))
    assert [event.id for event in feed.next_page().events] == ["e0", "e1", "e2"]  # type: ignore[union-attr]  # there is one
    store.delete("e4")
    store.save(Event("e4", timestamp=4.0))
    found = []
    while (page := feed.next_page()) is not None:
        found += [event.id for event in page.events]
    assert found == ["e3", "e5", "e6", "e7", "e8"]
    assert [event.id for event in fed(store)][-1] == "e4"


def test_an_interrupted_page_is_read_again(
    store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_small(monkeypatch)
    store.save_many(Event(f"e{n}", timestamp=float(n)) for n in range(30))

    def interrupted(at: int) -> Any:
        calls = count()

        def reads(*arguments: Any, **named: Any) -> Any:
            if next(calls) == at:
                raise KeyboardInterrupt
            return store._session.read(*arguments, **named)

        return reads

    for at in range(12):
        feed = Feed(interrupted(at), 1, following(store))
        found: list[str] = []

        def rest(feed: Feed = feed, found: list[str] = found) -> None:
            while (page := feed.next_page()) is not None:
                found.extend(event.id for event in page.events)

        with pytest.raises(KeyboardInterrupt):
            rest()
        rest()
        assert found == [f"e{n}" for n in range(30)]


def test_a_flipped_bit_is_not_given(store: LMDBEventStore) -> None:
    store.save_many(Event(f"e{n}", timestamp=float(n), content=f"c{n}") for n in range(100))
    store.seal()
    (end,) = shape(store).ends
    for at in (100, -3):
        with writing(store) as (txn, databases):
            value = txn.get(end, db=databases.runs)
            txn.put(end, flipped(value, at % len(value)), db=databases.runs)
        with pytest.raises(StoreDamaged):
            fed(store)
        with writing(store) as (txn, databases):
            txn.put(end, value, db=databases.runs)
    with writing(store) as (txn, databases):
        txn.put(end[8:], fmt.commit_entry(1, flipped(end, 3)), db=databases.commits)
    with pytest.raises(StoreDamaged, match="commits"):
        fed(store)
    with writing(store) as (txn, databases):
        txn.put(end[8:], fmt.commit_entry(1, end), db=databases.commits)
