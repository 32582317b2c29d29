"""A flipped bit in a run or in a live record: each way of reading it fails, or is right."""

from __future__ import annotations

import random
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import Event, LMDBEventStore, StoreDamaged
from lmdbstore.disk import format as fmt
from lmdbstore.patterns.pattern import compile_pattern
from lmdbstore.read.run_match import RunMatcher
from lmdbstore.records.decoding import records_at
from lmdbstore.records.record import TermKeys, decode
from lmdbstore.records.run import Run
from tests.tools.planting import writing
from tests.tools.runs import made_run, term
from tests.tools.zstd import with_zstd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lmdbstore.store import Compression
    from tests.tools.runs import Made

WHOLE = 8 * (72 + 24 * 5)  # all bits of the head and of some rows are flipped, and others


def events(number: int, *, late: bool) -> list[tuple[int, Event]]:
    """Return events with local ids; some of those are not in the order of time if `late`."""
    chance = random.Random(number)
    made = [
        Event(
            f"e{n}",
            f"s{n % 2}",
            n / 4,
            [f"f{m}" for m in (1, 2, 30) if n % m == 0],
            f"red {n}\nblue" if n == 3 else f"red {chance.randrange(10**6)}",
        )
        for n in range(number)
    ]
    local_ids = list(range(5, 5 + number))
    if late:
        local_ids[2] += 1000
    return list(zip(local_ids, made, strict=True))


@pytest.fixture(
    params=[
        pytest.param((False, False), id="ascending"),
        pytest.param((True, False), id="late"),
        with_zstd((False, True), id="compressed"),
    ]
)
def made(request: pytest.FixtureRequest) -> Made:
    late, compress = request.param
    return made_run(events(20, late=late), compress=compress)


