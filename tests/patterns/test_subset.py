"""The patterns that are accepted, with their meaning by example, and those that are refused."""

from __future__ import annotations

import re
from typing import Any

import pytest

from lmdbstore.errors import InvalidQuery
from lmdbstore.patterns.pattern import compile_pattern
from tests.tools.drawn_patterns import compiled_in_both

ACCEPTED = [  # pattern, texts with a match, texts without
    ("", ["", "a"], []),
    ("abc", ["abc", "xabcx", "abc\n"], ["", "ab", "ABC", "a\nbc"]),
    ("a.c", ["abc", "aéc", "a😀c", "a\rc", "a\u2028c", "a\0c"], ["a\nc", "ac"]),
    ("(?s)a.c", ["a\nc", "abc"], ["ac"]),
    ("[a-c]x", ["ax", "bx", "cx"], ["dx", "-x", "Ax"]),
    ("[^a-c]x", ["dx", "\nx", "éx"], ["ax", "x"]),
    ("[]a]x", ["]x", "ax"], ["x", "[x"]),
    ("[^]a]x", ["bx"], ["]x", "ax"]),
    ("[a-]x", ["-x", "ax"], ["bx"]),
    ("[-a]x", ["-x", "ax"], ["bx"]),
    (r"[a\-c]x", ["-x", "ax", "cx"], ["bx"]),
    (r"[\]\\\^]x", ["]x", "\\x", "^x"], ["x", "[x"]),
    (r"[\d.]x", ["5x", ".x"], ["ax", "٣x"]),
    (r"[\d-]x", ["5x", "-x"], ["ax"]),
    (r"[\b]x", ["\bx"], ["x", "bx"]),
    (r"[\0\x41\u0042\U00000043\101\n]x", ["\0x", "Ax", "Bx", "Cx", "\nx"], ["Dx", "0x"]),
    (r"[a.*+?$(){}|]x", ["ax", ".x", "|x", ")x", "}x"], ["bx", "^x"]),
    (r"[a[]x", ["[x", "ax"], ["x"]),
    (r"\d", ["5"], ["٣", "a", "²"]),
    (r"\D", ["٣", "a", "\n"], ["5", ""]),
    (r"\w", ["a", "Z", "_", "0"], ["é", "-", "\u212a", "ſ"]),
    (r"(?i)\w", ["a"], ["\u212a", "ſ", "é"]),
    (r"\W", ["é", "-", "\n", "ſ"], ["a", "_", "0"]),
    (r"\s", [" ", "\t", "\n", "\v", "\f", "\r"], ["\x1c", "\x85", "\xa0", "\u2028", "a"]),
    (r"\S", ["a", "\xa0", "\x1c", "\u2028"], [" ", "\v", "\n"]),
    ("ab|cd", ["ab", "cd", "xcd"], ["ad", "bc"]),
    ("a(|b)c", ["ac", "abc"], ["adc"]),
    ("|a", ["", "b"], []),
    ("(a)(b)", ["ab"], ["a", "b"]),
    ("(?:a|b)c", ["ac", "bc"], ["c"]),
    ("(?P<name>a)(?P<eñe>b)", ["ab"], ["a"]),
    ("()", [""], []),
    ("(?i)straße", ["STRAßE", "straẞe", "Straße"], ["strasse"]),
    ("(?i)é", ["É", "é"], ["e"]),
    ("(?i)k", ["K", "k", "\u212a"], ["c"]),
    ("(?i)σ", ["Σ", "ς", "σ"], ["s"]),
    ("(?i)i", ["I", "İ", "i", "ı"], ["j"]),
    ("(?i)ǆ", ["ǅ", "Ǆ"], ["dž"]),
    ("a(?i:b)c", ["abc", "aBc"], ["Abc", "abC"]),
    ("(?i)a(?-i:b)c", ["AbC", "abc"], ["aBc"]),
    ("(?i:a(?-i:b(?i:c)))", ["Abc", "abC"], ["aBc"]),
    ("(?im)^A", ["b\na", "a"], ["ba"]),
    ("(?i)(?m)^A", ["b\na"], ["ba"]),
    ("(?ii)a", ["A"], ["b"]),
    ("(?i-m:a)", ["A"], ["b"]),
    ("(?ms-i:^a.b)", ["x\na\nb"], ["xa\nb"]),
    ("(?s:a.)b", ["a\nb"], ["ab"]),
    ("(?s)a(?-s:.)b", ["acb"], ["a\nb"]),
    ("ab*c", ["ac", "abbbc"], ["bc"]),
    ("ab+c", ["abc", "abbc"], ["ac"]),
    ("ab?c", ["ac", "abc"], ["abbc"]),
    ("ab{2}c", ["abbc"], ["abc", "abbbc"]),
    ("ab{1,2}c", ["abc", "abbc"], ["ac", "abbbc"]),
    ("ab{2,}c", ["abbc", "abbbbc"], ["abc"]),
    ("ab{0}c", ["ac"], ["abc"]),
    ("ab{01,002}c", ["abc", "abbc"], ["ac"]),
    ("ab*?c", ["ac", "abbc"], ["bc"]),
    ("ab{1,2}?c", ["abc"], ["ac"]),
    ("a{1000}", ["a" * 1000], ["a" * 999]),
    ("(?:a{10}){100}", ["a" * 1000], ["a" * 999]),
    ("^(?:a{10}){0,100}$", ["", "a" * 10], ["a" * 11]),
    ("a{", ["a{"], ["a"]),
    ("a{x}", ["a{x}"], ["a"]),
    ("a{}", ["a{}"], ["a"]),
    ("a{1", ["a{1"], ["a"]),
    ("a{1,2", ["a{1,2"], ["a"]),
    ("a{1,2,3}", ["a{1,2,3}"], ["aa"]),
    ("a{ 1}", ["a{ 1}"], ["a"]),
    ("a{-1}", ["a{-1}"], ["a"]),
    ("a{٣}", ["a{٣}"], ["aaa"]),
    ("a}", ["a}"], ["a"]),
    ("a]", ["a]"], ["a"]),
    ("^a", ["ab"], ["ba", "b\na"]),
    ("(?m)^a", ["ab", "b\na", "\na"], ["ba", "b\ra"]),
    ("a$", ["ba"], ["ab", "a\n", "a\nb"]),
    ("(?m)a$", ["ba", "a\nb", "a\n"], ["ab", "a\r"]),
    ("^$", [""], ["a", "\n"]),
    ("(?m)^$", ["", "\n", "a\n", "a\n\nb"], ["a", "a\nb"]),
    ("a^b", [], ["ab", "a\nb"]),
    ("(?m)a\n^b", ["a\nb"], ["ab"]),
    ("$a", [], ["a", "\na"]),
    (r"\Aa", ["ab"], ["ba", "b\na"]),
    (r"(?m)\Aa", ["ab"], ["ba", "b\na"]),
    (r"\bab\b", ["ab", "x ab.", "éabé", "ab\n"], ["xab", "ab_", "ab0"]),
    (r"\Ba", ["ba", "éba"], ["a", " a", "éa"]),
    (r"\B", ["", "ab", "é", "  ", "-a-b- "], ["a", "é a", "a é"][:1]),
    (r"\b", ["a", "é a"], ["", "é", " - "]),
    (r"(?:\b)*a", ["a"], ["b"]),
    (r"(^a|\bb)+", ["a", "b"], ["c"]),
    (r"\.\*\+\?\(\)\[\]\{\}\|\^\$\\\/\-\#\ \~\&\@\"\'\!\%\,\:\;\<\=\>\`", [], [""]),
    (r"\_\-", ["_-"], ["-"]),
    (r"\.\*\é\😀", [".*é😀"], ["*é😀"]),
    (r"\a\t\n\v\f\r", ["\a\t\n\v\f\r"], ["atnvfr"]),
    (r"\0\01\012\377\x7F\xe9\u00e9\U0001F600", ["\0\1\n\xff\x7féé😀"], [""]),
    (r"\08", ["\x008"], ["8"]),
    (r"\1011", ["A1"], [""]),
    ("\0", ["a\0b"], ["ab"]),
    ("a\nb", ["a\nb"], ["ab"]),
    ("a #b", ["a #b"], ["a"]),
    ("\ufeffa", ["\ufeffa"], ["a"]),
    ("😀+", ["😀😀"], ["\U0001f601"]),
    ("(" * 100 + "a" + ")" * 100, ["a"], ["b"]),
    ("((((((((((((a*)*)+)?)*)+)?)*)+)?)*)+)?", ["", "a"], []),
    ("a" * 4096, ["a" * 4096], ["a" * 4095]),
    ("é" * 2048, ["é" * 2048], ["é" * 2047]),
]


