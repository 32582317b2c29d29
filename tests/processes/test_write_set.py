"""Write sets exclude a read only if the write cannot change its answer, and are read whole or not.

The first is a property of random writes and reads on the memory store: the answers before and after
a write are compared. The changes are those of the store on disk.
"""

from __future__ import annotations

import math
import mmap
import struct
from contextlib import suppress
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any, TypeAlias
from zlib import crc32

import pytest
from hypothesis import event as note
from hypothesis import given
from hypothesis import strategies as st

from lmdbstore import DuplicateEvent, Event, EventNotFound, MemoryEventStore
from lmdbstore.contract.query import Query, checked_query
from lmdbstore.processes.write_set import (
    ANY,
    EVERYTHING,
    MOST,
    SIZE,
    Fields,
    WriteSet,
    publish,
    published,
    united,
)
from lmdbstore.write.change import EmptyCommit
from lmdbstore.write.delete import Delete, DeleteMany
from lmdbstore.write.save import SAVES, Replace, Save, SaveMany
from tests.tools.properties import examples

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmdbstore.contract.types import OnDuplicate
    from lmdbstore.write.change import Change

    Write: TypeAlias = "Event | tuple[OnDuplicate, list[Event]] | str | list[str] | Over"


@dataclass
class Over:
    """A save of an event over the one with its id."""

    event: Event


SEED = 7  # of id keys
IDS = [*"abcdefgh", "x" * 600 + "1", "x" * 600 + "2", "ä"]
TIMES = [-1.5, 0.0, 1.0, math.nextafter(1.0, 2.0), 2.5, 1e9]
FLAGS = ["old", "new", "rare", "", "y" * 600, "ü"]
SOURCES = ["door", "roof", "", "old"]
EVENTS = st.builds(
    Event,
    id=st.sampled_from(IDS),
    source=st.sampled_from(SOURCES),
    timestamp=st.sampled_from(TIMES),
    tags=st.lists(st.sampled_from(FLAGS), max_size=2),
    content=st.sampled_from(["", "word"]),
)
UNIQUE = st.lists(EVENTS, max_size=3, unique_by=lambda event: event.id)
PASSING = st.sampled_from(["ignore", "replace"])
BATCHES = st.tuples(st.just("raise"), UNIQUE) | st.tuples(PASSING, st.lists(EVENTS, max_size=3))
# Saves, batches, deletes of one or many, and saves over what is there.
MANY_IDS = st.lists(st.sampled_from(IDS), min_size=1, max_size=3, unique=True)
WRITES = st.one_of(EVENTS, BATCHES, st.sampled_from(IDS), MANY_IDS, st.builds(Over, EVENTS))
BOUNDS = st.sampled_from([None, -math.inf, math.inf, *TIMES])
QUERIES = st.fixed_dictionaries(
    {},
    optional={
        "ts_start": BOUNDS,
        "ts_end": BOUNDS,
        "flags": st.lists(st.sampled_from([*FLAGS, "nobody"]), max_size=2),
        "any_flags": st.lists(st.sampled_from([*FLAGS, "nobody"]), max_size=3),
        "not_flags": st.lists(st.sampled_from([*FLAGS, "nobody"]), max_size=2),
        "match": st.sampled_from(["w", "^$"]),
        "order": st.sampled_from(["asc", "desc"]),
        "source": st.sampled_from(SOURCES),
        "limit": st.integers(0, 3),
        "after": st.builds("{}@{!r}".format, st.integers(1, 9), st.sampled_from(TIMES)),
    },
)


def change(write: Write) -> Change:
    if isinstance(write, str):
        return Delete(write)
    if isinstance(write, Event):
        return Save(write)
    if isinstance(write, Over):
        return Replace(write.event)
    if isinstance(write, list):
        return DeleteMany(write)
    mode, events = write
    return SAVES[mode](events, SEED)


def carry_out(store: MemoryEventStore, write: Write) -> None:
    with suppress(DuplicateEvent, EventNotFound):
        if isinstance(write, str):
            store.delete(write)
        elif isinstance(write, Event):
            store.save(write)
        elif isinstance(write, Over):
            store.save(write.event, on_duplicate="replace")
        elif isinstance(write, list):
            store.delete_many(write)
        else:
            mode, events = write
            store.save_many(events, on_duplicate=mode)


