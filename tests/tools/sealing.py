"""Tiny runs, and what is sealed in a store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from lmdbstore.disk import format as fmt
from lmdbstore.records.run import Run
from lmdbstore.write import seal
from lmdbstore.write.runs import Runs

if TYPE_CHECKING:
    import pytest

    from lmdbstore import LMDBEventStore

__all__ = ["TINIEST", "TINY", "Shape", "count_puts", "make_tiny_runs", "shape"]

TINY = {
    "RUN": 8, "RUN_BYTES": 20_000, "WAITING_BYTES": 40_000, "LONGEST": 12, "KEEP": 2, "LATE": 3,
    "WAITING": 5, "SHORT": 2, "SLACK": 1, "PIECE_RUNS": 3, "LATE_KEYS": 50,
}  # fmt: skip

TINIEST = {
    "RUN": 3, "RUN_BYTES": 11_000, "WAITING_BYTES": 22_000, "LONGEST": 5, "KEEP": 1, "LATE": 2,
    "WAITING": 3, "SHORT": 2, "SLACK": 1, "PIECE_RUNS": 2, "LATE_KEYS": 5,
}  # fmt: skip


def make_tiny_runs(monkeypatch: pytest.MonkeyPatch, sizes: dict[str, int] = TINY) -> None:
    """Let runs have few events, so that small stores have many."""
    for name, value in sizes.items():
        assert hasattr(seal, name)
        monkeypatch.setattr(seal, name, value)


class Shape(NamedTuple):
    """Which events of a store are sealed."""

    runs: list[int]  # the events of each run, deleted ones included
    dead: int  # of them, deleted
    unsigned: int  # runs without a signature
    live: int
    late: int  # of the live ones, those at or before the end of the last run
    ends: list[bytes]


def shape(store: LMDBEventStore) -> Shape:
    """Return which events are sealed."""

    def read(txn: Any, databases: Any) -> Shape:
        entries = {
            name: list(txn.cursor(db=getattr(databases, name)))
            for name in ("runs", "summaries", "live")
        }
        runs = [Run(end, value).events for end, value in entries["runs"]]
        summaries = [fmt.decode_summary(value) for _, value in entries["summaries"]]
        last = entries["runs"][-1][0] if runs else b""
        return Shape(
            runs,
            sum(runs) - sum(summary.events for summary in summaries),
            sum(not summary.signature for summary in summaries),
            len(entries["live"]),
            sum(key <= last for key, _ in entries["live"]),
            [end for end, _ in entries["runs"]],
        )

    return store._session.read(read)


def count_puts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that gets the number of events of each run that is written."""
    numbers: list[int] = []
    put = Runs.put

    def counted(runs: Runs, events: Any, *arguments: Any, **named: Any) -> None:
        numbers.append(len(events.keys))
        put(runs, events, *arguments, **named)

    monkeypatch.setattr(Runs, "put", counted)
    return numbers
