"""The planner: from a query and a few numbers to a plan, which can print itself.

Rules: pure; it knows no store and reads nothing. Only this module chooses an index. A plan is plain
data, and `explain` shows the plan that runs.

There are two ways to the events, both in timeline order: scanning the timeline, and walking posting
sets: of live events, and of runs. A run has the slots of its terms, so a term is always walked,
even a common one. Of flags of which an event must have any, the sets are walked side by side if
together they have fewer events than what would be read otherwise; else the slots decide, as they do
about flags that it must not have. A pattern, and conditions on fields, are then checked in what is
left of each run.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from lmdbstore.disk import format as fmt
from lmdbstore.errors import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lmdbstore.contract.query import Query

__all__ = ["Plan", "Term", "make_plan", "terms_of"]

# A posting set of up to this many times the size of the rarest is read along with it; in a longer
# one the keys of the rarest are looked up.
MERGED = 4
SHOWN = 10  # terms in a line of a plan


class Term(NamedTuple):
    """A flag or a source that an event must have."""

    text: str
    is_source: bool = False

    @property
    def key(self) -> bytes:
        """Its key on disk."""
        return fmt.source_key(self.text) if self.is_source else fmt.flag_key(self.text)

    def __str__(self) -> str:
        """A flag as it is, a source with that word."""
        return f"the source {self.text!r}" if self.is_source else repr(self.text)


class Plan(NamedTuple):
    """How a query is answered."""

    query: Query
    events: int  # in the store
    runs: int  # of them, in which most events are
    postings: dict[Term, int]  # how many events have each term of the query
    walk: tuple[Term, ...]  # the terms that an event must have, the rarest first
    some: tuple[Term, ...] = ()  # terms of which it must have one, unless there are none
    by_some: bool = False  # whether their posting sets are walked, side by side, and not the others
    nothing: str = ""  # why no event can match

    @property
    def probes(self) -> bool:
        """Whether runs are left out by their signatures."""
        pattern = self.query.pattern
        led = self.walk or self.by_some
        return bool(self.runs and not led and pattern is not None and pattern.probe.helps)

    @property
    def only_range(self) -> bool:
        """Whether all events of the range match."""
        query = self.query
        return not (self.walk or self.some or query.not_flags or self.reads_contents)

    @property
    def reads_contents(self) -> bool:
        """Whether contents decide what matches."""
        return self.query.pattern is not None or self.query.where is not None

    @property
    def bounds(self) -> tuple[bytes, bytes]:
        """The lowest and the highest timeline key that a match may have."""
        query = self.query
        low, high = fmt.first_key(query.ts_start), fmt.last_key(query.ts_end)
        if query.after is not None:
            last = fmt.timeline_key(query.after)
            if query.descending:
                high = min(high, fmt.before_key(last))
            else:
                low = max(low, fmt.after_key(last))
        return low, high

    @property
    def known_count(self) -> int | None:
        """How many events match, if the plan's own numbers give it; else None."""
        query = self.query
        if query._replace(flags=(), source=None, descending=False, limit=None) != type(query)():
            return None
        numbers = [self.events, *self.postings.values()]
        if len(numbers) > 2 and all(numbers):  # noqa: PLR2004  two terms or more
            return None
        return min(numbers if query.limit is None else [*numbers, query.limit])

    def looked_up(self, term: Term) -> bool:
        """Whether keys are looked up in the posting set of a walked term; else the set is read."""
        return self.postings[term] > MERGED * self.postings[self.walk[0]]

    def __str__(self) -> str:
        """The plan as text, a line for each step."""
        if self.nothing:
            return f"nothing to read: {self.nothing}"
        return "\n  ".join([self._access(), *self._steps()])

    def _access(self) -> str:
        order = "newest first" if self.query.descending else "oldest first"
        runs = f"{self.runs:,} {'run' if self.runs == 1 else 'runs'}"
        if self.by_some:
            sets, inside = self._sets(self.some), f" and {runs}" if self.runs else ""
            return f"walk the posting sets of {sets} of {self.events:,} events{inside}, {order}"
        if not self.walk:
            inside = f" in {runs}" if self.runs else ""
            return f"scan the timeline ({self.events:,} events{inside}), {order}"
        read = [term for term in self.walk if not self.looked_up(term)]
        sets = " and ".join(map(self._set, read))
        kind = "set" if len(read) == 1 else "sets"
        inside = f" and {runs}" if self.runs else ""
        return f"walk the posting {kind} of {sets} of {self.events:,} events{inside}, {order}"

    def _set(self, term: Term) -> str:
        return f"{term} ({self.postings[term]:,})"

    def _sets(self, terms: tuple[Term, ...]) -> str:
        shown = [*map(self._set, terms[:SHOWN])]
        more = [f"{len(terms) - SHOWN:,} more"] if len(terms) > SHOWN else []
        return " or ".join([*shown, *more])

    def _steps(self) -> list[str]:
        query = self.query
        steps = []
        if query.ts_start > -math.inf:
            steps.append(f"from {_time(query.ts_start)}")
        if query.ts_end < math.inf:
            steps.append(f"to {_time(query.ts_end)}")
        if query.after is not None:
            steps.append(f"after {query.after.token}")
        steps += self._of_terms()
        if self.probes:
            steps.append("leave out the runs whose signature excludes the pattern")
        if query.pattern is not None:
            how = "run by run" if query.pattern.by_page else "event by event"
            steps.append(f"match {query.pattern.text!r} {how}")
        if query.where is not None:
            steps.append(f"compare {query.where}")
        if query.at is not None:
            steps.append(f"leave out what was saved after the first {query.at:,}")
        if query.limit is not None:
            steps.append(f"stop after {query.limit:,}")
        if query.skip_damaged:
            steps.append("leave out what is damaged")
        return steps

    def _of_terms(self) -> list[str]:
        walked = self.walk if self.by_some else filter(self.looked_up, self.walk)
        steps = [f"look each up in the posting set of {self._set(term)}" for term in walked]
        if self.some and not self.by_some:
            steps.append(f"keep those with {self._sets(self.some)}")
        if without := self.query.not_flags:
            steps.append(f"leave out those with one of {_listed(without)}")
        return steps


