"""What the server excludes before RE2: never a content in which the pattern matches."""

from __future__ import annotations

import pytest
from hypothesis import given

from lmdbstore.sql.reading.like import like
from lmdbstore.sql.texts import original
from tests.tools.drawn_patterns import compiled, patterns_and_texts
from tests.tools.properties import examples


def holds(condition: str, texts: list[str], content: str) -> bool:
    """Evaluate a condition as the server does, where only ASCII has small letters."""
    folded = content.encode().lower().decode()
    left = iter(texts)
    return any(
        all([plain(next(left)) in folded for _ in alternative.split(" AND ")])  # noqa: C419  all are read
        for alternative in condition.strip("()").split(" OR ")
    )


def plain(text: str) -> str:
    assert text[0] == text[-1] == "%"
    text = original(text[1:-1])
    for special in "\\%_":
        text = text.replace("\\" + special, special)
    return text


@given(patterns_and_texts())
@examples(400)
def test_a_content_with_a_match_meets_the_condition(drawn: tuple[str, list[str]]) -> None:
    pattern, contents = drawn
    found = compiled(pattern)
    condition, texts = like(pattern)
    for content in contents:
        if condition and found.matches(content.encode()):
            assert holds(condition, texts, content)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("error", ["%error%"]),
        ("Error 10%_x", ["%error 10\\%\\_x%"]),
        ("(?i)ERROR", ["%error%"]),
        ("disk.*full", ["%disk%", "%full%"]),
        ("disk|full", ["%disk%", "%full%"]),
        (r"a\x00b", ["%a\x1a0b%"]),
        ("ab", []),
        ("x*", []),
        ("[a-z]+", []),
        ("(?:ab|cd)ef", ["%abef%", "%cdef%"]),
    ],
)
def test_the_texts_of_a_pattern(pattern: str, expected: list[str]) -> None:
    condition, texts = like(pattern)
    assert sorted(texts) == sorted(expected)
    assert condition.count("%s") == len(texts)


def test_letters_with_other_cases_are_alternatives() -> None:
    """`(?i)k` finds the Kelvin sign, which is no capital of ASCII."""
    condition, texts = like("(?i)ask")
    assert holds(condition, texts, "A\u017f\u212a")
    assert not holds(condition, texts, "a k")
