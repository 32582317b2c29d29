"""Why goals are lost, where measurements show the reason.

Rules: only a lost goal gets a reason. If the reason is not known, the report says so.
"""

from __future__ import annotations

from typing import NamedTuple

from .goals import Goal

__all__ = ["REASONS", "Reason", "reason_for"]


class Reason(NamedTuple):
    """The reason for lost goals whose operation and peer begin with one of these."""

    why: str
    operations: tuple[str, ...]
    peers: tuple[str, ...] = ("",)  # all peers


REASONS = (
    Reason(
        "the trees are one level deeper, and a smaller part of them fits into the processor's "
        "caches",
        ("get, 10 million",),
    ),
    Reason(
        "none of its calls waits, and the median call takes a tenth longer than a snapshot read's; "
        "the mean is that of calls which the writer's flushes interrupt, in some runs more of the "
        "one kind, in some of the other",
        ("get, beside a writer",),
    ),
    Reason(
        "two lookups in LMDB's trees and making the event take most of the time; bare py-lmdb, "
        "which does nothing else, shows this",
        ("get",),
        ("SQLite",),
    ),
    Reason(
        "the index of ids, the deleted events and the run are looked up, and the record is "
        "checked; and py-lmdb reads a byte of each page of the run, of which there are 28",
        ("get",),
        ("py-lmdb",),
    ),
    Reason(
        "two processes, and what else the machine does, share its caches and its memory",
        ("get, 2 reader", "range of 100, 2 reader"),
    ),
    Reason(
        "an event that a rare flag leads to is read from three places of its run, its head, its "
        "row and its record, and all three are checked; and py-lmdb reads a byte of each page of "
        "the run, of which there are 28",
        ("common and rare flag",),
    ),
    Reason(
        "the rest of the time is for making `Event` objects in Python, on both sides; bare py-lmdb "
        "takes about as long",
        ("range of 100", "newest 100", "one common flag", "two common flags"),
        ("SQLite",),
    ),
    Reason(
        "SQLite begins with the flag that is given first; here this is the rare flag, and SQLite "
        "does the same work; the row above shows the difference if the common flag is given first",
        ("rare and common flag",),
    ),
    Reason(
        "no signature excludes a run for this pattern, so all contents are searched; DuckDB looks "
        "at only the end of each content for a pattern that ends in `$`, and grep makes no events",
        ("pattern, no literal", "matches, no literal"),
    ),
    Reason(
        "RE2 reads all contents byte by byte, for which it takes longer than grep, and their "
        "checksums are compared",
        ("matches, classes",),
        ("grep",),
    ),
    Reason(
        "the matches are far from each other, and for each match the contents of its run of 512 "
        "events are checked and searched; a pattern with one match takes a small part of this time",
        ("pattern, rare literal",),
    ),
    Reason(
        "reading the signatures of all 2,000 runs takes most of the time",
        ("pattern, one match",),
    ),
    Reason(
        "DuckDB and lnav read lines in compiled code, make no ids, and index no text; lnav keeps "
        "nothing; here, signatures take an eighth to a third of the time, times, levels and "
        "fields a seventh to a quarter, ids and their index a tenth to a fifth",
        ("lines a second on one core",),
    ),
    Reason(
        "it makes no ids, and indexes neither ids nor times nor text; signatures alone take a "
        "third of the time here",
        ("lines a second of processor time",),
        ("sqlite-utils",),
    ),
    Reason(
        "its imports take more than half of the time: `typing`, `uuid`, and `orjson`, which "
        "imports `dataclasses`",
        ("import",),
    ),
    Reason(
        "a strict read reads one more byte, which takes a few hundredths of a microsecond",
        ("get, strict", "range of 100, strict"),
    ),
    Reason(
        "random ids change most pages of their index, and LMDB writes a copy of each changed "
        "page; bare py-lmdb takes nearly as long",
        ("save_many",),
        ("SQLite",),
    ),
    Reason(
        "an event changes some 20 pages of 4 KiB, and LMDB writes copies of them; threads share "
        "the flush but, with random ids and 200 flags, few pages; bare py-lmdb takes longer",
        ("save, ",),
        ("SQLite",),
    ),
    Reason(
        "Theia's file store saves to memory, and writes to a file once a second; every store reads "
        "5,000 events in a short time",
        ("any operation",),
        ("Theia files",),
    ),
    Reason(
        "a save waits for the disk on both sides, and every store reads 5,000 events in a short "
        "time",
        ("any operation",),
        ("Theia RDBS",),
    ),
)


def reason_for(goal: Goal) -> str:
    """Return the reason why a lost goal is lost."""
    for reason in REASONS:
        if goal.operation.startswith(reason.operations) and goal.against.startswith(reason.peers):
            return reason.why
    return "not known"
