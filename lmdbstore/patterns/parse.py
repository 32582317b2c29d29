r"""The subset of regular expressions that `match` takes: read, checked and rendered.

Rules: this module defines what a pattern may hold and what it means (`pattern` documents the
meaning). One pass over the text refuses what is outside the subset, by name and position, and
writes every element three times:

* `single`, for RE2 on one content. It has only explicit constructs and no flags: `\A` or `(?m:^)`,
  `\z` or `(?m:$)`, characters and classes as sets of code points with the cases that `(?i)` adds.
  `test` is the same, for when only the answer matters and not the place.
* `page`, for RE2 on joined records: every anchor is one of lines, every repeat is lazy. Both keep
  the starts of matches in place, and lazy repeats end the search of one hit early.
* `oracle`, for `re`: the text of the user, in which only `\d \w \s \b \B $` are made explicit.
"""

from __future__ import annotations

import re
from typing import NoReturn

from lmdbstore.errors import shown

from .charset import (
    ANY,
    HEADER_LIKE,
    LAST,
    NEWLINE,
    NOT_NEWLINE,
    Ranges,
    any_case,
    category,
    class_in_re,
    class_in_re2,
    complement,
    header_like,
    joined,
)
from .elements import ALWAYS, ASSERTION, IF_ASSERTED, NEVER, REPEAT, Group, Part, Rendered
from .refusals import ESCAPES, FLAGS, GROUPS, check_size, refuse

__all__ = ["render"]

MAX_REPEAT = 1000  # RE2's own limit, for a bound and for the product of nested bounds
MAX_DEPTH = 100  # of nested groups: `re` takes several Python frames for each
FIRST_ASTRAL = 0x10000  # the first code point after the basic plane
FAR = 16  # a repeat of this many or more may match across a whole header

_BOUNDS = re.compile(r"\{([0-9]*)(?:(,)([0-9]*))?\}")
_FLAGS = re.compile(r"\(\?([A-Za-z]*)(?:(-)([A-Za-z]*))?([:)])")
_NAMED = re.compile(r"\(\?P<([^>)]*)>")
_POSIX = re.compile(r"\[([:.=])[^\]]*\1\]")
_HEX = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8}))")
_OCTAL = re.compile(r"\\(0[0-7]{0,2}|[1-3][0-7]{2})")
_OCTAL_IN_CLASS = re.compile(r"\\([0-3][0-7]{0,2}|[4-7][0-7]?(?![0-7]))")
_HIGH_OCTAL = re.compile(r"\\[4-7][0-7]{2}")
_NUMBER = re.compile(r"\\[0-9]{1,3}")
_CONTROLS = {"a": 7, "t": 9, "n": 10, "v": 11, "f": 12, "r": 13}


