"""Reading runs by slot, key, term and pattern, compared with plain lists of their events."""

from __future__ import annotations

import itertools
import random
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmdbstore import Event, StoreDamaged
from lmdbstore.contract.query import Position
from lmdbstore.disk import format as fmt
from lmdbstore.records.decoding import event_in, records_at
from lmdbstore.records.pack import bitmap
from lmdbstore.records.record import TermKeys
from lmdbstore.records.run import Run, positions
from tests.tools.properties import examples
from tests.tools.runs import Made, made_run, pack_events, term

if TYPE_CHECKING:
    from collections.abc import Sequence

FLAGS = ["a", "b", "rare", "", "y" * 600]
TIMES = st.sampled_from([-1e300, -1.5, 0.0, 1.0, 2.0]) | st.floats(
    allow_nan=False, allow_infinity=False
).map(lambda seconds: seconds + 0.0)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
CONTENTS = st.sampled_from(["", "\n", "\0", "one\ntwo", "naïve 𝄞", "plain", "z" * 300]) | TEXTS
EVENTS = st.builds(
    Event,
    TEXTS.filter(bool),
    st.sampled_from(["door", "roof", "", "n\n,"]),
    TIMES,
    st.lists(st.sampled_from(FLAGS), max_size=4, unique=True),
    CONTENTS,
)
APART = st.dictionaries(st.integers(1, (1 << 32) - 1), EVENTS, min_size=1, max_size=60)


@st.composite
def runs(draw: st.DrawFn) -> Made:
    """Draw a run: its local ids are in any order, or those of events in time order."""
    first = draw(st.sampled_from([0, 1 << 40, (1 << 62) - (1 << 33)]))
    events = draw(APART)
    if draw(st.booleans()):
        by_time = sorted(events.values(), key=lambda event: event.timestamp)
        return made_run(enumerate(by_time, first + 1))
    return made_run((first + number, event) for number, event in events.items())


@examples(100)
@given(runs())
def test_every_run_is_read_as_it_was_packed(made: Made) -> None:
    run = made.run
    unpacked = run.unpacked(TermKeys())
    assert unpacked.keys == run.keys() == made.keys
    assert unpacked.local_ids == list(run.local_ids()) == made.local_ids
    assert unpacked.seconds == run.seconds().tolist()
    assert unpacked.contents == run.each_content() == [e.content.encode() for e in made.events]
    assert unpacked.terms == [TermKeys().of(e.source, e.tags) for e in made.events]
    assert pack_events(unpacked) == made.value
    assert run.select(range(run.events)) == made.events
    assert (run.lowest, run.highest) == (min(made.local_ids), max(made.local_ids))


@examples(100)
@given(runs(), st.sets(st.integers(0, 59)), st.integers(0, 59), st.integers(0, 59), st.integers(1))
def test_events_are_selected_by_their_slots(
    made: Made, some: set[int], one: int, other: int, step: int
) -> None:
    run = made.run
    chosen = sorted(slot for slot in some if slot < run.events)
    low, high = min(one, other), min(max(one, other), run.events)
    ways: list[Sequence[int]] = [
        chosen, range(low, high), list(range(low, high)), range(0, run.events, step)[:2],
    ]  # fmt: skip
    for slots in ways:
        expected = [made.events[slot] for slot in slots]
        if not isinstance(slots, range) or slots.step == 1:
            assert run.select(slots) == expected  # type: ignore[arg-type]  # lists and ranges
        assert [run.event(slot) for slot in slots] == expected
        ids = run.local_ids_at(slots)  # type: ignore[arg-type]
        assert list(ids) == [made.local_ids[slot] for slot in slots]
        assert [run.key(slot) for slot in slots] == [made.keys[slot] for slot in slots]


@pytest.mark.parametrize("text", ["line {}", "naïve {}", "{}\n", "{}\n𝄞"])
@pytest.mark.parametrize("slots", [
    range(0, 256, 2), range(1, 256, 2), range(0, 256, 10), range(5, 256, 10), [0, 1, 3], [1, 2, 4],
    [100, 101, 103], [*range(20), *range(200, 256)],
    [0, *range(238, 256)], [3, *range(237, 255)],
])  # fmt: skip
def test_events_that_are_near_or_far_are_selected(text: str, slots: Sequence[int]) -> None:
    """Those that lie far apart are read one by one, and others with what is between them."""
    made = made_run((n, Event(f"e{n}", "s", n, ["a"], text.format(n))) for n in range(1, 257))
    assert made.run.select(list(slots)) == [made.events[slot] for slot in slots]


@examples(100)
@given(runs())
def test_an_event_is_read_alone(made: Made) -> None:
    """By its slot, by its key, and by its local id where that is enough."""
    value = memoryview(made.value)
    run = Run(made.end, value)
    ascending = made.local_ids == list(range(run.lowest, run.lowest + run.events))
    for slot, (key, event) in enumerate(zip(made.keys, made.events, strict=True)):
        assert run.slot_of(key) == slot
        header, content = run.part(slot)
        assert run.record_size(slot) == len(header) + 1 + len(content)
        assert content == event.content.encode()
        record = b"\n".join((header, content))
        assert records_at([(value, [slot])]) == ([record], [made.local_ids[slot]])
        assert event_in(value, made.keys[slot]) == (event if ascending else None)
    assert records_at([(value, [0]), (value, [run.events])]) is None
    for local_id in (max(run.lowest - 1, 0), run.highest + 1):
        assert event_in(value, fmt.timeline_key(Position(0.0, local_id))) is None


