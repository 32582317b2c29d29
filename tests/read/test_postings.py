"""Moves in posting sets, compared with plain sets of numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmdbstore import LMDBEventStore
from lmdbstore.disk import format as fmt
from lmdbstore.read.cursor import duplicates, leap, meeting, merged, number
from tests.tools.properties import examples

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmdb import Cursor

HIGHEST = 60
SETS = {
    b"all": range(HIGHEST),
    b"even": range(0, HIGHEST, 2),
    b"third": range(0, HIGHEST, 3),
    b"early": range(5, 12),
    b"late": range(40, 47),
    b"single": range(30, 31),
    b"none": range(0),
}
numbers = st.integers(0, HIGHEST)
names = st.lists(st.sampled_from(sorted(SETS)), max_size=3)


def key(value: int) -> bytes:
    return (value + 1).to_bytes(16, "big")  # nothing has the lowest key


@pytest.fixture(scope="module")
def cursor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cursor[bytes]]:
    """Yield a cursor on sets that are never committed."""
    with LMDBEventStore(tmp_path_factory.mktemp("sets") / "events", durability="none") as store:
        environment = store._session._environment
        txn = environment.lmdb.begin(write=True)
        postings = environment.databases.postings
        for name, members in SETS.items():
            for member in members:
                assert txn.put(name, key(member), db=postings)
        cursor = txn.cursor(db=postings)
        yield cursor
        cursor.close()
        del cursor, txn


@examples(100)
@given(
    name=st.sampled_from(sorted(SETS)),
    low=numbers,
    high=numbers,
    most=st.integers(1, 20),
    descending=st.booleans(),
)
def test_a_range_of_a_set_is_read_in_both_orders(
    cursor: Cursor[bytes], name: bytes, low: int, high: int, most: int, *, descending: bool
) -> None:
    """Never more than the requested number."""
    expected = [value for value in SETS[name] if low <= value <= high]
    expected = (expected[::-1] if descending else expected)[:most]
    found = duplicates(cursor, name, key(low), key(high), most, descending=descending)
    assert found == list(map(key, expected))
    assert number(cursor, name) == len(SETS[name])


@examples(100)
@given(
    others=names,
    looked_up=st.lists(st.booleans(), min_size=len(SETS), max_size=len(SETS)),
    keys=st.lists(numbers, unique=True).map(sorted),
    descending=st.booleans(),
)
def test_the_intersection_has_the_keys_that_are_in_all_sets(
    cursor: Cursor[bytes],
    others: list[bytes],
    looked_up: list[bool],
    keys: list[int],
    *,
    descending: bool,
) -> None:
    """The keys keep their order, whether sets are read or keys are looked up."""
    ordered = keys[::-1] if descending else keys
    expected = [value for value in ordered if all(value in SETS[name] for name in others)]
    pairs = list(zip(others, looked_up, strict=False))
    assert len(pairs) == len(others)
    assert merged(cursor, pairs, list(map(key, ordered))) == list(map(key, expected))


@examples(100)
@given(others=names, low=numbers, high=numbers, descending=st.booleans())
def test_leaping_skips_no_key_that_is_in_all_sets(
    cursor: Cursor[bytes], others: list[bytes], low: int, high: int, *, descending: bool
) -> None:
    """The side where reading begins is narrowed."""
    first, last = leap(cursor, others, key(low), key(high), descending=descending)
    common = [n for n in range(low, high + 1) if all(n in SETS[name] for name in others)]
    assert all(first <= key(value) <= last for value in common)
    if first > last:
        return  # the range is empty
    assert first >= key(low)
    assert last <= key(high)
    if descending:
        assert first == key(low)
    else:
        assert last == key(high)


@examples(100)
@given(others=names.filter(bool), low=numbers, high=numbers, descending=st.booleans())
def test_sets_meet_at_the_first_key_that_is_in_all_of_them(
    cursor: Cursor[bytes], others: list[bytes], low: int, high: int, *, descending: bool
) -> None:
    common = [n for n in range(low, high + 1) if all(n in SETS[name] for name in others)]
    expected = None if not common else key(common[-1 if descending else 0])
    assert meeting(cursor, others, key(low), key(high), descending=descending) == expected


@pytest.fixture(scope="module")
def run_cursor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cursor[bytes]]:
    """Yield a cursor on the same sets, of runs, in which each key has a slot."""
    with LMDBEventStore(tmp_path_factory.mktemp("runs") / "events", durability="none") as store:
        environment = store._session._environment
        txn = environment.lmdb.begin(write=True)
        postings = environment.databases.run_postings
        for name, members in SETS.items():
            for member in members:
                slots = [member] if member % 3 else [1, 2]
                assert txn.put(name, fmt.run_posting(key(member), slots), db=postings)
        cursor = txn.cursor(db=postings)
        yield cursor
        cursor.close()
        del cursor, txn


@examples(100)
@given(others=names.filter(bool), low=numbers, high=numbers, descending=st.booleans())
def test_runs_meet_whatever_their_slots_are(
    run_cursor: Cursor[bytes], others: list[bytes], low: int, high: int, *, descending: bool
) -> None:
    """All runs that have all terms are found, one after the other, in both orders."""
    expected = [key(n) for n in range(low, high + 1) if all(n in SETS[name] for name in others)]
    found = []
    first, last = key(low), key(high)
    while end := meeting(run_cursor, others, first, last, descending=descending):
        found.append(end)
        if descending:
            last = fmt.before_key(end)
        else:
            first = fmt.after_key(end)
    assert found == (expected[::-1] if descending else expected)
