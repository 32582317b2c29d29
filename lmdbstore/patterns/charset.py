r"""Sets of code points: the classes of the subset of regular expressions, and cases of letters.

Rules: this module defines which characters a class of a pattern holds, and how a set of them is
written for RE2 and for `re`. RE2 gets only sets, never a flag or a class of its own, so its tables
and versions have no effect. The running Python decides which letters are cases of each other, by
the rule that `re` uses.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from functools import cache, lru_cache
from itertools import chain

__all__ = [
    "ANY",
    "HEADER_LIKE",
    "JOINT",
    "LAST",
    "NEWLINE",
    "NOT_NEWLINE",
    "Ranges",
    "any_case",
    "category",
    "class_in_re",
    "class_in_re2",
    "complement",
    "header_like",
    "joined",
]

Ranges = tuple[tuple[int, int], ...]  # sorted, neither overlapping nor touching, both ends included

LAST = 0x10FFFF
ANY: Ranges = ((0, LAST),)
NOT_NEWLINE: Ranges = ((0, 9), (11, LAST))
CLASSES: dict[str, Ranges] = {
    "d": ((0x30, 0x39),),
    "s": ((0x09, 0x0D), (0x20, 0x20)),
    "w": ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A)),
}

# Joins contents without their headers. Lines keep their ends, and it holds the characters that
# every record header holds too.
JOINT = b'\n["\n'
HEADER_LIKE = 7  # all bits of header_like
NEWLINE = 1  # its bit for a newline

_SPECIAL = frozenset(r"\.+*?()|[]{}^$-")  # a backslash before any of these is valid everywhere


def joined(pairs: list[tuple[int, int]]) -> Ranges:
    """`pairs` as sorted ranges that neither overlap nor touch."""
    ranges: list[tuple[int, int]] = []
    for low, high in sorted(pairs):
        if ranges and low <= ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], max(high, ranges[-1][1]))
        else:
            ranges.append((low, high))
    return tuple(ranges)


def complement(ranges: Ranges) -> Ranges:
    """Every code point that is not in `ranges`."""
    lows = [0, *(high + 1 for _, high in ranges)]
    highs = [*(low - 1 for low, _ in ranges), LAST]
    return tuple((low, high) for low, high in zip(lows, highs, strict=True) if low <= high)


def fold_key(char: str) -> str:
    """Return a key that two characters share if and only if they are equal to `re` under `(?i)`.

    The tables of `re` are made by this rule: the simple lower case, and then the upper case, which
    unites small letters such as σ and ς. İ is the only letter whose full lower case is two
    characters; its simple one is i.
    """
    return "I" if char == "İ" else char.lower().upper()


@cache
def _cases() -> tuple[list[int], dict[int, tuple[int, ...]]]:
    """All code points that have other cases, sorted; and for each, all its cases and itself."""
    groups: dict[str, list[int]] = {}
    for start in range(0, 0x20000, 256):  # planes above hold ideographs and no letters with case
        if 0xD800 <= start < 0xE000:  # surrogates  # noqa: PLR2004
            continue
        block = "".join(map(chr, range(start, start + 256)))
        if block.lower() == block == block.upper():
            continue
        for char in block:
            if not char.lower() == char == char.upper():
                groups.setdefault(fold_key(char), []).append(ord(char))
    cases = {code: tuple(group) for group in groups.values() if len(group) > 1 for code in group}
    return sorted(cases), cases


@lru_cache(maxsize=256)
def any_case(ranges: Ranges) -> Ranges:
    """`ranges` with all cases of every character in them."""
    codes, cases = _cases()
    found = (
        cases[code]
        for low, high in ranges
        for code in codes[bisect_left(codes, low) : bisect_right(codes, high)]
    )
    return joined([*ranges, *((code, code) for code in set(chain.from_iterable(found)))])


def _one(code: int) -> str:
    """One character as RE2 takes it, inside a class and outside."""
    char = chr(code)
    if char in _SPECIAL:
        return "\\" + char
    return char if char.isalnum() and char.isascii() else f"\\x{{{code:x}}}"


@lru_cache(maxsize=256)
def class_in_re2(ranges: Ranges) -> str:
    """A set of code points as RE2 takes it."""
    if ranges == ANY:
        return "(?s:.)"
    if len(ranges) == 1 and ranges[0][0] == ranges[0][1]:
        return _one(ranges[0][0])
    if not ranges:
        return r"[^\x{0}-\x{10ffff}]"
    inner = (_one(low) + (f"-{_one(high)}" if high > low else "") for low, high in ranges)
    return f"[{''.join(inner)}]"


def header_like(ranges: Ranges) -> int:
    """Which characters of JOINT are in the set: a set without one of them cannot match past it."""
    marks = zip((1, 2, 4), (0x0A, 0x22, 0x5B), strict=True)  # newline, quote and bracket
    return sum(bit for bit, code in marks if any(low <= code <= high for low, high in ranges))


def category(kind: str) -> Ranges:
    r"""Return the set of `\d` and similar escapes; empty for other letters."""
    ranges = CLASSES.get(kind.lower(), ()) if kind else ()
    return complement(ranges) if ranges and kind.isupper() else ranges


def class_in_re(items: str, exact: Ranges, *, negated: bool, ignoring: bool) -> str:
    r"""Write a class for `re`: the user's own members, and the sets of `\d` and similar escapes.

    The latter are sets of code points, because `re` searches for `(?a:\D)` at the start of a
    pattern as the Unicode `\D`. Under `(?i)` they are kept apart, because `re` would add cases to
    them.
    """
    sign = "^" if negated else ""
    categories = "".join(f"\\U{low:08x}-\\U{high:08x}" for low, high in exact)
    if not ignoring or not exact:
        return f"[{sign}{items}{categories}]"
    parts = f"(?-i:[{categories}])" + (f"|[{items}]" if items else "")
    return f"(?:(?!{parts})(?s:.))" if negated else f"(?:{parts})"
