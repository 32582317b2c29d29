"""Signatures of runs, and what patterns need of them: no event with a match is excluded."""

from __future__ import annotations

import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmdbstore.errors import InvalidQuery
from lmdbstore.patterns import signature as signatures
from lmdbstore.patterns.pattern import compile_pattern
from lmdbstore.patterns.signature import grams, signature
from tests.tools.drawn_patterns import ALPHABET, SMALL, patterns, spelled
from tests.tools.properties import examples

LETTERS = "abkKsSiIéÉ\u212aſİıßẞ_.-09 ,"


def bits(filter_: bytes) -> set[int]:
    return {n for n in range(len(filter_) * 8) if filter_[n // 8] >> n % 8 & 1}


def may_match(pattern: str, contents: list[str]) -> bool:
    made = signature([content.encode() for content in contents])
    value = memoryview(b"before" + made)
    return list(compile_pattern(pattern).probe.passing([value], len(b"before"))) == [value]


# --- the filter ------------------------------------------------------------------------------


def grams_by_definition(content: str) -> set[int]:
    """Follow the definition in the docstring, character by character."""
    folded = ""
    for char in content:
        if char in "\u212aſİı":
            folded += {"\u212a": "k", "ſ": "s", "İ": "i", "ı": "i"}[char]
        elif char <= " " or char in "\"'`,;()[]{}=<>|&?!\x7f":
            folded += " "
        else:
            folded += char.lower() if char.isascii() else char
    pieces = [word.encode() for word in folded.split(" ")]
    found = [word[at : at + 4] for word in pieces for at in range(len(word))]
    return {piece[0] + (piece[1] << 8) + (piece[2] << 16) + (piece[3] << 24)
            for piece in found if len(piece) == 4}  # fmt: skip


@given(st.lists(st.text(max_size=40) | st.text(LETTERS, max_size=40), max_size=20))
@examples(150)
def test_a_filter_holds_all_grams_of_its_contents(contents: list[str]) -> None:
    made = signature([content.encode() for content in contents])
    wanted = set[int]().union(*map(grams_by_definition, contents))
    prime = signatures.PRIMES[len(made) * 8]
    assert {gram % prime for gram in wanted} <= bits(made)
    for content in contents:
        assert grams(content.encode()) == grams_by_definition(content)


def test_the_documented_example_is_correct() -> None:
    made = signature([b"Ab_cd", b"x"])
    assert len(made) == 128
    assert {505, 650} <= bits(made)
    assert len(bits(made)) <= 2 + 6  # pieces with a space at the ends of words
    for place in ("505", "650", "0x635f6261", "0x64635f62"):
        assert place in (signatures.__doc__ or "")


@pytest.mark.parametrize("size", signatures.PRIMES)
def test_each_prime_is_the_largest_below_its_size(size: int) -> None:
    def is_prime(number: int) -> bool:
        return all(number % factor for factor in range(2, int(number**0.5) + 1))

    assert [n for n in range(signatures.PRIMES[size], size) if is_prime(n)] == [
        signatures.PRIMES[size]
    ]


def test_a_filter_grows_with_its_grams_and_stays_sparse() -> None:
    for number in (10, 1000, 10_000, 60_000):
        made = signature([b"%08d" % (n * 7919) for n in range(number)])
        assert len(bits(made)) <= len(made)  # an eighth
    many = signature([b"%016x" % (n * 0x9E3779B97F4A7C15 % (1 << 64)) for n in range(30_000)])
    assert len(many) == 131_040  # the maximum, though they would need more


def test_the_other_byte_order_gives_the_same_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    contents = [b"some words, and 0123456789"]
    native = signature(contents)
    monkeypatch.setattr(sys, "byteorder", "big")
    assert signature(contents) == native


def test_a_filter_of_unknown_length_excludes_nothing() -> None:
    probe = compile_pattern("needle").probe
    filters = [b"", bytes(128), bytes(100), b"\xff" * 128, bytes(256)]
    assert list(probe.passing(filters, 0)) == [b"", bytes(100), b"\xff" * 128]


# --- what patterns need ----------------------------------------------------------------------


@st.composite
def patterns_with_matches(draw: st.DrawFn) -> tuple[str, str]:
    """Draw a pattern and a text that it matches in most cases."""

    def word() -> tuple[str, str]:
        text = draw(st.text(LETTERS, min_size=1, max_size=7))
        return "".join(spelled(char, draw(SMALL) % 12) for char in text), text

    def choice(deep: int) -> tuple[str, str]:
        rows = [row(deep - 1) for _ in range(1 + draw(SMALL) % 3)]
        opening = draw(st.sampled_from(["(", "(?:", "(?i:", "(?s:"]))
        return f"{opening}{'|'.join(row[0] for row in rows)})", draw(st.sampled_from(rows))[1]

    def one() -> tuple[str, str]:
        members = draw(st.lists(st.sampled_from("abksi.é"), min_size=1, max_size=3))
        drawn = draw(st.sampled_from([r"\w", ".", r"[^,]", f"[{''.join(members)}]"]))
        return drawn, members[0]

    def element(deep: int) -> tuple[str, str]:
        kind = draw(SMALL)
        pattern, text = one() if kind < 20 else choice(deep) if kind < 45 and deep else word()
        if kind % 4 == 0:
            repeat, times = draw(
                st.sampled_from([("*", 0), ("*", 2), ("+", 1), ("+?", 3), ("?", 0), ("?", 1),
                                 ("{2}", 2), ("{1,3}", 2), ("{0,2}", 0), ("{1}", 1), ("{3,}", 4)])
            )  # fmt: skip
            return f"(?:{pattern}){repeat}", text * times
        return pattern, text

    def row(deep: int) -> tuple[str, str]:
        parts = [element(deep) for _ in range(draw(SMALL) % 4)]
        return "".join(part[0] for part in parts), "".join(part[1] for part in parts)

    pattern, text = row(3)
    return draw(st.sampled_from(["", "(?i)", "(?is)"])) + pattern, text


texts = st.text(LETTERS, max_size=6)


@given(patterns_with_matches(), texts, texts, st.lists(texts, max_size=3), st.booleans())
@examples(300)
def test_no_matching_run_is_excluded(
    drawn: tuple[str, str], before: str, following: str, others: list[str], swapped: bool
) -> None:
    pattern, text = drawn
    content = before + (text.swapcase() if swapped else text) + following
    try:
        matches = compile_pattern(pattern).matches(content.encode())
    except InvalidQuery:  # bounds that multiply too far
        return
    assert may_match(pattern, [*others, content]) or not matches


@given(patterns(), st.lists(st.text(ALPHABET, max_size=12), min_size=1, max_size=4))
@examples(120)
def test_no_matching_run_is_excluded_for_any_text_as_a_pattern(
    pattern: str, contents: list[str]
) -> None:
    try:
        found = compile_pattern(pattern)
    except InvalidQuery:
        return
    if any(found.matches(content.encode()) for content in contents):
        assert may_match(pattern, contents)


HELPED = [
    "needle", "(?i)NEEDLE", "größe", "(?i)GRÖSSE", "(?i)größe", "timeout.*refused",
    "(alpha|betas)gamma", "x{2}abcde", "(needle)+", r"\bneedle\b$", "[abc]defgh", "ab(?:.c)needle",
    r"10\.0\.0\.1", "user admins", r"\[needle\]", "(?:abc?){2}needle", "needle|thread",
    "(?i)initial", "a(?:b|.)(?:c|)needle|thr(?:.|e)adneedle",
]  # fmt: skip
NOT_HELPED = [
    r"\d+", "a.c", "foo|", "(needle)?", "(needle){0,2}", "abc", "a b c d", "needle|abc", "", ".*",
    "[a-z]{9}", "n,e,e,d,l,e", "(needle|)", "(?:(?:(?:needle)*))",
]  # fmt: skip


@pytest.mark.parametrize("pattern", HELPED)
def test_a_pattern_that_needs_a_word_excludes_texts_without_it(pattern: str) -> None:
    assert compile_pattern(pattern).probe.helps
    assert not may_match(pattern, ["some other text", "and 1234 more", "nothing that is sought"])


@pytest.mark.parametrize("pattern", NOT_HELPED)
def test_a_pattern_that_needs_no_word_excludes_nothing(pattern: str) -> None:
    assert not compile_pattern(pattern).probe.helps
    assert may_match(pattern, [""])


def test_the_exact_tail_of_a_group_is_not_used_as_the_whole_group() -> None:
    assert may_match("ab(?:.c)de", ["abXcde"])
    assert may_match("ab(?:x.|c)de", ["abxyde"])
    assert re.search("ab(?:x.|c)de", "abxyde")


def test_many_alternatives_are_shortened_and_stay_correct() -> None:
    pattern = "".join(f"(?:{a}{a}{a}{a}|{a.upper()}{a}{a}{a}x)" for a in "abcdefgh")
    text = "".join(a * 4 for a in "abcdefgh")
    assert may_match(pattern, [text])
    assert not may_match(pattern, ["none of it"])