def query(conditions: dict[str, Any]) -> Query:
    names = ["ts_start", "ts_end", "flags", "match", "order", "source", "limit", "after"]
    given_: dict[str, Any] = dict.fromkeys(names) | {"order": "asc"} | conditions
    positional = [given_.pop(name) for name in names[:5]]
    given_["locate"] = given_["number_of"] = lambda _: pytest.fail("not an id")
    return checked_query(*positional, **given_)


@given(
    st.lists(EVENTS, max_size=8, unique_by=lambda event: event.id),
    st.lists(WRITES, min_size=1, max_size=3),
    st.lists(QUERIES, max_size=4),
)
@examples(300)
def test_a_write_changes_no_answer_that_it_may_not_change(
    events: list[Event], writes: list[Write], queries: list[dict[str, Any]]
) -> None:
    may = WriteSet(*united([change(write).writes for write in writes]))
    with MemoryEventStore() as store:
        store.save_many(events)

        def found() -> list[tuple[list[Event], int]]:
            return [(list(store.search(**one)), store.count(**one)) for one in queries]

        found_before, before = found(), {name: store.get(name, None) for name in IDS}
        for write in writes:
            carry_out(store, write)
        for one, old, new in zip(queries, found_before, found(), strict=True):
            note(f"may change a search: {may.may_change(query(one))}")
            assert old == new or may.may_change(query(one)), one
        for name, old_event in before.items():
            new_event = store.get(name, None)
            note(f"may change a get: {may.may_add(name)}")
            assert old_event == new_event or may.may_add(name)
            if old_event is not None:
                assert old_event == new_event or may.may_remove(name)


def test_unrelated_reads_are_excluded() -> None:
    """Else the property would hold for write sets that exclude nothing."""
    saved = WriteSet(*Save(Event("new", "roof", 5.0, ["a", "b"])).writes)
    assert saved == (False, 5.0, 5.0, saved.ids, saved.labels)
    assert saved.may_add("new")
    assert not saved.may_add("old")
    assert not saved.may_remove("new")
    excluded: list[dict[str, Any]] = [
        {"ts_end": 4.9},
        {"ts_start": 5.1},
        {"flags": ["c"]},
        {"flags": ["a", "c"]},
        {"any_flags": ["c", "d"]},
        {"source": "door"},
        {"after": "1@5.5"},
        {"after": "1@4.5", "order": "desc"},
    ]
    for conditions in excluded:
        assert not saved.may_change(query(conditions)), conditions
    concerned: list[dict[str, Any]] = [
        {},
        {"ts_start": 5.0, "ts_end": 5.0, "flags": ["a", "b"], "source": "roof"},
        {"any_flags": ["c", "a"], "not_flags": ["c"]},
        {"after": "1@5.0"},
        {"after": "1@5.0", "order": "desc"},
    ]
    for conditions in concerned:
        assert saved.may_change(query(conditions)), conditions
    replaced = WriteSet(*SAVES["replace"]([Event("old", "roof", 5.0)], SEED).writes)
    assert replaced.may_remove("old")
    assert not replaced.may_remove("new")
    assert not replaced.may_add("new")
    assert replaced.may_change(query({"ts_end": 4.9, "flags": ["c"], "source": "door"}))
    assert Replace(Event("old", "roof", 5.0)).writes == replaced
    removed = WriteSet(*Delete("old").writes)
    assert DeleteMany(["old"]).writes == removed
    assert removed.may_remove("old")
    assert not removed.may_remove("new")
    assert removed.may_change(query({"ts_end": 4.9}))


