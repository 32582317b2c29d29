r"""What `match` accepts and means, and that RE2 and the standard library's `re` agree on it.

The tables give the meaning by example. The properties compare the two engines: on patterns
made from the subset, on arbitrary text as a pattern, and on every character that has cases.
LMDBSTORE_EXAMPLES multiplies the number of examples: 100 takes some minutes.
"""

from __future__ import annotations

import random
import re
import sys
import threading

import pytest
from hypothesis import given

from lmdbstore.errors import InvalidQuery
from lmdbstore.patterns import pattern as engines
from lmdbstore.patterns.pattern import Pattern, compile_pattern
from tests.tools.drawn_patterns import compiled, patterns_and_texts
from tests.tools.properties import examples

# --- hostile patterns ------------------------------------------------------------------------


HOSTILE = [
    "(a+)+$",
    "([a-zA-Z]+)*$",
    "(a|aa)+$",
    "(a|a?)+$",
    "(.*a){20}$",
    "(.*a){1000}$",
    "(a?){50}a{50}b",
    "(a?){500}a{500}b",
    "(x+x+)+y",
    "(a*)*b",
    "(a*)+b",
    "((a*)*)*b",
    "(((((a*)*)*)*)*)*b",
    "(?:a|b|ab)*c",
    "(a|b|ab|ba)*c$",
    "(a+a+)+b",
    r"^(([a-z])+.)+[A-Z]([a-z])+$",
    r"^([a-zA-Z0-9])(([\-.]|[_]+)?([a-zA-Z0-9]+))*(@){1}[a-z0-9]+[.]{1}(([a-z]{2,3}))$",
    r"^(([a-zA-Z0-9_\-\.]+)@([a-zA-Z0-9_\-\.]+)\.([a-zA-Z]{2,5}){1,25})+$",
    (
        r"(?:(?:\"|'|\]|\}|\\|\d|(?:nan|infinity|true|false|null|undefined|symbol|math)|`|-|\+)+"
        r"[)]*;?((?:\s|-|~|!|\{\}|\|\||\+)*.*(?:.*=.*)))"
    ),
    r"^\s+|\s+$",
    r"\s*#?\s*$",
    r".*.*=.*",
    r".*.*.*.*.*=",
    r"^(.*?,){11}P",
    r"(\d+)*\d*x",
    r"(?i)(ſ|s|k|\u212a)*é$",
    r"[^a]*[^b]*[^c]*[^d]*$x",
    r"(?s).*.*.*x$y",
    r"a.{0,200}b.{0,200}c",
    r"[ab]*a[ab]{300}c",
    r"(?:[ab]{1,30}c?){1,30}d",
    r"(?:(?:a{0,9}){0,9}){0,9}b",
    r"(?:.{1,100}z){3}",
    r"\B|[aé]*y",
    r"\B(?:[aé]*y)?",
    r"(?:\b|\B|a)*y",
    "|".join(f"a{{{n}}}b" for n in range(1, 100)),
]


@pytest.mark.parametrize("pattern", HOSTILE)
def test_a_hostile_pattern_finishes(pattern: str) -> None:
    found = compile_pattern(pattern)
    texts = ["a" * 50_000, "aé" * 25_000, "ab" * 25_000, " " * 50_000, "x1,=" * 12_500]
    for text in texts:
        found.matches(text.encode())
        found.matches(text.encode() + b"!")


# --- where it matches ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "content", "spans"),
    [
        ("b", "abcb", [(1, 2), (3, 4)]),
        ("b", "é😀b", [(2, 3)]),
        ("é+", "aéébé", [(1, 3), (4, 5)]),
        ("a*", "baab", [(1, 3)]),
        ("x*", "ab", []),
        ("", "ab", []),
        ("^", "ab", []),
        (r"\B", "éé", []),
        (r"\b\w+", "un deux éa", [(0, 2), (3, 7), (9, 10)]),
        ("(?m)^.", "a\né\n\nc", [(0, 1), (2, 3), (5, 6)]),
        ("a.*b", "aXbXb\nab", [(0, 5), (6, 8)]),
        ("a.*?b", "aXbXb\nab", [(0, 3), (6, 8)]),
        ("😀|é", "é😀", [(0, 1), (1, 2)]),
        ("(?i)straße", "Die STRAẞE", [(4, 10)]),
        ("a", "", []),
    ],
)
def test_spans_are_those_of_the_matches(
    pattern: str, content: str, spans: list[tuple[int, int]]
) -> None:
    assert compile_pattern(pattern).spans(content) == spans


