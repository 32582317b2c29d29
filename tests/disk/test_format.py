"""The bytes on disk: the examples of `lmdbstore.disk.format`, and the order of encoded values."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmdbstore import Event, StoreDamaged
from lmdbstore.contract.checking import checked
from lmdbstore.contract.commits.position import Branch, Lineage
from lmdbstore.contract.query import Position
from lmdbstore.disk import format as fmt
from lmdbstore.disk.keys import LONG_KEY
from lmdbstore.records.ids import ENTRY, entries_in, id_entry, id_key, keys_in
from lmdbstore.records.record import (
    TermKeys,
    checked_record,
    decode,
    decode_live,
    decode_one,
    encode,
    term_name,
)
from tests.tools.properties import examples

DOC = fmt.__doc__ or ""
finite = st.floats(allow_nan=False, allow_infinity=False)


def example(before: str) -> bytes:
    """Return the hex example that follows `before` in the module's docstring."""
    found = re.search(re.escape(before) + r"\s+([0-9a-f]+)$", DOC, re.MULTILINE)
    assert found, before
    return bytes.fromhex(found[1])


@pytest.mark.parametrize("seconds", ["-1.0", "0.0", "1.5", "1509989630.674905"])
def test_the_documented_timestamps_are_correct(seconds: str) -> None:
    encoded = example(f"    {seconds} ")
    assert fmt.encode_time(float(seconds)) == encoded
    assert fmt.decode_time(encoded) == float(seconds)


def test_the_documented_timeline_key_is_correct() -> None:
    key = example("Timestamp 1.5 and local id 7:\n\n")
    assert fmt.timeline_key(Position(1.5, 7)) == key
    assert fmt.decode_key(key) == Position(1.5, 7)


def test_the_documented_id_keys_and_the_entry_of_an_id_are_correct() -> None:
    for event_id in ("a", "01890a5d-ac96-774b-bcce-b302099a8057", "95c24bf0e1a3d67800000102"):
        assert id_key(event_id, 7) == example(f"    {event_id} ")
    group = example("With the seed 7, event `a` above at the timeline\nkey above:\n\n")
    key = example("Timestamp 1.5 and local id 7:\n\n")
    assert group == id_entry(id_key("a", 7), key)
    assert entries_in(group * 2) == [group, group]
    assert keys_in(b"?" * ENTRY + group, id_key("a", 7)) == [key]


def test_the_documented_record_is_correct() -> None:
    event = Event(id="a", source="s", timestamp=1.5, tags=["x", "y"], content="hi\n")
    record = example('content="hi\\n"):\n\n')
    assert checked_record(encode(event, TermKeys()).value) == record
    assert decode([record]) == [event]


def test_the_documented_checksum_of_a_live_record_is_correct() -> None:
    record = example('content="hi\\n"):\n\n')
    noted = re.search(r"It is ([0-9a-f]{8}) for the record above", DOC)
    assert noted
    value = bytes.fromhex(noted[1]) + record
    assert checked_record(value) == record
    event = Event(id="a", source="s", timestamp=1.5, tags=["x", "y"], content="hi\n")
    assert encode(event, TermKeys()).value == value
    assert decode_live([value, value]) == [event, event]


