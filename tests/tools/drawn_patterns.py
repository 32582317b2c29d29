"""Strategies of Hypothesis for patterns of the subset, and their compilation."""

from __future__ import annotations

import re
import warnings

from hypothesis import assume
from hypothesis import strategies as st

from lmdbstore.errors import InvalidQuery
from lmdbstore.patterns.pattern import Pattern

__all__ = [
    "ALPHABET",
    "SMALL",
    "compiled",
    "compiled_in_both",
    "patterns",
    "patterns_and_texts",
    "spelled",
]


# Letters with odd cases, white space that is not ASCII, and the ends of classes.
LETTERS = "abkszABKSZ09_éÉßẞ\u212aſİIıσςΣǅǆǄµμΜÅå\u212bﬅﬆΐ\u0390\u1fd3𐐀𐐨"
OTHERS = " -\n\t\v\r\0\x1c\x85\xa0\u2028\u2003😀/`{@[\x7f\uffff\U00010000\U0010ffff"
ALPHABET = LETTERS + OTHERS
ATOMS = (".", *(rf"\{kind}" for kind in "dswDSW"))
ASSERTIONS = ("^", "$", r"\A", r"\b", r"\B")
BOUNDS = ("*", "+", "?", "{0}", "{1}", "{2}", "{0,1}", "{1,3}", "{2,}", "{0,}", "{0,17}")
OPENINGS = ("(", "(?:", "(?i:", "(?m:", "(?s:", "(?-i:", "(?-m:", "(?-s:", "(?im-s:", "(?s-im:")
LEADING = ("", "", "", "(?i)", "(?i)", "(?m)", "(?s)", "(?ims)", "(?i)(?s)")
CONTROLS = {"\n": r"\n", "\t": r"\t", "\v": r"\v", "\r": r"\r", "\0": r"\0"}


def spelled(char: str, way: int) -> str:
    """Write a character in one of the ways that are possible in a pattern."""
    code = ord(char)
    if way == 1 and char in CONTROLS:
        return CONTROLS[char]
    if way == 2 or code == 0:
        return rf"\x{code:02x}" if code < 256 else rf"\U{code:08x}"
    if way == 3 and code < 65536:
        return rf"\u{code:04X}"
    if char.isascii() and char.isalnum():
        return char
    return "\\" + char if char in r"\.^$*+?{}[]|()-&~" else char


SMALL = st.integers(0, 99)


@st.composite
def members(draw: st.DrawFn, chars: st.SearchStrategy[str]) -> str:
    """Draw the members of a class."""
    found = []
    for _ in range(1 + draw(SMALL) % 3):
        kind = draw(SMALL)
        if kind < 30:
            low, high = sorted((draw(chars), draw(chars)))
            found.append(f"{spelled(low, kind % 4)}-{spelled(high, kind % 5)}")
        elif kind < 50:
            found.append(draw(st.sampled_from(ATOMS[1:])))
        else:
            found.append(spelled(draw(chars), draw(SMALL) % 12))
    return "".join(found)


@st.composite
def patterns(
    draw: st.DrawFn,
    alphabet: str = ALPHABET,
    depth: int = 3,
    leading: tuple[str, ...] = LEADING,
) -> str:
    """Draw a pattern of the subset, with the characters of `alphabet`, after leading flags."""
    chars = st.sampled_from(alphabet)

    def atom(deep: int) -> str:
        kind = draw(SMALL)
        if kind < 40 or (kind >= 75 and deep == 0):
            return spelled(draw(chars), draw(SMALL) % 12)
        if kind < 55:
            return draw(st.sampled_from(ATOMS))
        if kind < 75:
            return f"[{'^' * (kind % 2)}{draw(members(chars))}]"
        return draw(st.sampled_from(OPENINGS)) + rows(deep - 1) + ")"

    def element(deep: int) -> str:
        kind = draw(SMALL)
        if kind < 15:
            return draw(st.sampled_from(ASSERTIONS))
        repeat = draw(st.sampled_from(BOUNDS)) + "?" * (kind % 2) if kind < 45 else ""
        return atom(deep) + repeat

    def rows(deep: int) -> str:
        kind = draw(SMALL)
        count = 1 if kind < 70 else 2 + kind % 2
        return "|".join(
            "".join(element(deep) for _ in range((draw(SMALL) + 10) // 28)) for _ in range(count)
        )

    return draw(st.sampled_from(leading)) + rows(depth)


@st.composite
def patterns_and_texts(draw: st.DrawFn) -> tuple[str, list[str]]:
    """Draw a pattern, and texts that use few of its possible characters."""
    alphabet = "".join(draw(st.lists(st.sampled_from(ALPHABET), min_size=1, max_size=4)))
    alphabet = "".join(dict.fromkeys(alphabet + alphabet.swapcase()))
    texts = st.lists(st.text(alphabet, max_size=8), min_size=1, max_size=6)
    return draw(patterns(alphabet)), draw(texts)


def compiled(pattern: str) -> Pattern:
    """Compile a drawn pattern; skip patterns whose bounds multiply too far."""
    try:
        return Pattern(pattern)
    except InvalidQuery as error:
        assume("nested repeat" not in str(error) and "too large for RE2" not in str(error))
        raise


def compiled_in_both(pattern: str) -> Pattern:
    """Compile a pattern, and check that `re` accepts it too: as written, and as rendered."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = compiled(pattern)
        re.compile(pattern)
        re.compile(found._oracle)
    return found