@pytest.mark.parametrize("at_once", [2, 10])
def test_the_times_of_many_events_may_be_in_any_order(
    monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    """They are written in one transaction, in batches."""
    monkeypatch.setattr("lmdbstore.write.save.BATCH_EVENTS", at_once)
    times = [5.0, 1.0, 9.0, -3.0, 4.0]
    events = [Event(f"id {n}", f"s {n}", time, [f"f {n}"]) for n, time in enumerate(times)]
    saved = WriteSet(*SaveMany(events, SEED).writes)
    assert (saved.low, saved.high) == (-3.0, 9.0)
    for n in range(len(times)):
        assert saved.may_add(f"id {n}")
        assert saved.may_change(query({"source": f"s {n}", "flags": [f"f {n}"]}))


@pytest.mark.parametrize("number", [MOST, MOST + 1])
def test_a_filter_of_many_texts_excludes_nothing(number: int) -> None:
    """It would exclude little, and making it would take long."""
    events = [Event(f"id {n}", "s", float(n), [f"flag {n}"]) for n in range(number)]
    removes, low, high, ids, labels = SaveMany(events, SEED).writes
    assert (removes, low, high) == (False, 0.0, number - 1)
    assert (ids == ANY) == (number > MOST)
    assert labels == ANY  # a source, too


def test_a_change_that_says_nothing_of_its_events_may_change_all() -> None:
    assert EmptyCommit().writes == SaveMany([], SEED).writes == EVERYTHING
    assert EVERYTHING.may_remove("any")
    assert EVERYTHING.may_change(query({"ts_end": -1e300, "flags": ["any"], "source": "any"}))


# -- in the side file -----------------------------------------------------------------------------

SETS: list[Fields] = [
    Save(Event("a", "door", 1.0, ["x"])).writes,
    Save(Event("b", "roof", 2.0, ["y"])).writes,
    Delete("a").writes,
    EVERYTHING,
    SaveMany([Event("c", timestamp=-1.0), Event("d", timestamp=1e300)], SEED).writes,
]


def at(side: mmap.mmap, byte: int) -> WriteSet | None:
    """Return what a reader finds that sees this byte."""
    return published(bytes([byte]) + side[1:])


@pytest.fixture
def side() -> Iterator[mmap.mmap]:
    with mmap.mmap(-1, SIZE) as side:
        yield side


def test_what_is_published_is_read(side: mmap.mmap) -> None:
    for turn in range(300):  # the count wraps
        writes = SETS[turn % len(SETS)]
        count = publish(side, writes)
        assert count == (2 * turn + 1) % 256
        assert at(side, count) == writes
        assert type(at(side, count)) is WriteSet


def test_the_bytes_are_as_documented(side: mmap.mmap) -> None:
    removes, low, high, ids, labels = SETS[0]
    count = publish(side, SETS[0])
    fields = struct.pack(">B?6xddQQ", count, removes, low, high, ids, labels)
    assert side[:] == bytes(8) + fields + struct.pack(">I", crc32(fields))
    assert ids == 1 << (crc32(b"a") & 63) | 1 << (crc32(b"a") >> 16 & 63)
    assert labels == 1 << (crc32(b"sdoor") & 63) | 1 << (crc32(b"fx") & 63)


def test_nothing_else_is_taken_for_a_write_set(side: mmap.mmap) -> None:
    assert at(side, 1) == EVERYTHING, "before the first write"
    count = publish(side, SETS[0])
    for byte in range(256):
        expected = EVERYTHING if byte & 1 else None
        assert at(side, byte) == (SETS[0] if byte == count else expected)
    for bit in range(64, SIZE * 8):
        side[bit >> 3] ^= 1 << (bit & 7)
        assert at(side, count) == EVERYTHING, f"bit {bit} was flipped"
        side[bit >> 3] ^= 1 << (bit & 7)
    with mmap.mmap(-1, SIZE - 1) as short:
        short[:] = side[: SIZE - 1]
        assert at(short, count) == EVERYTHING


def test_a_part_of_a_write_set_and_a_part_of_the_next_are_not_taken_for_one(
    side: mmap.mmap,
) -> None:
    """Whichever part comes first, in units of bytes, and with the byte of either."""
    for old in SETS:
        for new in SETS:
            counts = []
            states = []
            for writes in (old, new):
                counts.append(publish(side, writes))
                states.append(side[:])
            parts = [state[8:] for state in states]
            for cut in range(9, SIZE):
                for first, last in (states, states[::-1]):
                    side[:] = first[:cut] + last[cut:]
                    for count, whole in zip(counts, (old, new), strict=True):
                        found = at(side, count)
                        assert found == EVERYTHING or (found == whole and side[8:] in parts)
            side[:] = states[1]


def test_sets_are_united() -> None:
    for writes in SETS:
        assert united([writes]) == writes
    all_of_them = united(SETS)
    assert all_of_them[:3] == (True, -math.inf, math.inf)
    assert united(SETS[:2]) == (
        False,
        1.0,
        2.0,
        SETS[0][3] | SETS[1][3],
        SETS[0][4] | SETS[1][4],
    )
    assert all_of_them[3] == reduce(int.__or__, [writes[3] for writes in SETS])
