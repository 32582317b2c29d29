"""The planner: from a query and a few numbers to a plan, which can print itself.

Rules: pure; it knows no store and reads nothing. Only this module chooses an index. A plan is plain
data, and `explain` shows the plan that runs.

There are two ways to the events, both in timeline order: scanning `timeline`, and walking posting
sets. Reading a posting and its record costs as much as reading a record of the scan and searching
it for the flag, so a flag is always walked, even a common one. Patterns are different: they are
searched for in whole pages of records, and a scanned record costs a quarter of one looked up.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lmdbstore.contract.query import Query

__all__ = ["Plan", "make_plan"]

DENSE = 4  # with a pattern, a flag on more than one event in this many is scanned for
# A posting set of up to this many times the size of the rarest is read along with it; in a longer
# one the keys of the rarest are looked up.
MERGED = 4


class Plan(NamedTuple):
    """How a query is answered."""

    query: Query
    events: int  # in the store
    postings: dict[str, int]  # of each flag of the query
    walk: tuple[str, ...]  # flags whose posting sets are walked together, the rarest first
    test: tuple[str, ...]  # flags that are tested on each record; all of them, or none
    runs: int = 0  # signed runs, which are read only if their signature allows the pattern
    nothing: str = ""  # why no event can match

    @property
    def known_count(self) -> int | None:
        """How many events match, if the plan's own numbers give it; else None."""
        query = self.query
        if query._replace(flags=(), descending=False, limit=None) != type(query)():
            return None
        numbers = [self.events, *self.postings.values()]
        if len(numbers) > 2 and all(numbers):  # noqa: PLR2004  two flags or more
            return None
        return min(numbers if query.limit is None else [*numbers, query.limit])

    def looked_up(self, flag: str) -> bool:
        """Whether keys are looked up in the posting set of a walked flag; else the set is read."""
        return self.postings[flag] > MERGED * self.postings[self.walk[0]]

    @property
    def reads_records(self) -> bool:
        """Whether finding a match needs the record, and not only its key."""
        return bool(self.test) or self.query.reads_records

    def __str__(self) -> str:
        """The plan as text, a line for each step."""
        if self.nothing:
            return f"nothing to read: {self.nothing}"
        return "\n  ".join([self._access(), *self._steps()])

    def _access(self) -> str:
        order = "newest first" if self.query.descending else "oldest first"
        if not self.walk:
            return f"scan the timeline ({self.events:,} events), {order}"
        read = [flag for flag in self.walk if not self.looked_up(flag)]
        sets = " and ".join(map(self._set, read))
        kind = "set" if len(read) == 1 else "sets"
        return f"walk the posting {kind} of {sets} of {self.events:,} events, {order}"

    def _set(self, flag: str) -> str:
        return f"{flag!r} ({self.postings[flag]:,})"

    def _steps(self) -> list[str]:
        query = self.query
        steps = []
        if query.ts_start > -math.inf:
            steps.append(f"from {_time(query.ts_start)}")
        if query.ts_end < math.inf:
            steps.append(f"to {_time(query.ts_end)}")
        if query.after is not None:
            steps.append(f"after {query.after.token}")
        sets = [self._set(flag) for flag in self.walk if self.looked_up(flag)]
        steps += [f"look each up in the posting set of {found}" for found in sets]
        steps += [f"test the flag {flag!r} on each record" for flag in self.test]
        if query.source is not None:
            steps.append(f"test the source {query.source!r} on each record")
        if self.runs:
            steps.append(
                f"leave out those of {self.runs:,} runs whose signature excludes the pattern"
            )
        if query.pattern is not None:
            how = "page by page" if query.pattern.by_page else "event by event"
            steps.append(f"match {query.pattern.text!r} {how}")
        if query.limit is not None:
            steps.append(f"stop after {query.limit:,}")
        return steps


def make_plan(query: Query, events: int, postings: Mapping[str, int], *, runs: int = 0) -> Plan:
    """Choose how to answer `query`.

    `events` is the number in the store, `postings` the number that carry each flag, and `runs` the
    number of runs with a signature, or 0 if signatures are not used.
    """
    numbers = {flag: postings[flag] for flag in query.flags}
    flags = tuple(sorted(numbers, key=lambda flag: (numbers[flag], flag)))
    scanned = query.pattern is not None and (not flags or numbers[flags[0]] * DENSE > events)
    walk, test = ((), flags) if scanned else (flags, ())
    helped = not walk and query.pattern is not None and query.pattern.probe.helps
    nothing = _nothing(query, events, numbers)
    return Plan(query, events, numbers, walk, test, runs if helped else 0, nothing)


def _nothing(query: Query, events: int, postings: Mapping[str, int]) -> str:
    if query.limit == 0:
        return "the limit is 0"
    if query.impossible:
        return "the time range is reversed"
    for flag, number in postings.items():
        if not number:
            return f"no event carries {flag!r}"
    return "" if events else "the store is empty"


def _time(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat() + f" ({seconds!r})"
    except (OverflowError, ValueError, OSError):
        return repr(seconds)
