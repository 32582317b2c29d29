r"""Search by pages finds the records whose content matches, no more and no fewer.

The proof in words is in `patterns.pattern`; these tests try it: for any pattern, contents and
headers, `matching_records` gives the same as testing each content alone. The headers hold
texts that the pattern hits, the constants are made so small that every fall-back is taken, and
contents look like headers. LMDBSTORE_EXAMPLES multiplies the number of examples.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lmdbstore.patterns import many_texts as page_search
from lmdbstore.patterns.pattern import Pattern, compile_pattern
from lmdbstore.read.live import matching_records
from tests.tools.drawn_patterns import ALPHABET, compiled, patterns
from tests.tools.properties import examples

if TYPE_CHECKING:
    from collections.abc import Sequence


def record(content: str, source: str = "s", tags: Sequence[str] = ()) -> bytes:
    """Return a record as it is stored: a header in JSON without a raw newline, and the content."""
    header = json.dumps(["id", source, 1.5, list(tags)], ensure_ascii=False, separators=(",", ":"))
    assert "\n" not in header
    return f"{header}\n{content}".encode()


def content_of(stored: bytes) -> bytes:
    return stored.partition(b"\n")[2]


def one_by_one(found: Pattern, records: Sequence[bytes]) -> list[int]:
    return [n for n, stored in enumerate(records) if found.matches(content_of(stored))]


def assert_found(text: str, records: Sequence[bytes]) -> list[int]:
    """Check the search by pages with the normal constants, and with small ones."""
    found = Pattern(text)
    expected = one_by_one(found, records)
    contents = [content_of(stored).decode() for stored in records]
    assert [n for n, content in enumerate(contents) if found.found_in(content)] == expected
    assert matching_records(found, records) == expected
    for false_hits, dense in ((1, 1), (2, 100), (1000, 1), (1, 1000)):
        with (
            patch.object(page_search, "FALSE_HITS", false_hits),
            patch.object(page_search, "DENSE", dense),
        ):
            assert matching_records(found, records) == expected, (false_hits, dense)
    return expected


# --- the property ----------------------------------------------------------------------------


@st.composite
def pages(draw: st.DrawFn) -> tuple[str, list[bytes]]:
    """Draw a pattern, and records that use few of its possible characters."""
    alphabet = "".join(draw(st.lists(st.sampled_from(ALPHABET), min_size=1, max_size=3)))
    alphabet += draw(st.sampled_from(("", "\n", '\n["', '"]', "ab\n", "-_\n")))
    words = st.text(alphabet, max_size=5)
    few = draw(st.lists(st.builds(record, words, words, st.lists(words, max_size=2)), min_size=1))
    likes = [content_of(stored).decode() for stored in few]
    likes += [stored.decode() for stored in few[:2]]  # contents that look like records
    likes += [stored.partition(b"\n")[0].decode() for stored in few[:2]]  # or like headers
    chosen = st.builds(record, st.sampled_from(likes), st.sampled_from(likes))
    records = few + draw(st.lists(chosen, max_size=6))
    times = draw(st.sampled_from((1, 1, 1, 2, 5, 12)))
    return draw(patterns(alphabet)), (records * times)[:200]


@examples(80)
@given(pages())
@example((r"a\B", [record("aé"), record("ab")]))
@example(("(?s)a.*b", [record("a"), record("b"), record("ab")]))
def test_pages_find_the_same_as_testing_each_content(drawn: tuple[str, list[bytes]]) -> None:
    found = compiled(drawn[0])
    records = drawn[1]
    expected = one_by_one(found, records)
    assert matching_records(found, records) == expected
    for false_hits, dense in ((1, 1000), (2, 1), (1000, 1000)):
        with (
            patch.object(page_search, "FALSE_HITS", false_hits),
            patch.object(page_search, "DENSE", dense),
        ):
            assert matching_records(found, records) == expected, (false_hits, dense)


# --- examples --------------------------------------------------------------------------------

AB = ["ab", "xab", "abx", "x\nab", "ab\nx", "x\nab\ny", "", "ab\n", "\nab", "a\nb", "ab ab"]


@pytest.mark.parametrize(
    ("text", "contents", "expected"),
    [
        ("^$", ["", "a", "", "\n"], [0, 2]),
        ("(?m)^$", ["", "a", "a\n", "\na"], [0, 2, 3]),
        ("", ["", "a"], [0, 1]),
        (r"\Aab", AB, [0, 2, 4, 7, 10]),
        ("^ab", AB, [0, 2, 4, 7, 10]),
        ("(?m)^ab", AB, [0, 2, 3, 4, 5, 7, 8, 10]),
        ("ab$", AB, [0, 1, 3, 8, 10]),
        ("(?m)ab$", AB, [0, 1, 3, 4, 5, 7, 8, 10]),
        ("^ab$", AB, [0]),
        (r"\bab\b", AB, [0, 3, 4, 5, 7, 8, 10]),
        (r"ab\B", AB, [2]),
        (r"\Bab", AB, [1]),
        (r"a\nb", AB, [9]),
        ("a\nb", ["a", "b", "a\nb", "a\n", "\nb"], [2]),
        ("(?s)a.*b", ["a", "b", "a\nb", "xa", "b", "ba", "b"], [2]),
        ("(?s)a.*?b", ["a", "b", "a\nb", "xa", "b", "ba", "b"], [2]),
        (r"a[^x]*b", ["a", "b", "a\nb", "xa", "b"], [2]),
        (r"a\s*b", ["a", "b", "a\nb", "xa", "b"], [2]),
        (r"\n", ["", "a", "\n", "a\nb"], [2, 3]),
        (r"(?m)\n^", ["", "\n", "a\nb"], [1, 2]),
        (r"\n\[", ["", "\n[", '["a",'], [1]),
        (r'\["id"', ["x", '["id"', "y"], [1]),
        (r"\n\[\"\n", ["", '["', '\n["\n', "", '["\n'], [2]),
        (r"(?s).{3}", ["", "ab", "a\nb", "é😀", "é😀é"], [2, 4]),
        (r"\x00", ["\0", "", "a"], [0]),
        ("😀$", ["😀", "😀\n", "a😀"], [0, 2]),
        (r"\B", ["", "é", "a", "a b", "é é", "aé", "éa"], [0, 1, 4, 5, 6]),
    ],
)
def test_search_by_pages_finds_the_examples(
    text: str, contents: list[str], expected: list[int]
) -> None:
    assert assert_found(text, [record(content) for content in contents]) == expected
    assert_found(text, [record(content, source=content) for content in contents] * 9)
    assert_found(text, [record(content, tags=contents) for content in contents])


def test_no_records_are_found_in_an_empty_page() -> None:
    assert matching_records(compile_pattern("a"), []) == []
    assert matching_records(compile_pattern(""), []) == []
    assert matching_records(compile_pattern("^$"), []) == []


def test_a_match_that_starts_in_a_header_hides_none_in_the_content() -> None:
    records = [record("b", source="needle"), record("needle", source="needle"), record("needle")]
    assert assert_found("needle", records) == [1, 2]
    assert assert_found(r"needle[^x]*b", records) == []
    # It starts in a header and ends in the content, where another one begins later.
    assert assert_found(r"s(?s:.)*?a", [record("sa", source="s"), record("s"), record("a")]) == [0]
    # It starts at the joining newline, and runs over the header into the next content.
    assert assert_found(r"\n(?s:.){0,90}b", [record("x"), record("b"), record("\nb")]) == [2]
    assert assert_found(r"x\s", [record("x"), record("x\n"), record("x")]) == [1]


@pytest.mark.parametrize("number", [1, 2, 7, 8, 9, 16, 17, 31, 64, 200])
@pytest.mark.parametrize("every", [1, 2, 3, 4, 5, 9, 50])
def test_every_fall_back_finds_the_same(number: int, every: int) -> None:
    """The pattern hits headers, and hits contents often, seldom, first or last."""
    contents = ["needle" if n % every == 0 else "hay" for n in range(number)]
    for source in ("s", "needle"):
        records = [record(content, source) for content in contents]
        assert assert_found("needle", records) == list(range(0, number, every))
        records.reverse()
        assert_found("needle", records)
        mixed = [record(content, source) for content in ["hay"] * number + contents]
        assert_found("needle", mixed)
        assert_found(r"(?m)^needle$|\[hay", mixed)


def test_searches_by_page_call_re2_seldom() -> None:
    """That is the purpose of the page: there is no call for a record without a hit."""
    records = [record("hay " * 20, source="src") for _ in range(1000)]
    records[500] = record("a needle")
    for text, most in (("needle", 1), (r"\bneedle\b", 1), ("src", 20), (r"\d{3}x", 0)):
        calls: list[bytes] = []

        def counted(self: Pattern, content: bytes, calls: list[bytes] = calls) -> bool:
            calls.append(content)
            return bool(self.test(content))

        with patch.object(Pattern, "matches", counted):
            matching_records(Pattern(text), records)
        assert len(calls) <= most, text


@pytest.mark.parametrize(
    ("text", "unbounded"),
    [
        ("a", False),
        ("a.*b", False),
        (r"a\s*b", False),
        ("(?s)a.{0,9}b", False),
        ('[^"]+', False),
        ("[^x]+", True),
        ("(?s)a.*b", True),
        ("(?s)a.{0,90}b", True),
        (r"a(?:\n|.)*b", True),
        (r"a(?:\n|[^\n])*b", True),
        (r"(?i)a(?:\n|\W)*b", True),
        ("a*", False),
        ("(?:a|b*)c", False),
    ],
)
def test_patterns_that_may_run_over_the_page_are_recognised(text: str, unbounded: bool) -> None:
    assert compile_pattern(text).unbounded is unbounded


@pytest.mark.parametrize("text", [r"(?s)1.*q|1", r"1[^q]*", r"(?s).*99", "(?s)(?:1.*){3}"])
def test_hits_that_run_over_the_page_are_few(text: str) -> None:
    """Otherwise the time for a page would grow with the square of its length."""
    found, records = Pattern(text), [record(f"number 1 {n}") for n in range(100)]
    assert found.unbounded
    with patch.object(Pattern, "next_hit", autospec=True, side_effect=Pattern.next_hit) as searches:
        assert matching_records(found, records) == one_by_one(found, records)
    assert searches.call_count <= 2


@pytest.mark.parametrize("text", ['"', r"\[", r'\n\["', "host", r"\d{3}"])
def test_hits_between_the_contents_are_few(text: str) -> None:
    """A pattern that hits every header, or the joining text, is soon tried on each content."""
    found, records = Pattern(text), [record("x", source="host123") for n in range(1000)]
    with patch.object(Pattern, "next_hit", autospec=True, side_effect=Pattern.next_hit) as searches:
        assert matching_records(found, records) == []
    assert searches.call_count <= 20


def test_after_a_few_hits_in_headers_the_headers_are_left_out() -> None:
    """The contents are then searched without them."""
    found = Pattern("needle")
    records = [record("x", source="needle" if n % 9 == 0 else "s") for n in range(900)]
    with patch.object(Pattern, "next_hit", autospec=True, side_effect=Pattern.next_hit) as searches:
        assert matching_records(found, records) == []
    assert searches.call_count <= 10


@pytest.mark.parametrize("text", ["", "a*", "a|", "a{0}", "(?:a|b*)", r"a|\b|(?:a?)"])
def test_a_pattern_that_matches_everywhere_is_tested_on_each_content(text: str) -> None:
    found = compile_pattern(text)
    assert not found.by_page
    assert all(compile_pattern(other).by_page for other in ("a", "^$", r"\b", "^", "a?b", r"a|\b"))
    records = [record("x"), record(""), record("é")]
    with patch.object(Pattern, "next_hit", side_effect=AssertionError):
        assert matching_records(found, records) == [0, 1, 2]
