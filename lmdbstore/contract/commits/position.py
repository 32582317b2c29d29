"""Positions in the order of commits: a number of a store, which says whose number it is.

Rules: every event gets a number when it is saved, in the order of commits. A position is the number
of the last event before it, and the identity of the store. A copy of a store has an identity of its
own, and notes where it branched off: a position of the other store is one of the copy too, if it is
not after that. So no position is ever taken for one of another history.
"""

from __future__ import annotations

import os
from typing import NamedTuple, NoReturn

from lmdbstore.errors import InvalidQuery, shown

__all__ = ["START", "Branch", "Lineage", "Present", "new_identity", "number_in"]

START = "start"  # instead of a position: before the first event
OF_A_STORE = "pass a position that this store has given"


def new_identity() -> bytes:
    """Return the identity of a new store."""
    return os.urandom(16)


class Branch(NamedTuple):
    """A store of which another one is a copy, and the number of the last event that it copied."""

    identity: bytes
    last: int


class Lineage(NamedTuple):
    """The identity of a store, and the stores of which it is a copy, from the oldest on."""

    identity: bytes
    branches: tuple[Branch, ...] = ()

    def copied(self, identity: bytes, last: int) -> Lineage:
        """Return the lineage of a copy with this identity, which has the events up to `last`."""
        return Lineage(identity, (*self.branches, Branch(self.identity, last)))

    def position(self, number: int) -> str:
        """Return the position after an event."""
        return _text(self.identity, number)

    def number(self, name: str, position: object, last: int) -> int:
        """Return the number in a position, which is an argument of this name.

        `last` is the number of the last event of the store.

        Raises:
            InvalidQuery: it is no position of this store, or of its past.
        """
        identity, number = _parsed(name, position)
        if identity == self.identity:
            if number > last:
                present = _text(identity, last)
                _refuse(
                    name,
                    position,
                    f"it is after the last event of the store; go on from {present!r}",
                )
            return number
        for branch in self.branches:
            if branch.identity == identity:
                if number > branch.last:
                    _refuse(
                        name,
                        position,
                        "this store is a copy of the one that gave it, and branched off before, at "
                        f"{_text(*branch)!r}; go on from there, or use that store",
                    )
                return number
        copied = "".join(f"; it is a copy of {_text(*each)!r}" for each in self.branches[-1:])
        return _refuse(name, position, f"another store has given it{copied}; {OF_A_STORE}")


class Present(NamedTuple):
    """Where a store is."""

    lineage: Lineage
    last: int  # the number of the last event

    def number(self, name: str, position: object) -> int:
        """Return the number in an argument of this name; raises InvalidQuery."""
        return self.lineage.number(name, position, self.last)

    def after(self, position: object) -> int:
        """Return the number after which to begin; raises InvalidQuery."""
        if isinstance(position, str) and str.__str__(position) == START:
            return 0
        return self.number("after", position)


def number_in(position: str) -> int:
    """Return the number in a position that a store of the package has just given."""
    return int(position.partition(":")[0])


def _text(identity: bytes, number: int) -> str:
    return f"{number}:{identity.hex()}"


def _parsed(name: str, position: object) -> tuple[bytes, int]:
    text = str.__str__(position) if isinstance(position, str) else ""
    number, _, identity = text.partition(":")
    try:
        found = bytes.fromhex(identity), int(number)
    except ValueError:
        found = b"", 0
    # Only what a store has written is valid: " 7_0:" and capital digits would parse too.
    if _text(*found) != text or found[1] < 0 or not found[0]:
        _refuse(name, position, OF_A_STORE)
    return found


def _refuse(name: str, position: object, reason: str) -> NoReturn:
    raise InvalidQuery(f"{name}: {shown(position)} cannot be used; {reason}")
