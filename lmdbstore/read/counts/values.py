"""Counting flags and sources of events.

Rules: without conditions the totals have the numbers. Else they are counted in the directory of
each run, by the digests of terms; the headers of a run are read where its directory has a term for
the first time. Where few events of a run count, their own headers are read instead.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import chain
from typing import TYPE_CHECKING, Any

from lmdbstore.contract.counting.facets import FLAGS, SOURCE, Values
from lmdbstore.contract.query import Query
from lmdbstore.disk import format as fmt
from lmdbstore.read.totals import totals_of
from lmdbstore.records.layout import digest
from lmdbstore.records.record import decode_headers

from .matches import Matches

if TYPE_CHECKING:
    from lmdb import Transaction

    from lmdbstore.disk.databases import Databases
    from lmdbstore.records.run import Run, Slots

__all__ = ["count_values"]

FEW = 8  # if only one event in so many of a run counts, its header is read


def count_values(
    txn: Transaction[Any], databases: Databases, *, query: Query, fields: tuple[str, ...]
) -> Values:
    """Count the values of fields of the events that a query finds."""
    values = Values(fields)
    if query == Query():
        for field in fields:
            for value, number in totals_of(txn, databases, sources=field == SOURCE).items():
                values.add(field, value, number)
        return values
    found, terms = Matches(txn, databases, query), _Terms(values)
    if found.plan.nothing:
        return values
    with txn.cursor(db=databases.runs) as cursor:
        for run, slots in found.runs(found.part(cursor)):
            terms.add(run, slots)
    terms.finish()
    for live in found.live(counting=False):
        for event in live.events:
            values.add_event(event.source, event.tags)
    return values


class _Terms:
    """Counts the terms of events of runs."""

    def __init__(self, values: Values) -> None:
        self._values = values
        self._numbers: defaultdict[int, int] = defaultdict(int)  # by the digest of the term
        self._known: dict[int, tuple[str, str]] = {}  # the field and the value of a term

    def add(self, run: Run, slots: Slots) -> None:
        """Count the terms of some events."""
        if len(slots) * FEW < run.events:
            fields = decode_headers([bytes(run.part(slot)[0]) for slot in slots])
            for source, tags in zip(fields.sources, fields.tags, strict=True):
                self._values.add_event(source, tags)
            return
        numbers, before = self._numbers, len(self._numbers)
        for term, number in run.numbers_of(slots).items():
            if number:
                numbers[term] += number
        if len(numbers) > before and not numbers.keys() <= self._known.keys():
            self._learn(run)

    def _learn(self, run: Run) -> None:
        """Read which terms the digests of a run are of."""
        fields = run.fields()
        for source in set(fields.sources):
            self._known[digest(fmt.source_key(source))] = SOURCE, source
        for flag in set(chain.from_iterable(fields.tags)):
            self._known[digest(fmt.flag_key(flag))] = FLAGS, flag

    def finish(self) -> None:
        """Count the values."""
        for term, number in self._numbers.items():
            field, value = self._known[term]
            self._values.add(field, value, number)
