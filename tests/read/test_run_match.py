"""A pattern in a run finds the events that it finds one by one."""

from __future__ import annotations

import functools
import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmdbstore import Event
from lmdbstore.patterns.pattern import Pattern, compile_pattern
from lmdbstore.read import run_match
from lmdbstore.read.run_match import matching_slots
from lmdbstore.records.run import Run
from tests.tools.drawn_patterns import patterns
from tests.tools.runs import made_run

if TYPE_CHECKING:
    from lmdbstore.records.run import Slots
    from tests.tools.runs import Made

CONTENTS = [
    "", "a", "ab", "ba", "b", "a\nb", "\n", "\n\n", "b\na", "aa b", "é", "ÉA", "a\0b", "K", "12",
    "xyz 12", "x" * 50,
]  # fmt: skip
PATTERNS = [
    # Those that may cross the newline between two contents come first.
    "a\nb", "b\na", "\n", r"a\s*b", r"(?s)a.b", "[^a]b", r"\Ab", "^b", "a$", r"(?m)^b", r"(?m)a$",
    r"\bb", r"\Bb", r"a\b", "(?i)k", "(?i)É", r"\W", "", "a*", "^$", "x", "12$", "[0-9]{2}", "ab",
    "nowhere", ".", "(a|b)+", r"(?s).*b", "(?:a\n?)+",
]  # fmt: skip


def run_of(contents: list[str]) -> Made:
    return made_run(
        (n + 1, Event(f"e{n}", timestamp=float(n), content=content))
        for n, content in enumerate(contents)
    )


def one_by_one(pattern: Pattern, contents: list[str], slots: Slots) -> list[int]:
    return [slot for slot in slots if pattern.matches(contents[slot].encode())]


def check(pattern: Pattern, contents: list[str], slots: Slots, made: Made | None = None) -> None:
    made = made or run_of(contents)
    expected = one_by_one(pattern, contents, slots)
    assert list(matching_slots(pattern, made.run, slots)) == expected
    # As in a transaction that reads views.
    assert list(matching_slots(pattern, Run(made.end, memoryview(made.value)), slots)) == expected


@st.composite
def runs_and_slots(draw: st.DrawFn) -> tuple[list[str], Slots]:
    contents = draw(st.lists(st.sampled_from(CONTENTS), min_size=1, max_size=60))
    if draw(st.booleans()):
        low = draw(st.integers(0, len(contents) - 1))
        return contents, range(low, draw(st.integers(low + 1, len(contents))))
    slots = draw(st.sets(st.integers(0, len(contents) - 1), min_size=1))
    return contents, sorted(slots)


@given(runs_and_slots(), st.sampled_from(PATTERNS))
def test_a_run_has_the_matches_of_its_events(drawn: tuple[list[str], Slots], text: str) -> None:
    check(compile_pattern(text), *drawn)


@given(runs_and_slots(), patterns())
def test_any_pattern_has_the_matches_of_the_events(
    drawn: tuple[list[str], Slots], text: str
) -> None:
    check(compile_pattern(text), *drawn)


@functools.cache
def with_hits(share: int) -> tuple[list[str], Made]:
    chance = random.Random(share)
    contents = [
        chance.choice(CONTENTS) if not chance.randrange(share) else f"{n} zz" for n in range(512)
    ]
    return contents, run_of(contents)


@pytest.mark.parametrize("text", PATTERNS)
@pytest.mark.parametrize("share", [1, 2, 5, 50, 1000])
def test_hits_of_every_density_are_found(text: str, share: int) -> None:
    """Where they are dense, each content is tested instead."""
    contents, made = with_hits(share)
    for slots in (range(512), range(3, 509), list(range(0, 512, 3)), [5, 300, 511]):
        check(compile_pattern(text), contents, slots, made)


def test_a_pattern_that_is_not_searched_by_page_is_tested_on_each_event() -> None:
    for text in ("a*", "", "(?:a|b|)"):
        pattern = compile_pattern(text)
        assert not pattern.by_page
        check(pattern, CONTENTS, range(len(CONTENTS)))


def test_a_search_of_the_whole_run_is_left_where_hits_are_dense(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The number of searches from hit to hit is bounded; a quarter of the events may be hit."""
    contents = ["ab"] * 512
    made = run_of(contents)
    hits = 0
    pattern = compile_pattern("ab")
    next_hit = Pattern.next_hit

    def counted(searched: Pattern, text: bytes, start: int) -> int:
        nonlocal hits
        hits += 1
        return next_hit(searched, text, start)

    monkeypatch.setattr(Pattern, "next_hit", counted)
    assert list(matching_slots(pattern, made.run, range(512))) == list(range(512))
    assert hits <= 2 * run_match.FREE_HITS


def test_dead_slots_are_not_returned() -> None:
    """They are left out of the slots, and their contents are in the run all the same."""
    contents = ["dead", "alive", "dead\nalive", "x", "alive"] * 20
    slots = [n for n in range(100) if n % 5 in {1, 3}]
    pattern = compile_pattern("alive|dead")
    assert list(matching_slots(pattern, run_of(contents).run, slots)) == slots[::2]
