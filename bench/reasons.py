"""Why goals are lost, in plain words, where that has been found out by measuring.

Rules: a reason is said only of a goal that is lost; where none was found, that is said.
"""

from __future__ import annotations

from typing import NamedTuple

from .goals import Goal

__all__ = ["REASONS", "Reason", "reason_for"]


class Reason(NamedTuple):
    """What to say of lost goals whose operation and peer begin with one of these."""

    why: str
    operations: tuple[str, ...]
    peers: tuple[str, ...] = ("",)  # all of them


REASONS = (
    Reason(
        "the trees are a level deeper, and less of them is in the processor's caches",
        ("get, 10 million",),
    ),
    Reason(
        "two lookups in LMDB's trees and the making of an event are most of it, as bare py-lmdb, "
        "which does nothing else, shows",
        ("get",),
        ("SQLite",),
    ),
    Reason(
        "what is left is the making of `Event` objects in Python, for which both pay; bare py-lmdb "
        "takes about as long",
        ("range of 100", "newest 100", "one common flag", "two common flags"),
        ("SQLite",),
    ),
    Reason(
        "with the rare flag named first SQLite begins with it, and does the same work; where it is "
        "not told, it shows the difference in the row above",
        ("rare and common flag",),
    ),
    Reason(
        "nothing tells what may be left out, and reading a million records out of LMDB one by one "
        "takes longer than searching them; DuckDB and grep have the contents side by side, and "
        "DuckDB looks only at the end of each for a pattern that ends in `$`",
        ("pattern, no literal", "matches, no literal"),
    ),
    Reason(
        "the matches lie far from each other, and of each the run of 512 events is read; a pattern "
        "with one match takes a small part of that",
        ("pattern, rare literal",),
    ),
    Reason(
        "to look at the signatures of all 2,000 runs takes most of it",
        ("pattern, one match",),
    ),
    Reason(
        "what it imports takes more than half of it: `typing`, `uuid`, and `orjson`, which imports "
        "`dataclasses`",
        ("import",),
    ),
    Reason(
        "a strict read looks at one byte more, a few hundredths of a microsecond",
        ("get, strict", "range of 100, strict"),
    ),
    Reason(
        "random ids touch most pages of their index, and LMDB writes each of them anew; bare "
        "py-lmdb takes nearly as long",
        ("save_many",),
        ("SQLite",),
    ),
    Reason(
        "an event touches about 25 pages of 4 KiB, of which LMDB writes copies; threads share the "
        "flush, but with random ids and 200 flags few pages; bare py-lmdb takes longer",
        ("save, ",),
        ("SQLite",),
    ),
    Reason(
        "its saves go to memory, and from there to a file once a second; and 5,000 events are soon "
        "read by anybody",
        ("any operation",),
        ("Theia files",),
    ),
    Reason(
        "a save waits for the disk on both sides, and 5,000 events are soon read by anybody",
        ("any operation",),
        ("Theia RDBS",),
    ),
)


def reason_for(goal: Goal) -> str:
    """Return why a lost goal is lost."""
    for reason in REASONS:
        if goal.operation.startswith(reason.operations) and goal.against.startswith(reason.peers):
            return reason.why
    return "not known"
