"""The bytes of a run: the example of `records.layout`, packed, and decoded by its words."""

from __future__ import annotations

import itertools
import re
import struct
from typing import Any

import orjson
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from lmdbstore import Event
from lmdbstore.disk import format as fmt
from lmdbstore.records import layout
from lmdbstore.records.record import TermKeys, encode
from lmdbstore.records.run import Run
from tests.tools.properties import examples
from tests.tools.runs import made_run

DOC = layout.__doc__ or ""
EVENTS = [
    (7, Event(id="a", source="s", timestamp=1.5, tags=["x", "y"], content="hi\n")),
    (9, Event(id="b", source="s", timestamp=2.5, tags=["x"], content="yo")),
]


def example() -> bytes:
    """Return the documented run."""
    block = re.search(r"\*\*Example\*\*.*?\n\n((?: {4}.*\n)+)", DOC, re.DOTALL)
    assert block
    return bytes.fromhex("".join(re.findall(r"\b(?:[0-9a-f]{2})+\b", block[1])))


def decoded(value: bytes) -> dict[str, Any]:
    """Decode a run by the words of the documentation, without the code that is tested."""
    head, front, of_headers, of_contents, lowest, highest = struct.unpack_from("<6Q", value)
    events, kinds, zero, *at = struct.unpack_from("<HBB5I", value, 48)
    terms_at, ends_at, slots_at, headers_at, contents_at = at
    headers, contents = value[headers_at:contents_at], value[contents_at:]
    assert head == xxhash.xxh3_64_intdigest(value[8:72])
    assert front == xxhash.xxh3_64_intdigest(value[72:headers_at])
    assert of_headers == xxhash.xxh3_64_intdigest(headers)
    assert of_contents == xxhash.xxh3_64_intdigest(contents)
    assert zero == 0
    rows = [struct.unpack_from("<dIIII", value, 72 + 24 * n) for n in range(events + 1)]
    assert rows[0] == (0.0, 0, 0, 0, 0)
    assert 72 + 24 * len(rows) == terms_at
    found = []
    for (_, _, header_at, content_at, _), row in itertools.pairwise(rows):
        time, offset, header_end, content_end, checksum = row
        header = headers[header_at : header_end - 1]
        content = contents[content_at : content_end - 1]
        low_half = xxhash.xxh3_64_intdigest(header + b"\n" + content) & 0xFFFFFFFF
        assert checksum ^ offset == low_half
        id_, source, timestamp, tags = orjson.loads(b"[" + header + b"]")
        assert timestamp == time
        found.append((lowest + offset, Event(id_, source, timestamp, tags, content.decode())))
    terms = struct.unpack(f"<{(ends_at - terms_at) // 8}Q", value[terms_at:ends_at])
    ends = struct.unpack(f"<{len(terms) + 1}I", value[ends_at:slots_at])
    cells = value[slots_at:headers_at]
    slots = {
        number: _slots(cells[2 * begin : 2 * end], events)
        for number, begin, end in zip(terms, ends, ends[1:], strict=False)
    }
    return {"events": found, "highest": highest, "kinds": kinds, "slots": slots}


def _slots(cell: bytes, events: int) -> list[int]:
    size = (events + 15) // 16 * 2
    if len(cell) < size:
        return list(struct.unpack(f"<{len(cell) // 2}H", cell))
    assert len(cell) == size
    return [slot for slot in range(8 * size) if cell[slot // 8] & 1 << slot % 8]


def slots_of(events: list[Event]) -> dict[int, list[int]]:
    """Return the slots of each term of some events, by its digest."""
    found: dict[int, list[int]] = {}
    for slot, event in enumerate(events):
        for key in (fmt.source_key(event.source), *map(fmt.flag_key, event.tags)):
            found.setdefault(xxhash.xxh3_64_intdigest(key), []).append(slot)
    return found


def test_the_documented_run_is_what_these_events_are_packed_into() -> None:
    assert made_run(EVENTS).value == example()


def test_the_documented_run_is_decoded_by_the_words_of_the_documentation() -> None:
    read = decoded(example())
    assert read["events"] == EVENTS
    assert read["highest"] == 9
    assert read["kinds"] == 4  # neither local ids by slots nor contents of one line
    assert read["slots"] == slots_of([event for _, event in EVENTS])


def test_the_documented_run_is_read() -> None:
    run = Run(fmt.timeline_key(fmt.decode_key(made_run(EVENTS).end)), example())
    run.check_front()
    assert list(zip(run.local_ids(), run.select(range(2)), strict=True)) == EVENTS


def test_the_checksum_of_the_documented_record_is_in_its_row() -> None:
    row = encode(EVENTS[0][1], TermKeys())
    assert row.checksum.to_bytes(4, "little") in example()


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
EVENT = st.builds(
    Event,
    texts.filter(bool),
    texts,
    st.floats(allow_nan=False, allow_infinity=False).map(lambda seconds: seconds + 0.0),
    st.lists(texts, max_size=3, unique=True),
    texts,
)


@examples(100)
@given(st.dictionaries(st.integers(1, 1 << 33), EVENT, min_size=1, max_size=40))
def test_every_run_is_what_the_documentation_says(events: dict[int, Event]) -> None:
    lowest = min(events)
    near = {lowest + (n - lowest) % (1 << 32): event for n, event in events.items()}
    made = made_run(near.items())
    read = decoded(made.value)
    assert read["events"] == list(zip(made.local_ids, made.events, strict=True))
    assert read["highest"] == max(near)
    assert read["slots"] == slots_of(made.events)
    assert bool(read["kinds"] & 1) == (made.local_ids == [*range(lowest, lowest + len(near))])
    assert bool(read["kinds"] & 2) == all("\n" not in event.content for event in made.events)
    assert bool(read["kinds"] & 4) == all(event.content.isascii() for event in made.events)


@pytest.mark.parametrize("events", [1, 15, 16, 17, 100])
def test_slots_of_a_term_are_in_the_shorter_form(events: int) -> None:
    """A list of a few slots, or a bitmap of all; both are read."""
    for step in range(1, events + 1):
        tagged = [
            (n + 1, Event(f"e{n}", timestamp=float(n), tags=["f"] * (n % step == 0)))
            for n in range(events)
        ]
        made = made_run(tagged)
        wanted = list(range(0, events, step))
        assert decoded(made.value)["slots"][xxhash.xxh3_64_intdigest(b"ff")] == wanted
