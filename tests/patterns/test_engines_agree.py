"""RE2 and the standard library's `re` agree on every pattern that is accepted.

The properties compare the two engines: on patterns made from the subset, on arbitrary text as
a pattern, and on every character that has cases. LMDBSTORE_EXAMPLES multiplies the number of
examples: 100 takes some minutes.
"""

from __future__ import annotations

import re
import sys
import warnings

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lmdbstore.errors import InvalidQuery
from lmdbstore.patterns.pattern import Pattern
from tests.tools.drawn_patterns import compiled_in_both, patterns_and_texts
from tests.tools.properties import EXAMPLES, examples

# --- any pattern -----------------------------------------------------------------------------


def assert_agreed(found: Pattern, text: str) -> None:
    """Check that both engines give the same result."""
    assert found.matches(text.encode()) == found.found_in(text), (found.text, text)


@examples(150)
@given(patterns_and_texts())
@example(("(?i)[^𐐀a]", ["𐐀", "𐐨", "a", "b"]))
@example((r"\B", ["é", "", "aé", "éa"]))
@example((r"\B|[aé]*y", ["aéaéa", "aé", "éy"]))
@example(("(?i)[b\U00010400]", ["\U00010428", "\U00010400"]))
@example(("(?i)[^b\\U00010400]", ["\U00010428", "\U00010400"]))
@example(("(?i)b|\U00010400", ["\U00010428", "\U00010400"]))
@example(("a{02}b{00,01}", ["aab", "a{02}", "aa"]))
def test_the_engines_agree_on_patterns_of_the_subset(drawn: tuple[str, list[str]]) -> None:
    found = compiled_in_both(drawn[0])
    for text in ["", *drawn[1]]:
        assert_agreed(found, text)
        assert all(end > start for start, end in found.spans(text))


SYNTAX = "()[]{}^$*+?|\\-&~:=!<>#,.PimsxaAbBdswDSWzZ0127n \né"


@examples(250)
@given(st.one_of(st.text(max_size=20), st.text(SYNTAX, max_size=12)), st.text(SYNTAX, max_size=8))
def test_the_engines_agree_on_any_text_that_is_accepted_as_a_pattern(
    pattern: str, text: str
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            Pattern(pattern)
        except InvalidQuery as error:
            assert str(error).startswith("match: ")  # noqa: PT017
            return
    found = compiled_in_both(pattern)
    for tried in ("", text, pattern):
        if not any(0xD800 <= ord(char) < 0xE000 for char in tried):
            assert_agreed(found, tried)


# --- letters and their cases -----------------------------------------------------------------


def cased() -> list[str]:
    """Return every character that `re` may take for a case of another."""
    found = []
    for code in range(sys.maxunicode + 1):
        char = chr(code)
        if not char.lower() == char == char.upper() or char.casefold() != char:
            found.append(char)
    return [char for char in found if not 0xD800 <= ord(char) < 0xE000]


def test_every_character_has_the_cases_that_re_gives_it() -> None:
    letters = cased()
    everything = "".join(letters)
    assert len(letters) > 2700
    for number, char in enumerate(letters):
        # RE2 compiles a pattern for each: by default for every eighth, and for all below U+0600.
        if number % 8 and char > "\u0600" and EXAMPLES <= 1:
            continue
        expected = re.findall(f"(?i){re.escape(char)}", everything)
        for pattern in (f"(?i){char}", f"(?i:[{char}])"):
            found = Pattern(pattern)
            spans = found.spans(everything)
            assert "".join(everything[low:high] for low, high in spans) == "".join(expected), char
        for other in {*expected, char, char.lower(), char.upper(), char.title()}:
            assert found.matches(other.encode()) == found.found_in(other), (char, other)


@pytest.mark.parametrize(
    "pattern",
    [
        r"(?i)[a-z]",
        r"(?i)[^a-z]",
        r"(?i)[k-s]",
        r"(?i)[^\u212a]",
        r"(?i)[\u212a-\U0001f600]",
        r"(?i)[^ſ-\U00010400]",
        r"(?i)[\U00010400-\U00010410]",
        r"(?i)[^\U00010428]",
        r"(?i)[\Wk]",
        r"(?i)[^\wſ]",
        r"(?i)[\x80-\uffff]",
        r"(?i)\w",
        r"(?i)\W",
        r"\s",
        r"\S",
        r"\d",
        r"[^\D5]",
        r".",
        r"(?s).",
        r"[\s\S]",
        r"[^\s\S]",
        r"(?i)[İ]",
        r"(?i)[ı-ſ]",
        r"(?i)[Ȁ-ɏ]",
        r"(?i)[Ა-Ჿᏸ-ᏽꭰ-ꮿ]",
    ],
)
def test_a_class_holds_the_same_characters_in_both_engines(pattern: str) -> None:
    found = Pattern(pattern)
    codes = [*range(0x3000), *range(0xA640, 0xAC00), *range(0xFB00, 0x10600)]
    codes += [*range(0x10C80, 0x10D00), *range(0x118A0, 0x118F0), *range(0x16E40, 0x16E80)]
    codes += [*range(0x1E900, 0x1E950), 0x1F600, 0x10FFFF]
    text = "".join(chr(code) for code in codes if not 0xD800 <= code < 0xE000)
    spans = found.spans(text)
    assert spans == [hit.span() for hit in re.compile(found._oracle).finditer(text)]


def test_a_class_without_characters_matches_nothing_in_both_engines() -> None:
    found = Pattern(r"[^\s\S]")
    assert not found.matches(b"a\n") and not found.found_in("a\n")  # noqa: PT018