@examples(100)
@given(runs(), TIMES, st.integers(0, (1 << 62) - 1))
def test_a_key_that_no_event_has_has_no_slot(made: Made, time: float, local_id: int) -> None:
    run = made.run
    others = [fmt.timeline_key(Position(time, local_id))]
    for key in made.keys:
        seconds, number = fmt.decode_key(key)
        others += [fmt.after_key(key), fmt.before_key(key)]
        others += [fmt.timeline_key(Position(seconds, n)) for n in made.local_ids if n != number]
        others += [fmt.timeline_key(Position(time, number))]
    for key in set(others).difference(made.keys):
        assert run.slot_of(key) == -1
    for slot, key in enumerate(made.keys):
        assert run.slot_of(key) == slot


@examples(100)
@given(runs(), st.lists(TIMES, min_size=2, max_size=2))
def test_a_range_of_keys_has_a_span_of_slots(made: Made, times: list[float]) -> None:
    run = made.run
    low, high = sorted(times)
    bounds = [fmt.first_key(low), fmt.last_key(high), fmt.FIRST_KEY, fmt.LAST_KEY]
    bounds += [fmt.first_key(float("-inf")), fmt.last_key(float("inf"))]
    bounds += [fmt.timeline_key(Position(low, made.local_ids[0]))]
    for key in made.keys[:5]:
        bounds += [key, fmt.after_key(key), fmt.before_key(key)]
    for first in bounds:
        for last in bounds:
            if first <= last:
                span = run.span(first, last)
                expected = range(bisect_left(made.keys, first), bisect_right(made.keys, last))
                assert list(span) == list(expected)
    for seconds in (low, high, *(event.timestamp for event in made.events)):
        assert run.begins_after(seconds) == (made.events[0].timestamp > seconds)


@examples(100)
@given(runs(), st.sets(st.sampled_from(FLAGS), min_size=1), st.sampled_from(["door", "roof", None]))
def test_events_are_found_by_their_terms(made: Made, flags: set[str], source: str | None) -> None:
    run = made.run
    wanted = [*map(fmt.flag_key, flags), *([] if source is None else [fmt.source_key(source)])]
    terms = [TermKeys().of(event.source, event.tags) for event in made.events]
    for key in wanted:
        slots = [slot for slot, keys in enumerate(terms) if key in keys]
        number = run.find(term(key))
        assert (number >= 0) == bool(slots)
        if slots:
            assert run.slots(number) == slots
    numbers = [run.find(term(key)) for key in wanted]
    if min(numbers) >= 0:
        common = [slot for slot, keys in enumerate(terms) if set(wanted).issubset(keys)]
        assert run.common(numbers) == common
    assert run.find(term(b"fnowhere")) == -1
    found = {int.from_bytes(term(key), "little") for keys in terms for key in keys}
    assert set(run.directory()) == found


def test_a_term_is_found_only_at_the_start_of_a_digest() -> None:
    """The end of one digest and the start of the next are not the digest of a term."""
    made = made_run([(1, Event("a", "s", 1.0, ["x", "y"]))])
    digests = [term(key) for key in (b"ss", b"fx", b"fy")]
    for first, second in itertools.pairwise(digests):
        for at in range(1, 8):
            assert made.run.find((first + second)[at : at + 8]) == -1
    assert [made.run.find(digest) for digest in digests] == [0, 1, 2]


@pytest.mark.parametrize("events", [1, 7, 8, 16, 17, 512])
def test_rare_and_common_terms_meet(events: int) -> None:
    """Bitmaps and lists of slots, in every combination."""
    chance = random.Random(events)
    tags = [[f"t{n}" for n in (1, 2, 3, 30, 100) if not chance.randrange(n)] for _ in range(events)]
    made = made_run(
        (n + 1, Event(f"e{n}", timestamp=float(n), tags=found)) for n, found in enumerate(tags)
    )
    names = sorted({name for found in tags for name in found})
    for one in names:
        for other in names:
            for third in names:
                wanted = [one, other, third]
                numbers = [made.run.find(term(fmt.flag_key(name))) for name in wanted]
                expected = [n for n, found in enumerate(tags) if set(wanted).issubset(found)]
                assert made.run.common(numbers) == expected


@examples(100)
@given(st.sets(st.integers(0, 700)))
def test_a_bitmap_has_the_slots_that_were_put_in(slots: set[int]) -> None:
    assert positions(bitmap(slots, 701)) == sorted(slots)


@pytest.mark.parametrize("length", [0, 1, 63])
def test_a_run_that_is_cut_off_is_reported(length: int) -> None:
    made = made_run([(1, Event("a", "s", 1.0))])
    with pytest.raises(StoreDamaged, match="cut off"):
        Run(made.end, made.value[:length])


@examples(100)
@given(runs())
def test_nothing_that_was_read_refers_to_the_value(made: Made) -> None:
    """The map may change once the transaction has ended."""
    data = bytearray(made.value)
    value = memoryview(data)
    run = Run(made.end, value)
    read = [run.select(range(run.events)), run.event(0), list(run.local_ids()), run.keys()]
    unpacked = run.unpacked(TermKeys())
    data[:] = bytes(len(data))
    assert read == [made.events, made.events[0], made.local_ids, made.keys]
    assert pack_events(unpacked) == made.value
