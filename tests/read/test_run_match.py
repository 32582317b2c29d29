"""A pattern in a run finds the events that it finds one by one."""

from __future__ import annotations

import functools
import random
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lmdbstore import Event
from lmdbstore.patterns.pattern import Pattern, compile_pattern
from lmdbstore.read import run_match
from lmdbstore.read.run_match import RunMatcher
from lmdbstore.records.run import Run
from tests.tools.drawn_patterns import compiled, patterns
from tests.tools.properties import examples
from tests.tools.runs import made_run

if TYPE_CHECKING:
    from collections.abc import Callable

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
    # With parts that are searched for first.
    "[a-z]b", ".12$", r"\Ba\b", "(?m)^a$", r"[^x]\n", r"(?s).\nb", r"\s12", "[a-z]* 12$",
    "(?i)[^x]A", "(?i)\\bé", r"\W12", "[a-z]?ab", "(?:a|x)b", r"\w{2} b$", "(?i)[a-z]K",
    r"[a-z]\x00", "a?b?c",
]  # fmt: skip


FEW_LETTERS = "ab12 éA\nx"


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
    assert RunMatcher(pattern).matching(made.run, slots) == expected
    # As in a transaction that reads views.
    view = Run(made.end, memoryview(made.value))
    assert RunMatcher(pattern).matching(view, slots) == expected
    # Where each of the other ways is taken, in the first run of a search and in the next ones.
    for advance, test, without in ((0, 0, 0), (0, 10**9, 0), (60, 10, 1), (10**9, 0, 0)):
        with (
            patch.object(run_match, "ADVANCE", advance),
            patch.object(run_match, "TEST", test),
            patch.object(run_match, "RUNS_WITHOUT", without),
            patch.object(run_match, "FEW", len(contents)),
        ):
            matcher = RunMatcher(pattern)
            for _ in range(4):
                assert matcher.matching(made.run, slots) == expected


@st.composite
def runs_and_slots(draw: st.DrawFn) -> tuple[list[str], Slots]:
    contents = draw(st.lists(st.sampled_from(CONTENTS), min_size=1, max_size=60))
    if draw(st.booleans()):
        low = draw(st.integers(0, len(contents) - 1))
        return contents, range(low, draw(st.integers(low + 1, len(contents))))
    slots = draw(st.sets(st.integers(0, len(contents) - 1), min_size=1))
    return contents, sorted(slots)


@examples(100)
@given(runs_and_slots(), st.sampled_from(PATTERNS))
def test_a_run_has_the_matches_of_its_events(drawn: tuple[list[str], Slots], text: str) -> None:
    check(compile_pattern(text), *drawn)


@example(([""], [0]), "^^(^(?i:^^.*?|[^a-σ]*?){0,17}?){0,17}?")  # RE2 refuses it
@examples(100)
@given(runs_and_slots(), patterns())
def test_any_pattern_has_the_matches_of_the_events(
    drawn: tuple[list[str], Slots], text: str
) -> None:
    check(compiled(text), *drawn)


@examples(100)
@given(
    runs_and_slots(), st.tuples(patterns(FEW_LETTERS, 1, ("",)), patterns(FEW_LETTERS, 1, ("",)))
)
def test_a_pattern_with_a_text_inside_has_the_matches_of_the_events(
    drawn: tuple[list[str], Slots], around: tuple[str, str]
) -> None:
    check(compiled(f"(?:{around[0]})b(?:{around[1]})"), *drawn)
    check(compiled(f"[^b](?:{around[0]})12(?:{around[1]})$"), *drawn)


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
    assert RunMatcher(pattern).matching(made.run, range(512)) == list(range(512))
    assert hits <= 2 * run_match.FREE_HITS


def test_dead_slots_are_not_returned() -> None:
    """They are left out of the slots, and their contents are in the run all the same."""
    contents = ["dead", "alive", "dead\nalive", "x", "alive"] * 20
    slots = [n for n in range(100) if n % 5 in {1, 3}]
    pattern = compile_pattern("alive|dead")
    assert RunMatcher(pattern).matching(run_of(contents).run, slots) == slots[::2]


# -- parts ----------------------------------------------------------------------------------------