def readings(made: Made) -> dict[str, Callable[[memoryview], Any]]:
    """Return all ways of reading a run that is searched, by name."""

    def searched(use: Callable[[Run], Any]) -> Callable[[memoryview], Any]:
        def read(value: memoryview) -> Any:
            run = Run(made.end, value)
            run.check_front()
            return use(run)

        return read

    pattern, dense, literal = map(compile_pattern, ("^blue|6$", ".", "red 1"))
    low, high = made.keys[3], made.keys[12]
    flag, source = term(fmt.flag_key("f2")), term(fmt.source_key("s1"))
    return {
        "all": searched(lambda run: run.select(range(run.events))),
        "some": searched(lambda run: run.select(list(run.span(low, high))[::2])),
        "neighbours": searched(lambda run: run.select(run.span(low, high))),
        "one": searched(lambda run: run.select([run.events // 2])),
        "event": searched(lambda run: [run.event(slot) for slot in range(run.events)]),
        "keys": searched(lambda run: (run.keys(), list(run.local_ids()), run.lowest, run.highest)),
        "terms": searched(lambda run: run.common([run.find(flag), run.find(source)])),
        "directory": searched(Run.directory),
        "pattern": searched(lambda run: RunMatcher(pattern).matching(run, range(run.events))),
        "few": searched(lambda run: RunMatcher(pattern).matching(run, [3, 9])),
        "dense": searched(lambda run: RunMatcher(dense).matching(run, range(run.events))),
        "literal": searched(lambda run: RunMatcher(literal).matching(run, range(run.events))),
        "unpacked": lambda value: Run(made.end, value).unpacked(TermKeys()),
        "posting": lambda value: _by_posting(value, 4),
    }


def _by_posting(value: memoryview, slot: int) -> Any:
    """Read the events of a posting; where they cannot be read, the run is read."""
    slots = [slot, slot + 1]
    found = records_at([(value, slots)])
    if found is not None:
        records, local_ids = found
        return decode(records), local_ids
    run = Run(b"", value)
    run.check_front()
    return run.select(slots), list(run.local_ids_at(slots))


def test_no_reading_of_a_run_shows_a_flipped_bit(made: Made) -> None:
    ways = readings(made)
    right = {name: read(memoryview(made.value)) for name, read in ways.items()}
    for bit in range(len(made.value) * 8):
        value, failed = memoryview(made.with_bit(bit)), 0
        for name, read in ways.items():
            try:
                assert read(value) == right[name], (name, bit)
            except StoreDamaged:
                failed += 1
        assert failed, f"no way of reading the run notices bit {bit}"


def test_no_reading_shows_other_events_of_a_run_that_is_cut_off(made: Made) -> None:
    ways = readings(made)
    right = {name: read(memoryview(made.value)) for name, read in ways.items()}
    for length in range(len(made.value)):
        value, failed = memoryview(made.value[:length]), 0
        for name, read in ways.items():
            try:
                assert read(value) == right[name], (name, length)
            except StoreDamaged:
                failed += 1
        assert failed


# -- through the store -----------------------------------------------------------------------------


SEARCHES: list[dict[str, Any]] = [
    {}, {"order": "desc"}, {"flags": ["f2"]}, {"flags": ["f30"]}, {"flags": ["f2", "f1"]},
    {"source": "s1"}, {"match": "red"}, {"match": "red", "flags": ["f30"]}, {"match": "(?i)BLUE"},
    {"limit": 3}, {"ts_start": 1.0, "ts_end": 2.0}, {"ts_start": 2.0, "match": "[0-9]{5}"},
]  # fmt: skip


def answers(store: LMDBEventStore, ids: list[str]) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield everything that a store can be asked about its events."""
    for query in SEARCHES:
        yield f"search {query}", partial(_found, store, query)
        yield f"count {query}", partial(store.count, **query)
    for event_id in ids:
        yield f"get {event_id}", partial(store.get, event_id)
    yield "flags", store.flags


def _found(store: LMDBEventStore, query: dict[str, Any]) -> list[Event]:
    return list(store.search(**query))


def check_answers(store: LMDBEventStore, database: str, bits: range | None = None) -> None:
    """Flip bits of the first value in a database, and ask the store everything each time."""
    key, value = entry(store, database)
    ids = ["e0", "e3", "e19"]
    right = {name: ask() for name, ask in answers(store, ids)}
    for bit in bits or range(8 * len(value)):
        flipped = bytearray(value)
        flipped[bit // 8] ^= 1 << bit % 8
        with writing(store) as (txn, databases):
            assert txn.put(key, bytes(flipped), db=getattr(databases, database))
        failed = 0
        for name, ask in answers(store, ids):
            try:
                assert ask() == right[name], (name, bit)
            except StoreDamaged:
                failed += 1
        assert failed
    with writing(store) as (txn, databases):
        assert txn.put(key, value, db=getattr(databases, database))
    assert {name: ask() for name, ask in answers(store, ids)} == right


def entry(store: LMDBEventStore, database: str) -> tuple[bytes, bytes]:
    """Return the first entry of a database."""

    def read(txn: Any, databases: Any) -> tuple[bytes, bytes]:
        with txn.cursor(db=getattr(databases, database)) as cursor:
            assert cursor.first()
            found: tuple[bytes, bytes] = cursor.item()
            return found

    return store._session.read(read)


@pytest.mark.parametrize(
    ("late", "compression"), [(False, None), (True, None), with_zstd(False, "zstd")]
)
def test_no_answer_of_a_store_shows_a_flipped_bit_of_a_run(
    path: Path, compression: Compression | None, *, late: bool
) -> None:
    with LMDBEventStore(path, durability="none", compression=compression) as store:
        made = [event for _, event in events(20, late=False)]
        store.save_many(made[:2] + made[3:] + made[2:3] if late else made)
        assert store.seal() == 20
        check_answers(store, "runs", range(WHOLE))
        check_answers(store, "runs", range(WHOLE, 8 * len(entry(store, "runs")[1]), 7))


@pytest.mark.parametrize("content", ["red blue", "red\n7", ""])
def test_no_answer_of_a_store_shows_a_flipped_bit_of_a_live_record(
    path: Path, content: str
) -> None:
    with LMDBEventStore(path, durability="none") as store:
        store.save(Event("e0", "s1", 1.5, ["f1", "f2", "f30"], content))
        store.save_many([Event("e3", "s1", 2.5, ["f2"], "red"), Event("e19", "s", 3.0)])
        check_answers(store, "live")


def test_a_delete_of_an_event_with_a_flipped_bit_changes_nothing(path: Path) -> None:
    """Else postings of terms that the event does not seem to have would remain."""
    with LMDBEventStore(path, durability="none") as store:
        store.save_many(event for _, event in events(20, late=False))
        store.seal()
        end, value = entry(store, "runs")
        run = Run(end, value)
        header, content = run.part(3)
        for place in (0, 8, 70, value.index(bytes(header)), value.index(bytes(content))):
            flipped = bytearray(value)
            flipped[place] ^= 1
            with writing(store) as (txn, databases):
                assert txn.put(end, bytes(flipped), db=databases.runs)
            with pytest.raises(StoreDamaged):
                store.delete("e3")
        with writing(store) as (txn, databases):
            assert txn.put(end, value, db=databases.runs)
        assert store.get("e3").content == "red 3\nblue"
