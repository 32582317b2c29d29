r"""The subset of regular expressions that `match` takes: read, checked and rendered.

Rules: this module owns what a pattern may hold and what it means (the meaning is told in
`pattern`). One pass over the text refuses what is outside the subset, by its name and position,
and writes every element down three times:

* `single`, for RE2 on one content. It holds explicit constructs only, no flags: `\A` or `(?m:^)`,
  `\z` or `(?m:$)`, characters and classes as sets of code points with the cases that `(?i)` adds.
* `page`, for RE2 on joined records: every anchor is one of lines, every repeat lazy. Both leave
  the starts of matches in place, and lazy repeats end the search of one hit early.
* `oracle`, for `re`: the text of the user, in which only `\d \w \s \b \B $` are pinned down.

RE2 sees no flag and no class of its own, so its tables and versions have no say in the meaning.
Which letters are cases of each other is asked of the running Python, as `re` does.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from functools import cache, lru_cache
from itertools import chain
from typing import NamedTuple, NoReturn

from .errors import InvalidQuery, shown

__all__ = ["JOINT", "NEVER", "Rendered", "render"]

MAX_BYTES = 4096  # of the pattern in UTF-8
MAX_REPEAT = 1000  # RE2's own limit, for a bound and for the product of nested bounds
MAX_DEPTH = 100  # of nested groups: `re` takes several Python frames for each
FAR = 16  # a repeat of this many or more may run over a whole header

Ranges = tuple[tuple[int, int], ...]  # sorted, apart from each other, both ends included

LAST = 0x10FFFF
ANY: Ranges = ((0, LAST),)
NOT_NEWLINE: Ranges = ((0, 9), (11, LAST))
CLASSES: dict[str, Ranges] = {
    "d": ((0x30, 0x39),),
    "s": ((0x09, 0x0D), (0x20, 0x20)),
    "w": ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A)),
}

# How an expression may match without taking a character (see _Part.empty).
NEVER, IF_ASSERTED, ALWAYS = range(3)
PLAIN, ASSERTION, REPEAT = range(3)
HEADER_LIKE = 7  # all bits of _header_like

# What joins contents without their headers: lines keep their ends, and it holds the characters
# that the header of every record holds too.
JOINT = b'\n["\n'

_BOUNDS = re.compile(r"\{([0-9]*)(?:(,)([0-9]*))?\}")
_FLAGS = re.compile(r"\(\?([A-Za-z]*)(?:(-)([A-Za-z]*))?([:)])")
_NAMED = re.compile(r"\(\?P<([^>)]*)>")
_POSIX = re.compile(r"\[([:.=])[^\]]*\1\]")
_HEX = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8}))")
_OCTAL = re.compile(r"\\(0[0-7]{0,2}|[1-3][0-7]{2})")
_OCTAL_IN_CLASS = re.compile(r"\\([0-3][0-7]{0,2}|[4-7][0-7]?(?![0-7]))")
_HIGH_OCTAL = re.compile(r"\\[4-7][0-7]{2}")
_CONTROLS = {"a": 7, "t": 9, "n": 10, "v": 11, "f": 12, "r": 13}
_SPECIAL = frozenset(r"\.+*?()|[]{}^$-")  # a backslash before any of these is right everywhere

_GROUPS = (  # openings outside the subset: text, name, remedy
    ("(?=", "lookahead (?=…)", "search for both parts as alternatives, or filter what is found"),
    ("(?!", "lookahead (?!…)", "filter what is found"),
    ("(?<=", "lookbehind (?<=…)", "write the text before it as a part of the pattern"),
    ("(?<!", "lookbehind (?<!…)", "filter what is found"),
    ("(?>", "atomic group (?>…)", "write (?:…): no pattern backtracks here"),
    ("(?#", "comment (?#…)", "leave it out"),
    ("(?(", "conditional (?(…)…)", "write the cases as alternatives with |"),
    ("(?P=", "backreference (?P=…)", "write the repeated text out, or filter what is found"),
    ("(?P>", "recursion (?P>…)", "write the repeated pattern out"),
    ("(?<", "group (?<…)", "write (?P<name>…)"),
)
_ESCAPES = {  # escapes outside the subset: name, remedy
    "Z": ("end anchor \\Z", "write $ without the flag m, such as (?-m:$)"),
    "z": ("end anchor \\z", "write $ without the flag m, such as (?-m:$)"),
    "Q": ("quoting \\Q…\\E", "escape the text with re.escape()"),
    "E": ("quoting \\Q…\\E", "escape the text with re.escape()"),
    "p": ("Unicode class \\p", "write the characters as a class with ranges"),
    "P": ("Unicode class \\P", "write the characters as a class with ranges"),
    "C": ("single byte \\C", "patterns find characters; write (?s:.) for any of them"),
    "N": ("named character \\N", "write the character itself, or \\uHHHH"),
    "x": ("incomplete escape \\x", "write \\x and two hexadecimal digits"),
    "u": ("incomplete escape \\u", "write \\u and four hexadecimal digits"),
    "U": ("incomplete escape \\U", "write \\U and eight hexadecimal digits, up to \\U0010FFFF"),
}
_FLAG_NAMES = {
    "x": ("verbose mode", "write the pattern without spaces and comments"),
    "a": ("flag a", "leave it out: \\d \\w \\s \\b are ASCII already"),
    "u": ("flag u", "leave it out; write other letters as a class with ranges"),
    "L": ("flag L", "leave it out"),
}


class Rendered(NamedTuple):
    """A pattern as the engines take it, and what is known of its matches."""

    single: str
    page: str
    oracle: str
    empty: int  # NEVER, IF_ASSERTED or ALWAYS
    inside: bool  # RE2 may find an empty match between the bytes of a character
    runs: bool  # a match may run on over the header of the next record


# --- sets of code points ---------------------------------------------------------------------


def _joined(pairs: list[tuple[int, int]]) -> Ranges:
    """`pairs` as sorted ranges that neither overlap nor touch."""
    joined: list[tuple[int, int]] = []
    for low, high in sorted(pairs):
        if joined and low <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(high, joined[-1][1]))
        else:
            joined.append((low, high))
    return tuple(joined)


def _complement(ranges: Ranges) -> Ranges:
    lows = [0, *(high + 1 for _, high in ranges)]
    highs = [*(low - 1 for low, _ in ranges), LAST]
    return tuple((low, high) for low, high in zip(lows, highs, strict=True) if low <= high)


def fold_key(char: str) -> str:
    """What is equal for two characters just if `re` takes them for equal under `(?i)`.

    That is the rule by which the tables of `re` are made: the simple lower case, and then the
    upper case, which unites small letters such as σ and ς. İ is the one letter whose full lower
    case is two characters; its simple one is i.
    """
    return "I" if char == "İ" else char.lower().upper()


@cache
def _cases() -> tuple[list[int], dict[int, tuple[int, ...]]]:
    """Every code point that has other cases, sorted; and with each all of them, itself too."""
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
def _any_case(ranges: Ranges) -> Ranges:
    """`ranges` with all cases of every character in them."""
    codes, cases = _cases()
    found = (
        cases[code]
        for low, high in ranges
        for code in codes[bisect_left(codes, low) : bisect_right(codes, high)]
    )
    return _joined([*ranges, *((code, code) for code in set(chain.from_iterable(found)))])


def _one(code: int) -> str:
    """One character as RE2 takes it, in a class and out of it."""
    char = chr(code)
    if char in _SPECIAL:
        return "\\" + char
    return char if char.isalnum() and char.isascii() else f"\\x{{{code:x}}}"


@lru_cache(maxsize=256)
def _class(ranges: Ranges) -> str:
    """A set of code points as RE2 takes it."""
    if ranges == ANY:
        return "(?s:.)"
    if len(ranges) == 1 and ranges[0][0] == ranges[0][1]:
        return _one(ranges[0][0])
    if not ranges:
        return r"[^\x{0}-\x{10ffff}]"
    inner = (_one(low) + (f"-{_one(high)}" if high > low else "") for low, high in ranges)
    return f"[{''.join(inner)}]"


def _header_like(ranges: Ranges) -> int:
    """Which of the characters of JOINT are in the set: without all of them it cannot run over it."""
    marks = zip((1, 2, 4), (0x0A, 0x22, 0x5B), strict=True)  # newline, quote and bracket
    return sum(bit for bit, code in marks if any(low <= code <= high for low, high in ranges))


# --- reading ---------------------------------------------------------------------------------


class _Part:
    """What is known of an element, or of a row of them."""

    __slots__ = ("chars", "empty", "kind", "product")

    def __init__(self, empty: int, chars: int = 0, product: int = 1, kind: int = PLAIN) -> None:
        self.empty = empty  # NEVER, IF_ASSERTED (at anchors and boundaries only) or ALWAYS
        self.chars = chars  # _header_like of all its characters
        self.product = product  # the largest product of nested bounds
        self.kind = kind  # PLAIN, ASSERTION or REPEAT: the latter two cannot be repeated

    def add(self, other: _Part, empty: int) -> None:
        """Take in what stands behind it, or as an alternative to it."""
        self.empty = empty
        self.chars |= other.chars
        self.product = max(self.product, other.product)


class _Group:
    """An open group: its finished alternatives, the row being read, and that row's last part."""

    __slots__ = ("done", "flags", "last", "row", "start")

    def __init__(self, start: int, flags: str) -> None:
        self.start = start
        self.flags = flags
        self.done = _Part(NEVER)
        self.row = _Part(ALWAYS)
        self.last: _Part | None = None  # what a repeat would apply to

    def put(self, part: _Part | None) -> None:
        """End the last part, and begin with `part`."""
        if self.last is not None:
            self.row.add(self.last, min(self.row.empty, self.last.empty))
        self.last = part

    def end_row(self) -> None:
        """End an alternative."""
        self.put(None)
        self.done.add(self.row, max(self.done.empty, self.row.empty))
        self.row = _Part(ALWAYS)