class Calls:
    """A pattern whose calls of RE2 are counted."""

    def __init__(self, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pattern = Pattern(text)
        self.by_part, self.by_pattern, self.tests = [0] * len(self.pattern.parts), 0, 0
        self.pattern.parts = tuple(map(self._counted, range(len(self.pattern.parts))))
        next_hit, matches = Pattern.next_hit, Pattern.matches

        def counted_next_hit(pattern: Pattern, text: bytes, start: int) -> int:
            self.by_pattern += 1
            return next_hit(pattern, text, start)

        def counted_matches(pattern: Pattern, content: bytes) -> bool:
            self.tests += 1
            return matches(pattern, content)

        monkeypatch.setattr(Pattern, "next_hit", counted_next_hit)
        monkeypatch.setattr(Pattern, "matches", counted_matches)

    def _counted(self, number: int) -> Callable[[bytes | memoryview, int], int]:
        find = self.pattern.parts[number]

        def counted(text: bytes | memoryview, start: int) -> int:
            self.by_part[number] += 1
            return find(text, start)

        return counted


def test_a_rare_part_is_searched_for_instead_of_the_pattern(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    contents = [f"some words and a number {n:04d}" for n in range(1000)][:512]
    calls = Calls("[0-9]{2}00$", monkeypatch)
    matcher = RunMatcher(calls.pattern)
    run = run_of(contents).run
    for _ in range(3):
        assert matcher.matching(run, range(512)) == list(range(0, 512, 100))
    assert calls.by_pattern == 0
    assert calls.tests == 18
    assert calls.by_part == [21]


def test_parts_that_are_everywhere_are_left_and_seldom_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The second part is no better than the first one."""
    contents = [f"{n:04d} a common word in" for n in range(512)]
    calls = Calls("[0-9b]common word.*[0-9] in$", monkeypatch)
    assert len(calls.by_part) == 2
    matcher = RunMatcher(calls.pattern)
    run = run_of(contents).run
    rounds = run_match.RUNS_WITHOUT + 2
    for _ in range(3 * rounds):
        assert matcher.matching(run, range(512)) == []
    assert calls.by_pattern == 3 * rounds
    assert sum(calls.by_part) == calls.tests <= 3 * 10


def test_another_part_is_tried_if_the_first_one_is_everywhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    contents = [f"a common word {'x' * 80} {n:04d}" for n in range(512)]
    calls = Calls("[a-z] common word x* [0-9]*77$", monkeypatch)
    matcher = RunMatcher(calls.pattern)
    run = run_of(contents).run
    for _ in range(50):
        assert matcher.matching(run, range(512)) == list(range(77, 512, 100))
    assert calls.by_part[0] < 10
    assert calls.by_pattern == 6  # in the rest of the first run


def test_a_part_that_has_paid_is_kept_where_its_hits_are_close_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = Calls("[0-9]00$", monkeypatch)
    nothing = "nothing is to be found here" * 4
    without = run_of([nothing] * 512).run
    close = run_of(["a00"] * 10 + [nothing] * 500).run
    matcher = RunMatcher(calls.pattern)
    for run in (without, close, without, close):
        assert matcher.matching(run, range(run.events)) == []
    assert calls.by_pattern == 0
    assert RunMatcher(calls.pattern).matching(close, range(close.events)) == []
    assert calls.by_pattern == 1


def test_long_contents_are_not_tested_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test reads the whole content, so that a few of them cost as much as a search."""
    calls = Calls("[0-9]{2}x", monkeypatch)
    matcher = RunMatcher(calls.pattern)
    assert matcher.matching(run_of(["x" + "long " * 2000] * 16).run, range(16)) == []
    assert calls.tests == 1


@pytest.mark.parametrize(
    ("text", "contents", "tests"),
    [
        ("[0-9]{2}", ["12", "a1", "34"], 0),
        ("[0-9]{2}", ["12", "a\n1", "34"], 2),  # a content has a newline
        (r"[0-9]\s?", ["1", "a", "2"], 2),  # the pattern may match one
        (r"\b|[0-9]", ["12", "", "."], 1),  # it matches without a character
        (r"(?m)^[0-9]$", ["1", "12", "2"], 0),
    ],
)
def test_a_hit_in_contents_without_newlines_needs_no_test(
    text: str, contents: list[str], tests: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = Calls(text, monkeypatch)
    expected = [n for n, content in enumerate(contents) if calls.pattern.found_in(content)]
    assert RunMatcher(calls.pattern).matching(run_of(contents).run, range(3)) == expected
    assert calls.tests == tests