def test_the_documented_checked_number_is_correct() -> None:
    noted = example("Checked, 7 is\n\n")
    assert fmt.encode_checked(7) == noted
    assert fmt.decode_checked(noted) == 7
    for bit in range(len(noted) * 8):
        damaged = bytearray(noted)
        damaged[bit // 8] ^= 1 << bit % 8
        assert fmt.decode_checked(bytes(damaged)) is None
    for other in (b"", noted[:8], noted[:-1], noted + b"\0"):
        assert fmt.decode_checked(other) is None


def test_the_documented_identity_is_correct() -> None:
    parts = re.search(r"after the local ids 7 and 9:\n\n((?: {4}[0-9a-f]+\n)+)", DOC)
    assert parts
    noted = bytes.fromhex(parts[1])
    lineage = Lineage(b"\xcc" * 16, (Branch(b"\xaa" * 16, 7), Branch(b"\xbb" * 16, 9)))
    assert fmt.encode_lineage(lineage) == noted
    assert fmt.decode_lineage(noted) == lineage
    assert fmt.decode_identity(noted) == b"\xcc" * 16
    for bit in range(len(noted) * 8):
        damaged = bytearray(noted)
        damaged[bit // 8] ^= 1 << bit % 8
        assert fmt.decode_lineage(bytes(damaged)) is None
        assert fmt.decode_identity(bytes(damaged)) is None
    for size in range(len(noted)):
        assert fmt.decode_lineage(noted[:size]) is None
        assert fmt.decode_identity(noted[:size]) is None


def test_the_documented_key_of_the_empty_text_is_correct() -> None:
    assert fmt.text_key("") == bytes(479) + example("zero bytes and\n\n")


def test_the_documented_version_is_written() -> None:
    assert f"**Versions**: {fmt.VERSION}," in DOC


@examples(100)
@given(finite, finite)
def test_timestamps_are_ordered_by_their_bytes(one: float, other: float) -> None:
    one, other = one + 0.0, other + 0.0
    assert (one < other) == (fmt.encode_time(one) < fmt.encode_time(other))
    assert fmt.decode_time(fmt.encode_time(one)) == one


@examples(100)
@given(finite)
def test_infinite_bounds_are_outside_every_timestamp(seconds: float) -> None:
    assert fmt.encode_time(-math.inf) < fmt.encode_time(seconds) < fmt.encode_time(math.inf)
    assert len(fmt.encode_time(seconds)) == 8


@examples(100)
@given(st.integers(0, (1 << 128) - 2))
def test_neighbouring_keys_differ_by_one(number: int) -> None:
    key = number.to_bytes(16, "big")
    assert fmt.before_key(fmt.after_key(key)) == key
    assert key < fmt.after_key(key)


def test_the_outermost_keys_have_no_neighbour() -> None:
    assert fmt.before_key(bytes(16)) == bytes(16)
    assert fmt.after_key(b"\xff" * 16) == b"\xff" * 16


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@examples(100)
@given(texts, texts, finite, st.lists(texts, unique=True), texts)
def test_every_event_is_decoded_as_it_was_encoded(
    event_id: str, source: str, timestamp: float, tags: list[str], content: str
) -> None:
    event = checked(Event(event_id or "x", source, timestamp, tags, content))
    row = encode(event, TermKeys())
    assert decode_live([row.value, row.value]) == [event, event]
    assert decode_one(checked_record(row.value)) == event
    assert b"\n" not in row.header


@pytest.mark.parametrize("length", [1, 509, 510, 511, 512, 100_000])
def test_text_keys_fit_and_differ_for_different_texts(length: int) -> None:
    text = "a" * length
    others = ["a" * (length - 1) + "b", "a" * (length + 1), "a" * (length - 1)]
    assert 0 < len(fmt.text_key(text)) <= LONG_KEY
    assert fmt.text_key(text) not in map(fmt.text_key, others)


def test_a_text_that_looks_like_a_digest_key_has_another_key() -> None:
    long = "a" * 600
    assert fmt.text_key(fmt.text_key(long).decode("latin-1")) != fmt.text_key(long)


@pytest.mark.parametrize(
    "record",
    [b"", b"\n", b"[]\nx", b"{}\nx", b'"a","s",1.5\nx', b'"a","s",1.5,[],1\nx', b'"a\nx',
     b'"a","s",1.5,[]\n\xff', b'"a","s",1.5,[],"b","s",1.5,[]\nx', b'"a","s",1,[]\nx',
     b'1,"s",1.5,[]\nx', b'"a",null,1.5,[]\nx', b'"a","s",1.5,{}\nx', b'["a","s",1.5,[]]\nx'],
)  # fmt: skip
def test_a_damaged_record_is_reported(record: bytes) -> None:
    good = checked_record(encode(Event("a", "s", 1.5), TermKeys()).value)
    for records in ([record], [good, record], [record, good]):
        with pytest.raises(StoreDamaged):
            decode(records)
    with pytest.raises(StoreDamaged):
        decode_one(record)


def test_a_damaged_number_is_reported() -> None:
    with pytest.raises(StoreDamaged):
        fmt.decode_number(b"123")


def test_the_name_of_a_long_flag_or_source_is_read_from_an_event() -> None:
    flag, source = "x" * 600, "s" * 600
    event = Event(source=source, tags=["a", flag])
    assert term_name(fmt.source_key(source), event) == source
    assert term_name(fmt.source_key("short"), None) == "short"
    assert term_name(fmt.flag_key(flag), event) == flag
    assert term_name(fmt.flag_key("short"), None) == "short"
    for key, found in (
        (fmt.flag_key("y" * 600), event),
        (fmt.flag_key(flag), None),
        (b"\xff", None),
        (b"xa", None),
        (fmt.source_key("y" * 600), event),
        (fmt.flag_key(flag), Event("a", tags=[1])),  # type: ignore[list-item]  # damage
    ):
        with pytest.raises(StoreDamaged):
            term_name(key, found)


def test_a_summary_is_decoded_as_it_was_encoded() -> None:
    for summary in (fmt.Summary(512, 1 << 61, b"\1\2"), fmt.Summary(1, 7, b"")):
        assert fmt.decode_summary(summary.encode()) == summary
    with pytest.raises(StoreDamaged):
        fmt.decode_summary(b"123456789")


def test_a_posting_of_a_run_has_up_to_four_slots() -> None:
    end = fmt.timeline_key(Position(1.5, 7))
    for slots in ([0], [511], [3, 5], [0, 1, 2], [1, 2, 3, 65_534], [1, 2, 3, 4, 5], [*range(512)]):
        posting = fmt.run_posting(end, slots)
        noted = slots if len(slots) <= 4 else []
        assert fmt.posting_key(posting) == end
        (split,) = fmt.split_postings([posting])
        assert (split[0], list(fmt.slots_in(split))) == (end, noted)
        assert fmt.has_slots(split) == bool(noted)
        assert len(posting) == 24
        with pytest.raises(StoreDamaged):
            fmt.split_postings([posting, posting[:-1]])
    assert fmt.run_posting(end, [3, 5]) == example("the slots 3 and 5:")
    assert fmt.decode_commit(fmt.commit_entry(3, end)) == (3, end)