class _Reader:
    """One pass over a pattern."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.groups = [_Group(0, "")]
        self.names: set[str] = set()
        self.output: list[tuple[str, str, str]] = []
        self.inside = self.runs = False

    def read(self) -> Rendered:
        """Read all of the pattern; see `render`."""
        while found := _FLAGS.match(self.text, self.at):
            if found[4] == ":" or found[2] or not found[1]:
                break
            self._check_flags(found)
            self.groups[0].flags += found[1]
            self._take(found[0], "", "", found[0])
        while self.at < len(self.text):
            self._element(self.text[self.at])
        if len(self.groups) > 1:
            self._refuse("unclosed group (", self.groups[-1].start, "close it with ), or write \\(")
        self.groups[0].end_row()
        single, page, oracle = map("".join, zip(("", "", ""), *self.output, strict=True))
        empty = self.groups[0].done.empty
        inside = self.inside and empty == IF_ASSERTED
        return Rendered(single, page, oracle, empty, inside, self.runs)

    def _element(self, char: str) -> None:
        bounds = _BOUNDS.match(self.text, self.at) if char == "{" else None
        if char in "*+?" or (bounds and bounds[0] != "{}"):
            self._repeat(char, bounds)
        elif char == "(":
            self._open()
        elif char == ")":
            self._close()
        elif char == "|":
            self.groups[-1].end_row()
            self._take("|", "|", "|", "|")
        elif char == "[":
            self._bracket()
        elif char == "\\":
            self._escape()
        elif char == ".":
            self._set(".", ANY if "s" in self.groups[-1].flags else NOT_NEWLINE, ".")
        elif char == "^":
            lines = "m" in self.groups[-1].flags
            self._assertion("^", "(?m:^)" if lines else r"\A", "(?m:^)", "^")
        elif char == "$":
            lines = "m" in self.groups[-1].flags
            self._assertion("$", "(?m:$)" if lines else r"\z", "(?m:$)", "$" if lines else r"\Z")
        else:
            self._literal(char, ord(char))

    # Writing: each takes the raw text that it stands for.

    def _take(self, raw: str, single: str, page: str, oracle: str) -> None:
        self.at += len(raw)
        self.output.append((single, page, oracle))

    def _assertion(self, raw: str, single: str, page: str, oracle: str) -> None:
        self.groups[-1].put(_Part(IF_ASSERTED, kind=ASSERTION))
        self._take(raw, single, page, oracle)

    def _set(self, raw: str, ranges: Ranges, oracle: str) -> None:
        self.groups[-1].put(_Part(NEVER, _header_like(ranges)))
        self._take(raw, _class(ranges), _class(ranges), oracle)

    def _literal(self, raw: str, code: int) -> None:
        ranges: Ranges = ((code, code),)
        self._set(raw, _any_case(ranges) if "i" in self.groups[-1].flags else ranges, raw)

    # Elements.

    def _open(self) -> None:
        flags, raw = self.groups[-1].flags, "("
        if self.text.startswith("(?", self.at):
            flags, raw = self._extension(flags)
        if len(self.groups) > MAX_DEPTH:
            self._refuse(f"group nested {len(self.groups)} deep", self.at, f"nest {MAX_DEPTH} deep")
        self.groups.append(_Group(self.at, flags))
        self._take(raw, "(?:", "(?:", raw)

    def _extension(self, flags: str) -> tuple[str, str]:
        """Return the flags of a group that begins with `(?`, and the text that opens it."""
        if named := _NAMED.match(self.text, self.at):
            if not named[1].isidentifier() or named[1] in self.names:
                what = "repeated" if named[1] in self.names else "bad"
                self._refuse(f"{what} group name {shown(named[1])}", self.at, "give it another")
            self.names.add(named[1])
            return flags, named[0]
        for opening, name, remedy in _GROUPS:
            if self.text.startswith(opening, self.at):
                self._refuse(name, self.at, remedy)
        found = _FLAGS.match(self.text, self.at)
        if not found:
            opening = self.text[self.at : self.at + 4]
            self._refuse(f"unknown group {opening}", self.at, "write (?:…), or \\( for a bracket")
        self._check_flags(found)
        if found[4] == ")":
            self._refuse(
                f"flags {found[0]} that do not lead the pattern",
                self.at,
                "put them at its start, or write (?i:…) around what they are for",
            )
        return "".join(set(flags + found[1]) - set(found[3] or "")), found[0]

    def _check_flags(self, found: re.Match[str]) -> None:
        on, off = found[1], found[3] or ""
        for place, flag in enumerate(found[0]):
            if flag.isalpha() and flag not in "ims":
                name, remedy = _FLAG_NAMES.get(flag, (f"flag {flag}", "the flags are i, m and s"))
                self._refuse(f"{name} in {found[0]}", self.at + place, remedy)
        if set(on) & set(off) or (found[2] and not off) or found[0] == "(?)":
            self._refuse(f"flags {found[0]}", self.at, "write such as (?i:…) or (?-i:…)")

    def _close(self) -> None:
        if len(self.groups) == 1:
            self._refuse("unopened group )", self.at, "open it with (, or write \\)")
        self.groups[-1].end_row()
        part = self.groups.pop().done
        self.groups[-1].put(part)
        self._take(")", ")", ")", ")")

    def _repeat(self, char: str, bounds: re.Match[str] | None) -> None:
        group, raw = self.groups[-1], bounds[0] if bounds else char
        if bounds and not bounds[1]:
            self._refuse(f"repeat {raw} without a lower bound", self.at, "write {0,n}, or \\{")
        part = group.last
        if part is None or part.kind == ASSERTION:
            self._refuse(f"repeat {raw} of nothing", self.at, f"write \\{char} for the character")
        if part.kind == REPEAT:
            self._refuse(f"repeat {raw} of a repeat", self.at, "put the first one into (?:…)")
        low, high = self._limits(raw, bounds)
        following = self.text[self.at + len(raw) : self.at + len(raw) + 1]
        if following == "+":
            self._refuse(f"possessive repeat {raw}+", self.at, "leave the + out, or escape it")
        lazy = "?" if following == "?" else ""
        product = part.product * max(1, low if high is None else high) if bounds else part.product
        if product > MAX_REPEAT:
            name = f"nested repeat {raw}, {product} times in all,"
            self._refuse(name, self.at, f"nested bounds may multiply to {MAX_REPEAT}")
        self.runs |= part.chars == HEADER_LIKE and (high is None or high >= FAR)
        group.last = _Part(part.empty if low else ALWAYS, part.chars, product, REPEAT)
        self.at += len(lazy)
        self._take(raw, raw + lazy, raw + "?", raw + lazy)

    def _limits(self, raw: str, bounds: re.Match[str] | None) -> tuple[int, int | None]:
        if not bounds:
            return int(raw == "+"), 1 if raw == "?" else None
        low = int(bounds[1])
        high = low if not bounds[2] else int(bounds[3]) if bounds[3] else None
        if max(low, high or 0) > MAX_REPEAT:
            self._refuse(f"repeat {raw}", self.at, f"bounds go up to {MAX_REPEAT}")
        if high is not None and low > high:
            self._refuse(f"repeat {raw}", self.at, "put the smaller bound first")
        return low, high

    def _escape(self) -> None:
        kind = self.text[self.at + 1 : self.at + 2]
        if kind == "A":
            self._assertion(r"\A", r"\A", "(?m:^)", r"\A")
        elif kind == "b":
            self._assertion(r"\b", r"\b", r"\b", r"(?a:\b)")
        elif kind == "B":
            # Between two bytes of a character RE2 sees \B; on the empty text `re` once did not.
            self.inside = True
            self._assertion(r"\B", r"\B", r"\B", r"(?!(?a:\b))")
        elif ranges := _category(kind):
            self._set("\\" + kind, ranges, rf"(?a:\{kind})")
        else:
            self._literal(*self._character(_OCTAL))

    def _character(self, octal: re.Pattern[str]) -> tuple[str, int]:
        """Return the escaped character at the place where reading is: raw, and its code point."""
        kind = self.text[self.at + 1 : self.at + 2]
        if found := _HEX.match(self.text, self.at):
            code = int(found[1] or found[2] or found[3], 16)
            if 0xD800 <= code < 0xE000:  # noqa: PLR2004
                self._refuse(f"lone surrogate {found[0]}", self.at, "no content can hold it")
            if code <= LAST:
                return found[0], code
        elif found := octal.match(self.text, self.at):
            return found[0], int(found[1], 8)
        if kind in _CONTROLS:
            return "\\" + kind, _CONTROLS[kind]
        if kind and not (kind.isascii() and kind.isalnum()):
            return "\\" + kind, ord(kind)
        if not kind:
            name, remedy = "backslash \\ at the end", "write \\\\ for the character"
        elif kind in "0123456789":
            name, remedy = f"octal escape \\{kind}", "write \\xHH; octal ones end at \\377"
            if octal is _OCTAL and not _HIGH_OCTAL.match(self.text, self.at):
                name, remedy = f"backreference \\{kind}", "write the repeated text out"
        else:
            unknown = (f"unknown escape \\{kind}", f"write {kind} for the character")
            name, remedy = _ESCAPES.get(kind, unknown)
        self._refuse(name, self.at, remedy)

    # Classes.

    def _bracket(self) -> None:
        start, ignoring = self.at, "i" in self.groups[-1].flags
        negated = self.text.startswith("[^", start)
        self.at = first = start + 1 + negated
        items: list[str] = []
        categories: list[str] = []
        pairs: list[tuple[int, int]] = []
        exact: list[tuple[int, int]] = []  # those of categories, to which (?i) adds nothing
        while not self.text.startswith("]", self.at) or self.at == first:
            item, low, category = self._member(start)
            if self.text.startswith("-", self.at) and self.text[self.at + 1 : self.at + 2] != "]":
                item, pair = self._range(start, item, low)
                items.append(item)
                pairs.append(pair)
            elif category:
                categories.append(item)
                exact.extend(category)
            else:
                items.append(item)
                pairs.append((low, low))
        self.at += 1
        ranges = _any_case(_joined(pairs)) if ignoring else _joined(pairs)
        ranges = _joined([*ranges, *exact])
        oracle = _oracle_class("".join(items), "".join(categories), negated, ignoring)
        self._set("", _complement(ranges) if negated else ranges, oracle)

    def _member(self, start: int) -> tuple[str, int, Ranges]:
        """Return a member of the class that began at `start`: raw, and its code point or set."""
        text, at = self.text, self.at
        char = text[at : at + 1]
        if not char:
            self._refuse("unclosed class [", start, "close it with ], or write \\[")
        if char == "\\":
            kind = text[at + 1 : at + 2]
            if category := _category(kind):
                self.at += 2
                return "\\" + kind, -1, category
            raw, code = ("\\b", 8) if kind == "b" else self._character(_OCTAL_IN_CLASS)
            self.at += len(raw)
            return raw, code, ()
        if posix := _POSIX.match(text, at):
            self._refuse(f"POSIX class {posix[0]}", at, "write such as a-z, \\d, \\w or \\s")
        doubled = char in "-&|~" and text.startswith(char, at + 1)
        if doubled or (char == "[" and text[start:at] in ("[", "[^")):
            # `re` warns of these: they are to become operators on sets.
            name = f"set operator {char}{char}" if doubled else "nested set [["
            self._refuse(f"{name} in a class", at, f"write \\{char} for the character")
        self.at += 1
        return "\\" + char if char in "[]^-&|~" else char, ord(char), ()

    def _range(self, start: int, item: str, low: int) -> tuple[str, tuple[int, int]]:
        """Read the rest of a range whose first character is read."""
        at = self.at - len(item)
        self.at += 1
        end, high, _ = self._member(start)
        if not 0 <= low <= high:
            remedy = "put the lower character first, and write \\- for the character -"
            self._refuse(f"range {item}-{end} in a class", at, remedy)
        return f"{item}-{end}", (low, high)

    def _refuse(self, construct: str, position: int, remedy: str) -> NoReturn:
        raise InvalidQuery(
            f"match: {construct} at position {position} of {shown(self.text)} "
            f"is not in the supported subset; {remedy}"
        )


def _category(kind: str) -> Ranges:
    """The set that `\\d` and its like stand for; nothing for other letters."""
    ranges = CLASSES.get(kind.lower(), ()) if kind else ()
    return _complement(ranges) if ranges and kind.isupper() else ranges


def _oracle_class(items: str, categories: str, negated: bool, ignoring: bool) -> str:
    """A class for `re`. Under `(?i)` it would add cases to `\\w`, so that categories stand apart."""
    sign = "^" if negated else ""
    if not ignoring:
        return f"(?a:[{sign}{items}{categories}])"
    if not categories:
        return f"[{sign}{items}]"
    parts = f"(?a-i:[{categories}])" + (f"|[{items}]" if items else "")
    return f"(?:(?!{parts})(?s:.))" if negated else f"(?:{parts})"


def render(text: str) -> Rendered:
    """Check a pattern and write it down for the engines.

    Raises:
        InvalidQuery: it is outside the subset; the message names the construct and its position.
    """
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise InvalidQuery(
            f"match: lone surrogate at position {error.start} of {shown(text)} "
            "is not in the supported subset; no content can hold it"
        ) from error
    if size > MAX_BYTES:
        raise InvalidQuery(
            f"match: {shown(text)} takes {size} bytes; a pattern may take {MAX_BYTES}, "
            f"which end before position {len(text.encode()[:MAX_BYTES].decode(errors='ignore'))}"
        )
    return _Reader(text).read()
