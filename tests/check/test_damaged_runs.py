"""Flipped bits in a run: each is found, never shown, and costs one event at most."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from lmdbstore import Event, FindingKind, LMDBEventStore, StoreDamaged, repair, verify
from lmdbstore.disk import format as fmt
from lmdbstore.records.events import new_events
from lmdbstore.records.layout import HEAD_SIZE, digest
from lmdbstore.records.pack import directory_of, pack
from lmdbstore.records.record import Rows, TermKeys, encode
from lmdbstore.records.run import Run
from lmdbstore.records.salvage import salvaged
from tests.tools.children import in_child
from tests.tools.damages import small_runs
from tests.tools.indexes import assert_indexes_agree
from tests.tools.planting import writing
from tests.tools.zstd import with_zstd

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EVENTS, RUN = 24, 8
DELETED = "e10"  # of the second run, which is the one that is damaged
DAMAGED_RUN = range(8, 16)


class Whole(NamedTuple):
    """A store with a run to damage."""

    path: Path
    events: list[Event]
    data: bytes
    at: int  # the offset of the run's value in the file
    value: bytes

    def flip(self, place: int, bit: int) -> None:
        """Write the file with a flipped bit in the value of the run."""
        data = bytearray(self.data)
        data[self.at + place] ^= bit
        self.path.joinpath("data.mdb").write_bytes(data)

    def restore(self) -> None:
        self.path.joinpath("data.mdb").write_bytes(self.data)


def event(n: int) -> Event:
    text = ["", f"text {n}\nof two lines", f"é {n}", "x" * 40][n % 4]
    return Event(f"e{n}", "s,", float(n), ["all", f"f{n % 3}", 'a,"b'][: n % 4], text)


@pytest.fixture(params=[None, with_zstd("zstd", id="zstd")])
def whole(
    path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Whole]:
    small_runs(monkeypatch, RUN)
    compression: Any = request.param
    with LMDBEventStore(path, compression=compression) as store:
        store.save_many(event(n) for n in range(EVENTS))
        store.seal()
        store.delete(DELETED)
        with writing(store) as (txn, databases):  # as if more than one in eight may be deleted
            runs = list(txn.cursor(db=databases.runs))
    value = next(value for end, value in runs if end >= fmt.first_key(15.0))
    assert len(runs) == EVENTS // RUN
    data = path.joinpath("data.mdb").read_bytes()
    assert data.count(value) >= 1
    assert Run(b"", value).is_compressed == (compression is not None)
    with LMDBEventStore(path) as store:
        made = Whole(path, list(store.search()), data, data.rindex(value), value)
    made.flip(0, 1)
    assert verify(path), "this is not the page that is read"
    yield made
    made.restore()


def test_every_flipped_byte_of_a_run_is_found(whole: Whole) -> None:
    chance = random.Random(1)
    for place in range(len(whole.value)):
        whole.flip(place, 1 << chance.randrange(8))
        (finding,) = verify(whole.path)
        assert finding[:2] == (FindingKind.RUN_DAMAGED, "runs")


def test_repair_keeps_all_other_events(whole: Whole) -> None:
    """A flip in the front loses nothing, and one in a record only that."""
    chance = random.Random(2)
    run = Run(b"", whole.value)
    headers_at = run._headers_at
    for place in [*range(0, len(whole.value), 5), *range(HEAD_SIZE)]:
        whole.flip(place, 1 << chance.randrange(8))
        repaired = repair(whole.path)
        with LMDBEventStore(whole.path) as store:
            assert_indexes_agree(store)
            found = list(store.search())
        lost = [event for event in whole.events if event not in found]
        assert [event for event in whole.events if event not in lost] == found
        most = 1 if not run.is_compressed else RUN - 1  # all that are not deleted
        assert len(lost) <= (most if place >= headers_at else 0)
        assert {event.id for event in lost} <= {f"e{n}" for n in DAMAGED_RUN}
        assert len(repaired.left_out) == len(lost)
        assert DELETED not in {event.id for event in found}
        if repaired.old_file is not None:
            os.unlink(repaired.old_file)


def test_a_fresh_process_shows_no_flipped_bit(whole: Whole) -> None:
    """It fails, or its answer is right."""
    chance = random.Random(3)
    events = whole.events

    def child() -> None:
        with LMDBEventStore(whole.path, readonly=True) as store:
            for how, expected in (
                ({}, events),
                ({"flags": ["all"]}, [event for event in events if "all" in event.tags]),
                ({"match": "of two"}, [event for event in events if "of two" in event.content]),
                ({"ts_start": 9.0, "ts_end": 12.0}, [e for e in events if 9 <= e.timestamp <= 12]),
            ):
                for order in ("asc", "desc"):
                    try:
                        found = list(store.search(**how, order=order))
                    except StoreDamaged:
                        continue
                    assert found == (expected if order == "asc" else expected[::-1]), how
            for one in events:
                try:
                    assert store.get(one.id) == one
                except StoreDamaged:
                    assert int(one.id[1:]) in DAMAGED_RUN

    for place in chance.sample(range(len(whole.value)), 60):
        whole.flip(place, 1 << chance.randrange(8))
        in_child(child)


# -- what is left of a value -----------------------------------------------------------------------


def packed(events: list[Event]) -> tuple[list[bytes], bytes]:
    """Return the records of some events, and a run of them."""
    rows = Rows.of([encode(event, TermKeys()) for event in events])
    keys = [fmt.join_key(time, fmt.encode_number(n + 5)) for n, time in enumerate(rows.times)]
    both = new_events(rows, keys)
    records = [b"%b\n%b" % one for one in zip(both.headers, both.contents, strict=True)]
    terms = {digest(term): slots for term, slots in directory_of(both.terms).items()}
    return records, pack(both, terms)


@pytest.mark.parametrize("lines", [False, True])
def test_each_flip_loses_one_record_at_most_and_vouches_for_no_other(*, lines: bool) -> None:
    events = [event(n) for n in range(12)]
    if not lines:
        events = [one._replace(content=one.content.replace("\n", " ")) for one in events]
    records, value = packed(events)
    headers_at = value.index(b'"e0"')
    assert [left.record for left in salvaged(value) if left.vouched] == records
    for place in range(len(value)):
        for bit in range(8):
            data = bytearray(value)
            data[place] ^= 1 << bit
            known = [left.record for left in salvaged(bytes(data)) if left.vouched]
            assert [record for record in records if record in known] == known
            assert len(records) - len(known) <= (place >= headers_at)


def test_values_of_any_bytes_are_read_without_an_error() -> None:
    chance = random.Random(4)
    records, value = packed([event(n) for n in range(12)])
    for _ in range(300):
        data = bytearray(value)
        for _ in range(chance.choice([1, 3, 30])):
            at = chance.randrange(len(data))
            data[at : at + chance.randrange(9)] = chance.randbytes(chance.randrange(9))
        for left in salvaged(bytes(data)):
            assert not left.vouched or left.record in records
    assert salvaged(b"") == salvaged(bytes(71)) == salvaged(bytes(72)) == []
