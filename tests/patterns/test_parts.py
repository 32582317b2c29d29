"""Each match of a pattern has a match of each of its parts, and parts begin with a character."""

from __future__ import annotations

import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from lmdbstore.patterns.parse import render
from lmdbstore.patterns.parts import parts
from lmdbstore.patterns.pattern import Pattern
from tests.tools.drawn_patterns import ALPHABET, compiled, patterns
from tests.tools.properties import examples

END = "(?m:$)"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[0-9]{6}00$", ["00" + END]),
        (r"\b[0-9]{3}7[0-9]{2}00\b", [r"00\b", "7"]),
        ("^user.*00$", ["user", "00" + END]),
        (".*(ab)$", ["ab" + END]),
        ("[0-9](a(b)c)d", ["abcd"]),
        ("(?i)[0-9]ab", ["[Aa][Bb]"]),
        ("[a-z]+=[0-9]+;[a-z]+=[0-9]+$", [r"\x{3d}", r"\x{3b}"]),
        (r"[0-9]\\x", [r"\\x"]),
        (r"[\]x]]\[", [r"\]\["]),
        ("[0-9]aa.b", ["aa[\\x{0}-\\x{9}\\x{b}-\\x{10ffff}]b", "b"]),
        (r"\Aa", ["a"]),
        (r"\ba{3}b", ["b"]),
        ("[0-9]é", [r"\x{e9}"]),
        ("[0-9]aax?y", ["aax??y", "y"]),
        ("[0-9]aax{0,15}y", ["aax{0,15}?y", "y"]),
    ],
)  # fmt: skip
def test_parts_begin_with_a_character_and_end_before_what_may_be_long(
    text: str, expected: list[str]
) -> None:
    assert parts(render(text).page) == expected


@pytest.mark.parametrize(
    "text",
    [
        "needle.*", "needle$", "(?i)needle", "(needle)x", "(?:(?:a))b",  # RE2 leaps with the whole
        "", "[0-9]+", "[0-9]|00", "[0-9](?:00|11)", "[0-9](?:00)?", "[0-9](?:00)*", "[0-9](00){0}",
        "[0-9](?:a00|)", "[0-9]0?", "[0-9]0*", "[0-9](?:(?:00)b)+", "(?i)[0-9]k", "[0-9]a{0,16}",
    ],
)  # fmt: skip
def test_what_is_not_in_each_match_or_not_fast_is_no_part(text: str) -> None:
    assert parts(render(text).page) == []


def test_parts_are_few() -> None:
    assert parts(render("[0-9]a.+b.+cc.+d").page) == ["cc", "d", "b"]


def test_a_pattern_that_is_not_searched_by_page_has_no_parts() -> None:
    assert len(Pattern("[0-9]+ab").parts) == 1
    assert not Pattern("[a-z]{1000}[a-z]{1000}[a-z]{1000}ab").by_page
    assert not Pattern("[a-z]{1000}[a-z]{1000}[a-z]{1000}ab").parts


@st.composite
def patterns_with_text(draw: st.DrawFn) -> tuple[str, list[tuple[str, str]]]:
    alphabet = "".join(draw(st.lists(st.sampled_from(ALPHABET), min_size=1, max_size=3))) + "ab\n"
    pieces = [draw(patterns(alphabet, 1, ("",))) for _ in range(3)]
    leading = draw(st.sampled_from(["", "(?i)", "(?m)", "(?s)"]))
    pieces = [f"(?:{piece})" if "|" in piece else piece for piece in pieces]
    text = leading + draw(st.sampled_from(["[ab]", "", r"\b", "^"])) + "ab".join(pieces)
    contents = st.text(alphabet, max_size=6)
    return text, draw(st.lists(st.tuples(contents, contents), min_size=1, max_size=8))


@examples(120)
@given(patterns_with_text())
def test_every_match_has_a_match_of_each_part(drawn: tuple[str, list[tuple[str, str]]]) -> None:
    text, contents = drawn
    pattern = compiled(text)
    searches = [re2.compile(part.encode()) for part in parts(render(text).page)]
    for before, following in contents:
        content = f"{before}ab{following}".encode()
        if pattern.matches(content):
            for search in searches:
                assert search.search(content), (text, content, search.pattern)