class _Reader:
    """One pass over a pattern."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.groups = [Group(0, "")]
        self.names: set[str] = set()
        self.output: list[tuple[str, str, str]] = []
        self.inside = self.unbounded = self.crosses_lines = False

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
        empty, chars = self.groups[0].done.empty, self.groups[0].done.chars
        # RE2 sees \B also between the bytes of one character, where an empty match does not count.
        # So a match must begin at the start of the text, or after a whole character.
        inside = self.inside and empty == IF_ASSERTED
        test = rf"(?:\A|(?s:.))(?:{single})" if inside else single
        in_line = empty == NEVER and not chars & NEWLINE
        crosses_lines = self.crosses_lines
        return Rendered(test, single, page, oracle, empty, self.unbounded, crosses_lines, in_line)

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

    # Writing: each method consumes the raw text of what it writes.

    def _take(self, raw: str, single: str, page: str, oracle: str) -> None:
        self.at += len(raw)
        self.output.append((single, page, oracle))

    def _assertion(self, raw: str, single: str, page: str, oracle: str) -> None:
        self.groups[-1].put(Part(IF_ASSERTED, kind=ASSERTION))
        self._take(raw, single, page, oracle)

    def _set(self, raw: str, ranges: Ranges, oracle: str) -> None:
        self.groups[-1].put(Part(NEVER, header_like(ranges)))
        self._take(raw, class_in_re2(ranges), class_in_re2(ranges), oracle)

    def _literal(self, raw: str, code: int) -> None:
        ranges: Ranges = ((code, code),)
        ignoring = "i" in self.groups[-1].flags
        # `re` turns a|b into a class, and there finds the cases of these letters only in a range.
        in_re = f"[{raw}-{raw}]" if ignoring and code >= FIRST_ASTRAL else raw
        self._set(raw, any_case(ranges) if ignoring else ranges, in_re)

    # Elements.

    def _open(self) -> None:
        flags, raw = self.groups[-1].flags, "("
        if self.text.startswith("(?", self.at):
            flags, raw = self._extension(flags)
        if len(self.groups) > MAX_DEPTH:
            self._refuse(
                f"group nested {len(self.groups)} deep",
                self.at,
                f"nest groups up to {MAX_DEPTH} deep",
            )
        self.groups.append(Group(self.at, flags))
        self._take(raw, "(?:", "(?:", raw)

    def _extension(self, flags: str) -> tuple[str, str]:
        """Return the flags of a group that begins with `(?`, and the text that opens it."""
        if named := _NAMED.match(self.text, self.at):
            if not named[1].isidentifier() or named[1] in self.names:
                what = "repeated" if named[1] in self.names else "bad"
                self._refuse(f"{what} group name {shown(named[1])}", self.at, "give it another")
            self.names.add(named[1])
            return flags, named[0]
        for opening, name, remedy in GROUPS:
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
                "put them at its start, or write (?i:…) around the part they apply to",
            )
        return "".join(set(flags + found[1]) - set(found[3] or "")), found[0]

    def _check_flags(self, found: re.Match[str]) -> None:
        on, off = found[1], found[3] or ""
        for place, flag in enumerate(found[0]):
            if flag.isalpha() and flag not in "ims":
                name, remedy = FLAGS.get(flag, (f"flag {flag}", "the flags are i, m and s"))
                self._refuse(f"{name} in {found[0]}", self.at + place, remedy)
        if set(on) & set(off) or (found[2] and not off) or found[0] == "(?)":
            self._refuse(f"flags {found[0]}", self.at, "write for example (?i:…) or (?-i:…)")

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
            self._refuse(name, self.at, f"nested bounds may multiply to at most {MAX_REPEAT}")
        far = high is None or high >= FAR
        self.unbounded |= part.chars == HEADER_LIKE and far
        self.crosses_lines |= bool(part.chars & NEWLINE) and far
        group.last = Part(part.empty if low else ALWAYS, part.chars, product, REPEAT)
        self.at += len(lazy)
        # RE2 takes no leading zeros.
        plain = f"{{{low},{'' if high is None else high}}}" if bounds else raw
        self._take(raw, plain + lazy, plain + "?", raw + lazy)

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
            # In the empty text, older versions of `re` do not find \B, but all find that \b fails.
            self.inside = True
            self._assertion(r"\B", r"\B", r"\B", r"(?!(?a:\b))")
        elif ranges := category(kind):
            in_re = class_in_re("", ranges, negated=False, ignoring="i" in self.groups[-1].flags)
            self._set("\\" + kind, ranges, in_re)
        else:
            self._literal(*self._character(_OCTAL))

    def _character(self, octal: re.Pattern[str]) -> tuple[str, int]:
        """Return the escaped character at the current place: raw, and its code point."""
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
            number = "".join(_NUMBER.findall(self.text[self.at : self.at + 4]))
            name, remedy = f"octal escape {number}", "write \\xHH; octal escapes end at \\377"
            if octal is _OCTAL and not _HIGH_OCTAL.match(number):
                name, remedy = f"backreference {number[:3]}", "write the repeated text out"
        else:
            unknown = (f"unknown escape \\{kind}", f"write {kind} for the character")
            name, remedy = ESCAPES.get(kind, unknown)
        return self._refuse(name, self.at, remedy)

    # Classes.

    def _bracket(self) -> None:
        start, ignoring = self.at, "i" in self.groups[-1].flags
        negated = self.text.startswith("[^", start)
        self.at = first = start + 1 + negated
        items: list[str] = []
        pairs: list[tuple[int, int]] = []
        exact: list[tuple[int, int]] = []  # from \d and similar escapes: (?i) adds nothing
        while not self.text.startswith("]", self.at) or self.at == first:
            item, low, among = self._member(start)
            if self.text.startswith("-", self.at) and self.text[self.at + 1 : self.at + 2] != "]":
                item, pair = self._range(start, item, low)
            elif among:
                exact.extend(among)
                continue
            else:
                pair = (low, low)
                if ignoring and low >= FIRST_ASTRAL:  # `re` finds its cases only in a range
                    item = f"{item}-{item}"
            items.append(item)
            pairs.append(pair)
        self.at += 1
        ranges = any_case(joined(pairs)) if ignoring else joined(pairs)
        ranges = joined([*ranges, *exact])
        in_re = class_in_re("".join(items), joined(exact), negated=negated, ignoring=ignoring)
        self._set("", complement(ranges) if negated else ranges, in_re)

    def _member(self, start: int) -> tuple[str, int, Ranges]:
        """Return a member of the class that began at `start`: raw, and its code point or set."""
        text, at = self.text, self.at
        char = text[at : at + 1]
        if not char:
            self._refuse("unclosed class [", start, "close it with ], or write \\[")
        if char == "\\":
            kind = text[at + 1 : at + 2]
            if among := category(kind):
                self.at += 2
                return "\\" + kind, -1, among
            raw, code = ("\\b", 8) if kind == "b" else self._character(_OCTAL_IN_CLASS)
            self.at += len(raw)
            return raw, code, ()
        if posix := _POSIX.match(text, at):
            self._refuse(f"POSIX class {posix[0]}", at, "write for example a-z, \\d, \\w or \\s")
        doubled = char in "-&|~" and text.startswith(char, at + 1)
        if doubled or (char == "[" and text[start:at] in ("[", "[^")):
            # `re` warns of these: they will become operators on sets.
            name = f"set operator {char}{char}" if doubled else "nested set [["
            self._refuse(f"{name} in a class", at, f"write \\{char} for the character")
        self.at += 1
        return "\\" + char if char in "[]^-&|~" else char, ord(char), ()

    def _range(self, start: int, item: str, low: int) -> tuple[str, tuple[int, int]]:
        """Read the rest of a range whose first character was read."""
        at = self.at - len(item)
        self.at += 1
        if self.text.startswith("-", self.at):  # `re` warns of it: it will become an operator
            self._refuse("set operator -- in a class", self.at - 1, "write \\- for the character")
        end, high, _ = self._member(start)
        if not 0 <= low <= high:
            remedy = "put the lower character first, and write \\- for the character -"
            self._refuse(f"range {item}-{end} in a class", at, remedy)
        if low < FIRST_ASTRAL <= high:  # `re` has two rules, each correct on its side
            return f"{item}-\\uffff\\U00010000-{end}", (low, high)
        return f"{item}-{end}", (low, high)

    def _refuse(self, construct: str, position: int, remedy: str) -> NoReturn:
        refuse(self.text, construct, position, remedy)


def render(text: str) -> Rendered:
    """Check a pattern and render it for the engines.

    Raises:
        InvalidQuery: it is outside the subset; the message names the construct and its position.
    """
    check_size(text)
    return _Reader(text).read()
