"""The filter: which records of a page match, decided on their bytes as far as possible.

Rules: pure; records are decoded only where necessary. The test for a pattern is exact. A flag or a
source is first searched for as bytes anywhere in the record; the decoded event confirms each hit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from lmdbstore.disk import format as fmt
from lmdbstore.threads.re2_gate import run_engine

from .record_match import matching_records

if TYPE_CHECKING:
    from lmdbstore.contract.event import Event

    from .plan import Plan

__all__ = ["RecordFilter", "select"]

K = TypeVar("K")
T = TypeVar("T")


class RecordFilter:
    """The tests that a plan applies to the records of its pages."""

    def __init__(self, plan: Plan) -> None:
        """Test for the pattern and the source of the query, and for the flags in `plan.test`."""
        self._pattern, self._source = plan.query.pattern, plan.query.source
        self._flags = plan.test
        texts = [*self._flags, *([] if self._source is None else [self._source])]
        self._needles = [fmt.text_needle(text) for text in texts]
        self._lets_all_through = self._pattern is None and not texts

    @property
    def exact(self) -> bool:
        """Whether every chosen record matches."""
        return not self._needles

    def chosen(self, records: list[bytes]) -> list[int]:
        """Return the numbers of the records that may match, in order."""
        chosen = list(range(len(records)))
        left = records
        for needle in self._needles:
            hits = [n for n, record in enumerate(left) if needle in record]
            chosen, left = select(hits, chosen, left)
        if self._pattern is not None and left:
            hits = run_engine(matching_records, self._pattern, left)
            chosen, left = select(hits, chosen, left)
        return chosen

    def matching(
        self, keys: list[bytes], records: list[bytes], *, filtered: bool
    ) -> tuple[list[bytes], list[Event]]:
        """Return the events that match, and their keys; `filtered`: these records are chosen."""
        if not filtered and not self._lets_all_through:
            keys, records = select(self.chosen(records), keys, records)
        events = fmt.decode(records)
        for flag in self._flags:
            hits = [n for n, event in enumerate(events) if flag in event.tags]
            keys, events = select(hits, keys, events)
        if (source := self._source) is not None:
            hits = [n for n, event in enumerate(events) if event.source == source]
            keys, events = select(hits, keys, events)
        return keys, events


def select(chosen: list[int], keys: list[K], values: list[T]) -> tuple[list[K], list[T]]:
    """Return the keys and values with these numbers."""
    if len(chosen) == len(keys):
        return keys, values
    return [keys[n] for n in chosen], [values[n] for n in chosen]