@pytest.mark.parametrize(("pattern", "hits", "misses"), ACCEPTED)
def test_patterns_of_the_subset_are_accepted_and_match(
    pattern: str, hits: list[str], misses: list[str]
) -> None:
    found = compiled_in_both(pattern)
    for text in hits:
        assert found.matches(text.encode()), text
        assert found.found_in(text), text
    for text in misses:
        assert not found.matches(text.encode()), text
        assert not found.found_in(text), text


REFUSED = [  # pattern, construct, position
    (r"(a)\1", r"backreference \1", 3),
    (r"(a)b\9", r"backreference \9", 4),
    (r"\8", r"backreference \8", 0),
    (r"(a)\10", r"backreference \10", 3),
    (r"(?P<n>a)(?P=n)", "backreference (?P=…)", 8),
    (r"(?P>n)", "recursion (?P>…)", 0),
    (r"a(?R)", "flag R in (?R)", 3),
    (r"a(?1)", "unknown group (?1)", 1),
    (r"x\k<n>", r"unknown escape \k", 1),
    (r"x\g<n>", r"unknown escape \g", 1),
    ("a(?=b)", "lookahead (?=…)", 1),
    ("a(?!b)", "lookahead (?!…)", 1),
    ("(?<=b)a", "lookbehind (?<=…)", 0),
    ("é(?<!b)a", "lookbehind (?<!…)", 1),
    ("(?>a)", "atomic group (?>…)", 0),
    ("a(?#c)", "comment (?#…)", 1),
    ("(a)(?(1)b|c)", "conditional (?(…)…)", 3),
    ("(?<n>a)", "group (?<…)", 0),
    ("(?'n'a)", "unknown group (?'n", 0),
    ("(?P'n'a)", "unknown group (?P'", 0),
    ("(?P<n>a)(?P<n>b)", "repeated group name 'n'", 8),
    ("(?P<1>a)", "bad group name '1'", 0),
    ("(?P<>a)", "bad group name ''", 0),
    ("(?P<na", "unknown group (?P<", 0),
    ("(?|a|b)", "unknown group (?|a", 0),
    ("(?", "unknown group (?", 0),
    ("(?i", "unknown group (?i", 0),
    ("(?)a", "flags (?)", 0),
    ("(?-:a)", "flags (?-:", 0),
    ("(?-i)a", "flags (?-i) that do not lead the pattern", 0),
    ("(?i-i:a)", "flags (?i-i:", 0),
    ("a(?i)b", "flags (?i) that do not lead the pattern", 1),
    ("(?:(?i)b)", "flags (?i) that do not lead the pattern", 3),
    ("|(?i)b", "flags (?i) that do not lead the pattern", 1),
    ("(?x)a b", "verbose mode in (?x)", 2),
    ("(?ix:a b)", "verbose mode in (?ix:", 3),
    ("(?a)a", "flag a in (?a)", 2),
    ("(?u)a", "flag u in (?u)", 2),
    ("(?L)a", "flag L in (?L)", 2),
    ("(?U)a", "flag U in (?U)", 2),
    ("b(?i-a:a)", "flag a in (?i-a:", 5),
    (r"a\Z", r"end anchor \Z", 1),
    (r"a\z", r"end anchor \z", 1),
    (r"\Ga", r"unknown escape \G", 0),
    (r"a\Qb\E", r"quoting \Q…\E", 1),
    (r"\E", r"quoting \Q…\E", 0),
    (r"\pL", r"Unicode class \p", 0),
    (r"[a\P{Lu}]", r"Unicode class \P", 2),
    (r"\C", r"single byte \C", 0),
    (r"\X", r"unknown escape \X", 0),
    (r"\R", r"unknown escape \R", 0),
    (r"a\K", r"unknown escape \K", 1),
    (r"\h", r"unknown escape \h", 0),
    (r"\e", r"unknown escape \e", 0),
    (r"\N{DASH}", r"named character \N", 0),
    (r"[\N{DASH}]", r"named character \N", 1),
    (r"[a\B]", r"unknown escape \B", 2),
    (r"[\A]", r"unknown escape \A", 1),
    (r"[\Z]", r"end anchor \Z", 1),
    (r"\x4", r"incomplete escape \x", 0),
    (r"\x{41}", r"incomplete escape \x", 0),
    (r"\u123", r"incomplete escape \u", 0),
    (r"\U0011", r"incomplete escape \U", 0),
    (r"a\U00110000", r"incomplete escape \U", 1),
    (r"a\ud800", r"lone surrogate \ud800", 1),
    (r"[\U0000dfff]", r"lone surrogate \U0000dfff", 1),
    ("ab\ud800", "lone surrogate", 2),
    (r"\400", r"octal escape \400", 0),
    (r"[\400]", r"octal escape \400", 1),
    (r"[\8]", r"octal escape \8", 1),
    ("a\\", r"backslash \ at the end", 1),
    ("[a\\", r"backslash \ at the end", 2),
    ("[[:alpha:]]", "POSIX class [:alpha:]", 1),
    ("[a[:alpha:]]", "POSIX class [:alpha:]", 2),
    ("[^[=a=]]", "POSIX class [=a=]", 2),
    ("[[.a.]]", "POSIX class [.a.]", 1),
    ("[a--b]", "set operator -- in a class", 2),
    ("[+--]", "set operator -- in a class", 2),
    (r"[\d--]", "set operator -- in a class", 3),
    ("[--a]", "set operator -- in a class", 1),
    ("[a&&b]", "set operator && in a class", 2),
    ("[a||b]", "set operator || in a class", 2),
    ("[a~~b]", "set operator ~~ in a class", 2),
    ("[[a]", "nested set [[ in a class", 1),
    ("x[^[a]", "nested set [[ in a class", 3),
    ("[z-a]", "range z-a in a class", 1),
    (r"[a-\d]", r"range a-\d in a class", 1),
    (r"[\w-z]", r"range \w-z in a class", 1),
    ("a[", "unclosed class [", 1),
    ("a[b", "unclosed class [", 1),
    ("a[^", "unclosed class [", 1),
    ("a[]", "unclosed class [", 1),
    ("a[b-", "unclosed class [", 1),
    ("a(b", "unclosed group (", 1),
    ("((a)", "unclosed group (", 0),
    ("a)", "unopened group )", 1),
    ("*a", "repeat * of nothing", 0),
    ("a|*", "repeat * of nothing", 2),
    ("(+)", "repeat + of nothing", 1),
    ("{2}", "repeat {2} of nothing", 0),
    ("(?i)?", "repeat ? of nothing", 4),
    ("^*", "repeat * of nothing", 1),
    (r"\b+", "repeat + of nothing", 2),
    ("a**", "repeat * of a repeat", 2),
    ("a{2}{3}", "repeat {3} of a repeat", 4),
    ("a+?*", "repeat * of a repeat", 3),
    ("a*??", "repeat ? of a repeat", 3),
    ("a*+", "possessive repeat *+", 1),
    ("a?+", "possessive repeat ?+", 1),
    ("a{1,2}+", "possessive repeat {1,2}+", 1),
    ("a{,3}", "repeat {,3} without a lower bound", 1),
    ("a{,}", "repeat {,} without a lower bound", 1),
    ("a{1001}", "repeat {1001}", 1),
    ("a{1,1001}", "repeat {1,1001}", 1),
    ("a{1001,}", "repeat {1001,}", 1),
    ("a{" + "9" * 3000 + "}", "repeat {999", 1),
    ("a{2,1}", "repeat {2,1}", 1),
    ("(a{100}){100}", "nested repeat {100}, 10000 times in all,", 8),
    ("((a{0,100}){5}b){3}", "nested repeat {3}, 1500 times in all,", 16),
    ("(" * 2000 + ")" * 2000, "group nested 101 deep", 100),
    ("(?:" * 101 + "a" + ")" * 101, "group nested 101 deep", 300),
]