@examples(60)
@given(patterns_and_texts())
def test_there_are_spans_where_the_pattern_matches(drawn: tuple[str, list[str]]) -> None:
    found = compiled(drawn[0])
    for text in drawn[1]:
        spans = found.spans(text)
        assert found.found_in(text) or not spans
        edges = [0, *(edge for span in spans for edge in span), len(text)]
        assert edges == sorted(edges)


# --- the object ------------------------------------------------------------------------------


def test_patterns_with_equal_texts_are_equal() -> None:
    assert Pattern("a") == Pattern("a") != Pattern("b")
    assert Pattern("a") != "a"
    assert len({Pattern("a"), Pattern("a"), Pattern("b")}) == 2
    assert repr(Pattern("a\n")) == "compile_pattern('a\\n')"


def test_threads_can_share_a_pattern() -> None:
    found = compile_pattern(r"(?i)\bÉt[eé]s?\b.*$")
    contents = [f"un été {n}" if n % 3 else f"hiver {n}" for n in range(300)]
    expected = [found.found_in(content) for content in contents]
    results: list[list[bool]] = []

    def run() -> None:
        results.append([found.matches(content.encode()) for content in contents])

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 4


def test_re2_lets_other_threads_run() -> None:
    """A search in one thread does not delay another thread.

    Here threads switch only when one releases the GIL; otherwise all searches would be over.
    """
    found, drawn = compile_pattern("[ab]*a[ab]{12}c"), random.Random(1)
    content = bytes(drawn.choices(b"ab", k=1_000_000))
    over = threading.Event()

    def search() -> None:
        for _ in range(50):
            found.matches(content)
        over.set()

    thread, before = threading.Thread(target=search), sys.getswitchinterval()
    sys.setswitchinterval(1000)
    try:
        thread.start()
        ran_meanwhile = not over.is_set()
        thread.join()
    finally:
        sys.setswitchinterval(before)
    assert ran_meanwhile


@pytest.mark.parametrize("kind", "dswDSW")
def test_classes_are_ascii_classes(kind: str) -> None:
    everything = "".join(chr(code) for code in range(0x3000))
    found, expected = Pattern(rf"\{kind}"), re.compile(rf"x|\{kind}", re.ASCII)
    assert found.spans(everything) == [
        hit.span() for hit in expected.finditer(everything) if hit[0] != "x" or kind in "wDS"
    ]


@pytest.mark.parametrize("kind", ["b", "B"])
def test_word_boundaries_are_ascii_boundaries(kind: str) -> None:
    found, expected = Pattern(rf"\{kind}a"), re.compile(rf"(?a:\{kind})a")
    for char in map(chr, range(0x300)):
        assert found.matches(f"{char}a".encode()) == bool(expected.search(f"{char}a")), char


def test_the_public_calls_of_re2_find_the_same() -> None:
    """They are used where the private calls are not known."""
    found = engines._compiled("a[0-9]", "a[0-9]")
    for text in (b"", b"a1", b"xa1 a2", b"none"):
        for start in range(len(text) + 1):
            assert engines._public_find(found, text, start) == engines._finder(found)(text, start)


@pytest.mark.parametrize(
    "pattern", ["(?\x1b[0m)", "[a-\x1b]", "(?P<\x9b>a)", "[[:\x07:]]", "(?\x1bi)"]
)
def test_a_refusal_prints_no_control_characters(pattern: str) -> None:
    """The refusal names the construct outside the subset, with control characters escaped."""
    with pytest.raises(InvalidQuery) as refused:
        compile_pattern(pattern)
    assert str(refused.value).isprintable()
