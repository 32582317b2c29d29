r"""What a content must hold for a pattern to match in it: the grams of `signature`, or texts.

Rules: pure. It reads a pattern as `parse` renders it for RE2 (`single`), which has only characters,
sets of characters, groups, alternatives, repeats and assertions. The result is necessary for a
match and seldom sufficient: in doubt, it asks for less.

Each piece of a pattern is either `exact` (a few texts, one of which must be there), or only its
needs are known. Pieces in a row multiply their exact texts as long as these stay few. The grams of
the texts collected so far are then needed. This follows Russ Cox, "Regular Expression Matching with
a Trigram Index" (2012), with pieces of four bytes instead of three, and without his prefixes and
suffixes.
"""

from __future__ import annotations

import re
from itertools import product
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from .signature import Needs, fold, grams

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["needed_parts", "needs"]

H = TypeVar("H")  # what a content may hold

FEW_TEXTS = 16  # alternatives that are kept apart
FEW_CHARACTERS = 24  # of a set that is replaced by its members
LONG_TEXT = 64  # bytes; a longer text is split into pieces
MANY_NEEDS = 64  # alternatives

_ASSERTION = re.compile(r"\\[AzbB]|\(\?m:[$^]\)")
_CHARACTER = re.compile(r"\\x\{([0-9a-f]+)\}|\\([^A-Za-z0-9])|([^\\\[\](){}|*+?.^$])")
_REPEAT = re.compile(r"([*+?]|\{([0-9]+)(?:,[0-9]*)?\})\??")

Texts = frozenset[bytes]
Alternatives = frozenset[frozenset[H]]  # as `Needs`, of grams or of texts


class _Piece(NamedTuple, Generic[H]):
    """What is known about a piece of a pattern: its exact texts, folded, or only its needs."""

    exact: Texts | None
    needs: Alternatives[H] = frozenset([frozenset()])


EMPTY: Texts = frozenset([b""])


def needs(rendered: str) -> Needs:
    """Return what a content must hold for a pattern, rendered for RE2, to match in it."""
    return needed_parts(rendered, fold, grams)


def needed_parts(
    rendered: str, fold: Callable[[bytes], bytes], parts: Callable[[bytes], frozenset[H]]
) -> Alternatives[H]:
    """Return of which parts a content must hold all of one alternative, for a pattern to match.

    `fold` is what is done to contents, character by character, and `parts` says what a content has
    that has a text.
    """
    reader = _Reader(rendered, fold, parts)
    return reader.needed(reader.alternatives())


class _Reader(Generic[H]):
    """One pass over a rendered pattern."""

    def __init__(
        self, text: str, fold: Callable[[bytes], bytes], parts: Callable[[bytes], frozenset[H]]
    ) -> None:
        self.text = text
        self.at = 0
        self._fold, self._parts = fold, parts

    def needed(self, piece: _Piece[H]) -> Alternatives[H]:
        """Return all needs of a piece, with exact texts turned into their parts."""
        if piece.exact is None:
            return piece.needs
        return _any(frozenset(map(self._parts, piece.exact)))

    def alternatives(self) -> _Piece[H]:
        """Read to the end of a group."""
        piece = self._row()
        while self._skip("|"):
            piece = self._either(piece, self._row())
        return piece

    def _either(self, one: _Piece[H], other: _Piece[H]) -> _Piece[H]:
        if one.exact is not None and other.exact is not None:
            texts = one.exact | other.exact
            if len(texts) <= FEW_TEXTS:
                return _Piece(texts)
        return _Piece(None, _any(self.needed(one) | self.needed(other)))

    def _row(self) -> _Piece[H]:
        # The needs of the finished pieces, and the exact texts of the pieces after them. While
        # `whole` is true, no piece is finished, and the exact texts are those of the whole row.
        finished, texts, whole = _Piece[H](None).needs, EMPTY, True
        while self.at < len(self.text) and self.text[self.at] not in "|)":
            piece = self._repeated(self._element())
            if piece.exact is not None and (longer := _products(texts, piece.exact)):
                texts = longer
                continue
            whole = False
            finished = _both(finished, self.needed(_Piece(texts)))
            finished = _both(finished, piece.needs)
            texts = EMPTY if piece.exact is None else piece.exact
        if whole:
            return _Piece(texts)
        return _Piece(None, _both(finished, self.needed(_Piece(texts))))

    def _element(self) -> _Piece[H]:
        if self._take(_ASSERTION):
            return _Piece(EMPTY)
        if self._skip("(?s:.)"):
            return _Piece(None)
        if self._skip("(?:"):
            piece = self.alternatives()
            self._skip(")")
            return piece
        if self._skip("["):
            return self._set()
        return self._character_piece([(self._character(), self._last)])

    def _set(self) -> _Piece[H]:
        if self._skip("^"):  # of all characters: the empty set
            self.at = self.text.index("]", self.at) + 1
            return _Piece(None)
        ranges = []
        while not self._skip("]"):
            low = self._character()
            ranges.append((low, self._character() if self._skip("-") else low))
        return self._character_piece(ranges)

    def _character(self) -> int:
        found = self._take(_CHARACTER)
        if found is None:
            raise AssertionError(f"{self.text!r} is not a rendered pattern at {self.at}")
        self._last = int(found[1], 16) if found[1] else ord(found[2] or found[3])
        return self._last

    def _repeated(self, piece: _Piece[H]) -> _Piece[H]:
        found = self._take(_REPEAT)
        if found is None:
            return piece
        least = int(found[2]) if found[2] else int(found[1] == "+")
        return _Piece(None, self.needed(piece)) if least else _Piece(None)

    def _character_piece(self, ranges: list[tuple[int, int]]) -> _Piece[H]:
        if sum(high - low + 1 for low, high in ranges) > FEW_CHARACTERS:
            return _Piece(None)
        codes = (code for low, high in ranges for code in range(low, high + 1))
        texts = frozenset(self._fold(chr(code).encode("utf-8", "surrogatepass")) for code in codes)
        return _Piece(texts if len(texts) <= FEW_TEXTS else None)

    def _skip(self, text: str) -> bool:
        if self.text.startswith(text, self.at):
            self.at += len(text)
            return True
        return False

    def _take(self, what: re.Pattern[str]) -> re.Match[str] | None:
        found = what.match(self.text, self.at)
        if found:
            self.at = found.end()
        return found


def _products(texts: Texts, others: Texts) -> Texts | None:
    """Return each text with each other one after it; None if that is too much."""
    if len(texts) * len(others) > FEW_TEXTS:
        return None
    found = frozenset(a + b for a, b in product(texts, others))
    return found if max(map(len, found)) <= LONG_TEXT else None


def _any(alternatives: Alternatives[H]) -> Alternatives[H]:
    """Return the alternatives without those that ask for more than another one."""
    if not all(alternatives) or len(alternatives) > MANY_NEEDS:
        return frozenset([frozenset()])
    return frozenset(a for a in alternatives if not any(b < a for b in alternatives))


def _both(one: Alternatives[H], other: Alternatives[H]) -> Alternatives[H]:
    """Return the two needs together; if that is too much, the one that excludes more."""
    if len(one) * len(other) > MANY_NEEDS:
        return max(one, other, key=lambda needed: min(map(len, needed)))
    return _any(frozenset(a | b for a, b in product(one, other)))
