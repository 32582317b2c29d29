"""The index of ids as bytes: keys that are spread or rise, and groups of entries."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmdbstore import Event, StoreDamaged
from lmdbstore.records.ids import (
    ENTRY,
    GROUP,
    ID_KEY,
    LAST_GROUP,
    entries_in,
    groups_of,
    id_entry,
    id_key,
    id_keys,
    key_at,
    keys_in,
    place_in,
)
from tests.tools.properties import examples

SEED = 7
ENTRIES = st.lists(st.binary(min_size=ENTRY, max_size=ENTRY), unique=True, min_size=1)
PLACES = st.binary(min_size=ENTRY - ID_KEY, max_size=ENTRY - ID_KEY)
NEAR = st.tuples(st.sampled_from([b"\0" * ID_KEY, b"\1" * ID_KEY]), PLACES)


def of_time(milliseconds: int, rest: int) -> str:
    """Return a UUIDv7."""
    number = milliseconds << 80 | 7 << 76 | rest >> 62 << 64 | 2 << 62 | rest % (1 << 62)
    return str(uuid.UUID(int=number))


@examples(100)
@given(st.text())
def test_every_text_has_a_key(event_id: str) -> None:
    """That of text which is no UUID, or no UTF-8, too."""
    assert len(id_key(event_id, SEED)) == ID_KEY
    assert id_key(event_id, SEED) == id_key(event_id, SEED)
    assert id_key(event_id, SEED) != id_key(event_id, SEED + 1)


@pytest.mark.parametrize(
    "event_id",
    [
        "\ud800",
        "x" * 14 + "7" + "x" * 21,  # no hexadecimal digits
        "000  000-0  0-7" + "0" * 21,  # `bytes.fromhex` passes over spaces
        "0000000\u0661-0000-7" + "0" * 20 + "\ud800",
    ],
)
def test_what_is_only_similar_to_a_uuid_has_a_key(event_id: str) -> None:
    assert len(id_key(event_id, SEED)) == ID_KEY
    assert id_key(event_id, SEED)[:4] != id_key(event_id, SEED + 1)[:4]


def test_the_keys_of_uuids_of_version_7_rise_with_their_time() -> None:
    ids = [of_time(1_700_000_000_000 + n, rest) for n, rest in enumerate([9, 0, 5, 1 << 73, 3])]
    keys = [id_key(event_id, SEED) for event_id in ids]
    assert keys == sorted(keys)
    assert len({id_key(event_id, SEED)[:4] for event_id in ids}) == 1
    assert id_key(Event().id, SEED)[:3] != id_key(str(uuid.uuid4()), SEED)[:3]


def test_the_keys_of_lines_rise_in_their_file() -> None:
    ids = [f"95c24bf0e1a3d678{number:08x}" for number in (0, 1, 255, 256, 2**32 - 1)]
    keys = [id_key(event_id, SEED) for event_id in ids]
    assert keys == sorted(keys)
    assert len({key[:3] for key in keys}) == 1
    others = {id_key(f"{file:016x}00000001", SEED) for file in range(1000)}
    assert len(others) > 990
    assert id_key(ids[0], SEED) != id_key(ids[0], SEED + 1)


LINES = st.lists(st.integers(0, 2**32 - 1).map("95c24bf0e1a3d678{:08x}".format), max_size=6)
OTHERS = st.sampled_from(
    ["a", "0" * 24, "95c24bf0e1a3d6780000  11", "95c24bf0e1a3d67 00000001", "x" * 24, Event().id]
)


@examples(100)
@given(LINES, st.lists(OTHERS, max_size=2))
def test_many_ids_have_the_keys_that_each_has(lines: list[str], others: list[str]) -> None:
    """Whether all of them are of lines of one file, or only some."""
    for ids in (lines, others + lines):
        assert id_keys(ids, SEED) == [id_key(event_id, SEED) for event_id in ids]


@pytest.mark.parametrize("event_id", ["x" * 24, "0" * 16 + "000  000", "0" * 16 + "0000000\u0661"])
def test_what_is_only_similar_to_a_line_has_a_key(event_id: str) -> None:
    assert len(id_key(event_id, SEED)) == ID_KEY
    assert id_key(event_id, SEED)[3:] != id_key(event_id, SEED + 1)[3:]


def test_uuids_of_one_millisecond_are_spread_by_the_seed() -> None:
    """So whoever does not know it cannot choose ids with one key."""
    ids = [of_time(1_700_000_000_000, n) for n in range(10_000)]
    for seed in (1, 2):
        assert len({id_key(event_id, seed) for event_id in ids}) > 9_900
    assert id_key(ids[0], 1) != id_key(ids[0], 2)


@examples(100)
@given(ENTRIES, st.sampled_from([LAST_GROUP, b"\xff" * (ID_KEY - 1) + b"\xfe"]))
def test_groups_have_all_entries_in_order(entries: list[bytes], last: bytes) -> None:
    groups = groups_of(last, entries)
    assert [entry for _, group in groups for entry in entries_in(group)] == sorted(entries)
    assert [key for key, _ in groups] == sorted({key for key, _ in groups})
    assert groups[-1][0] == last
    assert all(len(group) <= GROUP for _, group in groups)


@examples(100)
@given(st.lists(NEAR, unique=True, min_size=1, max_size=80))
def test_one_group_has_all_entries_of_an_id_key(pairs: list[tuple[bytes, bytes]]) -> None:
    groups = groups_of(LAST_GROUP, [key + place for key, place in pairs])
    for key, _ in pairs:
        having = [group for _, group in groups if key in (e[:ID_KEY] for e in entries_in(group))]
        assert len(having) == 1
        first = next(group for last, group in groups if last >= key)
        assert having == [first], "a lookup would not find it"


@examples(100)
@given(st.lists(NEAR, max_size=9), st.binary(max_size=ENTRY))
def test_entries_are_found_only_where_one_begins(
    pairs: list[tuple[bytes, bytes]], other: bytes
) -> None:
    entries = [key + place for key, place in pairs]
    group = b"".join(entries)
    for wanted in (b"\0" * ID_KEY, b"\1" * ID_KEY):
        expected = [key_at(entry, 0) for entry in entries if entry.startswith(wanted)]
        assert keys_in(group, wanted) == expected
    for entry in entries:
        assert place_in(group, entry) == entries.index(entry) * ENTRY
    if other and len(other) < ENTRY:
        with pytest.raises(StoreDamaged):
            entries_in(group + other)


def test_an_entry_leads_to_a_timeline_key() -> None:
    key = b"\xbf" + bytes(7) + bytes(2) + b"\x01\x02\x03\x04\x05\x06"
    assert key_at(id_entry(b"k" * ID_KEY, key), 0) == key