def terms_of(query: Query) -> list[Term]:
    """Return the terms that an event must have, and those of which it must have one."""
    required = _required(query)
    return [*required, *map(Term, query.any_flags)] if query.any_flags else required


def _required(query: Query) -> list[Term]:
    source = [] if query.source is None else [Term(query.source, is_source=True)]
    return [*map(Term, query.flags), *source]


def make_plan(query: Query, events: int, postings: Mapping[Term, int], *, runs: int = 0) -> Plan:
    """Choose how to answer `query`.

    `events` is the number in the store, `postings` the number that have each term, and `runs` the
    number of runs.
    """
    numbers = {term: postings[term] for term in _required(query)}
    walk = tuple(sorted(numbers, key=lambda term: (numbers[term], term)))
    nothing = _nothing(query, events, numbers)
    if not query.any_flags:
        return Plan(query, events, runs, numbers, walk, nothing=nothing)
    more = {term: postings[term] for term in map(Term, query.any_flags) if postings[term]}
    if not more:
        nothing = nothing or f"no event carries one of {_listed(query.any_flags)}"
    some = tuple(sorted(more, key=lambda term: (more[term], term)))
    by_some = bool(more) and sum(more.values()) < (numbers[walk[0]] if walk else events)
    return Plan(query, events, runs, numbers | more, walk, some, by_some=by_some, nothing=nothing)


def _nothing(query: Query, events: int, postings: Mapping[Term, int]) -> str:
    if query.limit == 0:
        return "the limit is 0"
    if query.impossible:
        return "the time range is reversed"
    for term, number in postings.items():
        if not number:
            return f"no event has {term}" if term.is_source else f"no event carries {term}"
    return "" if events else "the store is empty"


def _listed(flags: tuple[str, ...]) -> str:
    more = [f"{len(flags) - SHOWN:,} more"] if len(flags) > SHOWN else []
    return ", ".join([*map(shown, flags[:SHOWN]), *more])


def _time(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat() + f" ({seconds!r})"
    except (OverflowError, ValueError, OSError):
        return repr(seconds)
