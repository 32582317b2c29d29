"""Counting events in buckets of time.

Rules: a run of which one bucket has all events is not read: its summary has their number. Of other
runs, and where there are more conditions than times, the rows are read; of live events, the keys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lmdbstore.contract.counting.buckets import Tally
from lmdbstore.disk import format as fmt

from .matches import Matches

if TYPE_CHECKING:
    from lmdb import Transaction

    from lmdbstore.contract.counting.buckets import Buckets
    from lmdbstore.contract.query import Query
    from lmdbstore.disk.databases import Databases
    from lmdbstore.read.run_range import RunRange

__all__ = ["count_times"]


def count_times(
    txn: Transaction[Any], databases: Databases, *, query: Query, buckets: Buckets
) -> Tally:
    """Count the events that a query finds, in buckets of time."""
    found, tally = Matches(txn, databases, query), Tally(buckets)
    if found.plan.nothing:
        return tally
    with txn.cursor(db=databases.runs) as cursor:
        part = found.part(cursor)
        if found.plan.only_range:
            _count_runs(found, part, tally)
        else:
            for run, slots in found.runs(part):
                tally.add(run.seconds_at(slots))
    for live in found.live(counting=True):
        tally.add([fmt.decode_key(key).timestamp for key in live.keys])
    return tally


def _count_runs(found: Matches, part: RunRange, tally: Tally) -> None:
    """Count the events of runs in a range of time: whole runs, where one bucket has them."""
    with part.txn.cursor(db=part.databases.summaries) as index:
        there, before = index.set_range(part.low), None
        while there:
            end, summary = bytes(index.key()), fmt.decode_summary(index.value())
            last = fmt.decode_key(end).timestamp
            if (
                before is None  # the events of a run are after the end of the run before it
                or end > part.high
                or summary.highest >= found.watermark
                or not tally.add_within(before, last, summary.events)
            ):
                run, slots = found.of_run(part, end)
                tally.add(run.seconds_at(slots))
            before = last
            there = end < part.high and index.next()