@pytest.mark.parametrize(("pattern", "construct", "position"), REFUSED)
def test_patterns_outside_the_subset_are_refused_with_their_position(
    pattern: str, construct: str, position: int
) -> None:
    with pytest.raises(InvalidQuery) as caught:
        compile_pattern(pattern)
    message = str(caught.value)
    assert message.startswith(f"match: {construct}")
    assert f" at position {position} of " in message
    assert "is not in the supported subset; " in message
    assert len(message) < 500


@pytest.mark.parametrize("value", [b"a", None, 7, re.compile("a"), [], bytearray(b"a")])
def test_only_a_str_is_a_pattern(value: Any) -> None:
    with pytest.raises(InvalidQuery, match=r"^match: .* is not a str; pass "):
        compile_pattern(value)


def test_a_subclass_of_str_is_read_as_its_text() -> None:
    class Text(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            raise AssertionError

        __hash__ = str.__hash__

    found = compile_pattern(Text("a+"))
    assert found is compile_pattern("a+")
    assert type(found.text) is str


def test_a_pattern_over_4_kib_is_refused() -> None:
    with pytest.raises(InvalidQuery, match=r"takes 5000 bytes; .* 4096, .* before position 4096$"):
        compile_pattern("a" * 5000)
    with pytest.raises(InvalidQuery, match=r"takes 4097 bytes; .* before position 2049$"):
        compile_pattern("aaa" + "é" * 2047)


@pytest.mark.parametrize(
    "pattern",
    [".{1000}" * 100, r"[^\d]{1000}" * 300, "(?i)" + "[Ā-ɏ]{1000}" * 300, "(?s:.{900})" * 99],
)
def test_a_pattern_too_large_for_re2_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidQuery, match=r"^match: .* is too large for RE2; .*fewer or smaller"):
        compile_pattern(pattern)
