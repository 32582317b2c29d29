"""Searches with `damaged="skip"`: they show everything that is whole, and count what is not."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import Event, EventView, LeftOut, LMDBEventStore, StoreDamaged
from lmdbstore.disk import format as fmt
from lmdbstore.read import found as finding
from lmdbstore.records.layout import HEAD, HEAD_SIZE
from lmdbstore.records.pack import bitmap
from tests.tools.damages import small_runs
from tests.tools.planting import writing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lmdbstore.contract.types import Order

RUN = 8
SEALED = 40  # five runs
EVENTS = SEALED + 6  # the others are live
DAMAGED = range(16, 24)  # the third run
ORDERS: list[Order] = ["asc", "desc"]


def event(n: int) -> Event:
    """Return an event; two neighbours have the same time."""
    flags = [f"f{m}" for m in (1, 2, 3, 23) if n % m == 0]
    return Event(f"e{n}", f"s{n % 2}", n // 2 / 4, flags, f"red {n}\nblue" if n % 5 == 0 else "red")


ALL = [event(n) for n in range(EVENTS)]

QUERIES: list[tuple[dict[str, Any], Callable[[Event], bool]]] = [
    ({}, lambda _: True),
    ({"flags": ["f2"]}, lambda one: "f2" in one.tags),
    ({"flags": ["f2", "f3"]}, lambda one: {"f2", "f3"} <= set(one.tags)),
    ({"flags": ["f23"]}, lambda one: "f23" in one.tags),
    ({"source": "s1", "flags": ["f3"]}, lambda one: one.source == "s1" and "f3" in one.tags),
    ({"match": "blue$"}, lambda one: "blue" in one.content),
    ({"match": "blue", "flags": ["f2"]}, lambda one: "blue" in one.content and "f2" in one.tags),
    ({"match": "."}, lambda _: True),
    ({"ts_start": 1.0, "ts_end": 2.25}, lambda one: 1 <= one.timestamp <= 2.25),
    ({"ts_start": 2.0, "match": "red [12]"}, lambda one: one.id in {"e20", "e25"}),
]


@pytest.fixture(params=[2, 64], ids="runs-{}".format)
def store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[LMDBEventStore]:
    """Yield a store with runs and live events, of which some runs are read at once."""
    small_runs(monkeypatch, RUN)
    monkeypatch.setattr(finding, "MOST_RUNS", request.param)
    with LMDBEventStore(tmp_path / "events", durability="none") as store:
        store.save_many(ALL[:SEALED])
        store.seal()
        store.save_many(ALL[SEALED:])
        assert len(ends(store)) == SEALED // RUN
        yield store


def ends(store: LMDBEventStore) -> list[bytes]:
    return store._session.read(
        lambda txn, databases: [key for key, _ in txn.cursor(db=databases.runs)]
    )


def damaged_end(store: LMDBEventStore) -> bytes:
    return ends(store)[DAMAGED[0] // RUN]


def flip(store: LMDBEventStore, database: str, key: bytes, place: int, bit: int = 1) -> bytes:
    """Flip a bit of a value, and return the value as it was."""
    with writing(store) as (txn, databases):
        handle = getattr(databases, database)
        value: bytes = txn.get(key, db=handle)
        flipped = value[:place] + bytes([value[place] ^ bit]) + value[place + 1 :]
        assert txn.put(key, flipped, db=handle)
    return value


def put(store: LMDBEventStore, database: str, key: bytes, value: bytes | None) -> None:
    with writing(store) as (txn, databases):
        handle = getattr(databases, database)
        assert txn.delete(key, db=handle) if value is None else txn.put(key, value, db=handle)


def in_pages(view: EventView, query: dict[str, Any], limit: int) -> Iterator[Event]:
    """Search in pages, each after the token of the one before."""
    token = None
    while True:
        search = view.search(**query, limit=limit, after=token, damaged="skip")
        page = list(search)
        yield from page
        token = search.token
        if len(page) < limit:
            return


def check(store: LMDBEventStore, lost: set[str], left_out: LeftOut) -> None:
    """Check that searches leave out the events `lost`, and only these.

    A search that reads everything leaves out so much.
    """
    for query, matches in QUERIES:
        for order in ORDERS:
            arguments = {**query, "order": order}
            expected = [one for one in ALL if one.id not in lost and matches(one)]
            if order == "desc":
                expected.reverse()
            search = store.search(**arguments, damaged="skip")
            found = list(search)
            # A posting may lead to an event of a run that cannot be read otherwise.
            rest = [one for one in found if one.id in lost]
            assert [one for one in found if one not in rest] == expected, arguments
            assert not rest or "flags" in query
            assert found == sorted(found, key=ALL.index, reverse=order == "desc")
            count = store.count(**arguments, damaged="skip")
            assert (count, count.left_out) == (len(found), search.left_out)
            missing = [one for one in ALL if matches(one) and one not in found]
            assert search.left_out.events >= len(missing) or search.left_out.uncounted, arguments
            if not query:
                assert search.left_out == left_out
            for limit in (1, 3, 7):
                assert list(in_pages(store, arguments, limit)) == found, (arguments, limit)
            if missing and "match" not in query and not left_out.uncounted:
                with pytest.raises(StoreDamaged):
                    list(store.search(**arguments))
    with store.snapshot() as view:
        search = view.search(damaged="skip")
        assert [one.id for one in search] == [one.id for one in ALL if one.id not in lost]
        assert search.left_out == left_out


def test_a_damaged_front_costs_the_run(store: LMDBEventStore) -> None:
    end, lost = damaged_end(store), {f"e{n}" for n in DAMAGED}
    value = flip(store, "runs", end, 0)
    headers_at = HEAD.unpack_from(value)[-2]
    for place in (0, 24, 40, 42, 44, 56, 63, HEAD_SIZE, HEAD_SIZE + 30, headers_at - 1):
        put(store, "runs", end, value)
        flip(store, "runs", end, place)
        check(store, lost, LeftOut(RUN, 1, 0))


def test_any_flipped_bit_of_a_run_costs_what_it_concerns(store: LMDBEventStore) -> None:
    """A front: the run. A header or a content: its event. A checksum or a joint: nothing."""
    end = damaged_end(store)
    value = flip(store, "runs", end, 0)
    headers_at = HEAD.unpack_from(value)[-2]
    for place in range(len(value)):
        put(store, "runs", end, value)
        flip(store, "runs", end, place, 1 << place % 8)
        search = store.search(damaged="skip")
        ids = [one.id for one in search]
        assert ids == [one.id for one in ALL if one.id in ids]
        lost = {one.id for one in ALL}.difference(ids)
        assert lost <= {f"e{n}" for n in DAMAGED}
        assert len(lost) == RUN if place < headers_at else len(lost) <= 1
        assert search.left_out == LeftOut(len(lost), len(lost) // RUN, 0)
        if lost:
            with pytest.raises(StoreDamaged, match=r"run of events that ends at the time 2\.75 "):
                list(store.search())


@pytest.mark.parametrize("part", [b'"e20"', b"red 20", b"blue"])
def test_a_damaged_record_costs_its_event(store: LMDBEventStore, part: bytes) -> None:
    end = damaged_end(store)
    value = flip(store, "runs", end, 0)
    put(store, "runs", end, value)
    flip(store, "runs", end, value.index(part) + 1)
    check(store, {"e20"}, LeftOut(1, 0, 0))


def test_a_run_that_is_cut_off_or_missing(store: LMDBEventStore) -> None:
    end, lost = damaged_end(store), {f"e{n}" for n in DAMAGED}
    for value in (b"", b"short"):
        put(store, "runs", end, value)
        check(store, lost, LeftOut(RUN, 1, 0))


def test_an_index_that_leads_to_a_missing_run(store: LMDBEventStore) -> None:
    end = damaged_end(store)
    put(store, "runs", end, None)
    for order in ORDERS:
        search = store.search(flags=["f2"], order=order, damaged="skip")
        expected = [one for n, one in enumerate(ALL) if n % 2 == 0 and n not in DAMAGED]
        assert list(search) == (expected if order == "asc" else expected[::-1])
        assert search.left_out == LeftOut(RUN, 1, 0)
        with pytest.raises(StoreDamaged, match=r"that ends at the time 2\.75 is not there"):
            list(store.search(flags=["f2"], order=order))
    inside = store.search(2.5, flags=["f2"], damaged="skip")
    assert [one.id for one in inside] == [one.id for one in expected if one.timestamp >= 2.5]
    assert inside.left_out == LeftOut(RUN, 1, 0)
    put(store, "summaries", end, None)
    search = store.search(flags=["f2"], damaged="skip")
    assert len(list(search)) == len(expected)
    assert search.left_out == LeftOut(0, 1, 1)
    assert str(search.left_out) == "at least 0 damaged events (1 whole run)"


def test_an_index_that_leads_to_a_missing_last_run(store: LMDBEventStore) -> None:
    put(store, "runs", ends(store)[-1], None)
    search = store.search(flags=["f2"], damaged="skip")
    assert len(list(search)) == (EVENTS - RUN) // 2
    assert search.left_out == LeftOut(RUN, 1, 0)


def test_a_posting_of_one_event_that_leads_to_a_missing_run(store: LMDBEventStore) -> None:
    put(store, "runs", damaged_end(store), None)
    search = store.search(flags=["f23"], damaged="skip")
    assert [one.id for one in search] == ["e0"]
    assert search.left_out.runs == 1


def test_damaged_live_events_are_left_out(store: LMDBEventStore) -> None:
    keys = store._session.read(
        lambda txn, databases: [key for key, _ in txn.cursor(db=databases.live)]
    )
    for place in (0, 6, 25):
        value = flip(store, "live", keys[2], place)
        check(store, {f"e{SEALED + 2}"}, LeftOut(1, 0, 0))
        put(store, "live", keys[2], value)
    for cut in (b"", b"\0\0\0\0"):
        put(store, "live", keys[2], cut)
        check(store, {f"e{SEALED + 2}"}, LeftOut(1, 0, 0))


def test_a_posting_of_a_live_event_that_is_not_there(store: LMDBEventStore) -> None:
    key = fmt.join_key(fmt.encode_time(ALL[-2].timestamp), fmt.encode_number(EVENTS - 1))
    put(store, "live", key, None)
    for order in ORDERS:
        search = store.search(flags=["f2"], order=order, damaged="skip")
        assert len(list(search)) == EVENTS // 2 - 1
        assert search.left_out == LeftOut(1, 0, 0)


def test_everything_may_be_damaged(store: LMDBEventStore) -> None:
    """Several runs in a row, and live events between them."""
    for end in ends(store):
        flip(store, "runs", end, 50)
    late = [Event(f"late{n}", timestamp=n + 0.1, tags=["f2"]) for n in range(5)]
    store.save_many(late)
    live = [*late, *ALL[SEALED:]]
    live.sort(key=lambda one: one.timestamp)
    for order in ORDERS:
        search = store.search(order=order, damaged="skip")
        assert list(search) == (live if order == "asc" else live[::-1])
        assert search.left_out == LeftOut(SEALED, SEALED // RUN, 0)
        assert list(in_pages(store, {"order": order}, 2)) == list(
            store.search(order=order, damaged="skip")
        )


def test_deleted_events_are_not_counted_as_lost(store: LMDBEventStore) -> None:
    end = damaged_end(store)
    value = flip(store, "runs", end, 0)
    put(store, "runs", end, value)
    put(store, "dead", end, bitmap([4], RUN))
    flip(store, "runs", end, value.index(b"red 20"))
    search = store.search(damaged="skip")
    assert list(search) == [one for one in ALL if one.id != "e20"]
    assert not search.left_out


def test_what_is_left_out_is_known_as_far_as_was_read(tmp_path: Path) -> None:
    with LMDBEventStore(tmp_path / "events", durability="none") as store:
        store.save_many(Event(timestamp=float(n)) for n in range(3000))
        assert store.seal() == 3000 or ends(store)
        last = ends(store)[-1]
        flip(store, "runs", last, 50)
        search = store.search(damaged="skip")
        next(search)
        assert not search.left_out
        assert "damaged='skip'" in repr(search)
        times = [one.timestamp for one in search]
        assert all(before < after for before, after in pairwise(times))
        assert search.left_out == LeftOut(3000 - 1 - len(times), 1, 0)
        assert str(search.left_out).endswith("damaged events (1 whole run)")


def test_explain_says_that_damage_is_left_out(store: LMDBEventStore) -> None:
    assert "leave out what is damaged" in store.explain(damaged="skip")
    assert "leave out what is damaged" not in store.explain()
