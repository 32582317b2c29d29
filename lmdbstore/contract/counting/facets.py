"""Facets: which values of a field are the most frequent, and how often they come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from lmdbstore.contract.event import members
from lmdbstore.contract.query import refuse

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["FLAGS", "SOURCE", "Facet", "Values", "checked_fields"]

FLAGS, SOURCE = "flags", "source"


class Facet(NamedTuple):
    """The most frequent values of a field."""

    values: dict[str, int]
    """How many events have each; the most frequent comes first, equal ones in order of the text."""
    others: int
    """How many values there are besides."""


class Values:
    """How many events have each value of some fields."""

    def __init__(self, fields: Iterable[str]) -> None:
        """Count the values of `fields`; those of others are left out."""
        self._numbers: dict[str, dict[str, int]] = {field: {} for field in fields}

    def add(self, field: str, value: str, number: int = 1) -> None:
        """Count events that have a value."""
        numbers = self._numbers.get(field)
        if numbers is not None:
            numbers[value] = numbers.get(value, 0) + number

    def add_event(self, source: str, flags: Iterable[str]) -> None:
        """Count an event."""
        self.add(SOURCE, source)
        for flag in flags:
            self.add(FLAGS, flag)

    def in_order(self, field: str) -> dict[str, int]:
        """Return all values of a field, in order of the text."""
        return dict(sorted(self._numbers[field].items()))

    def facets(self, limit: int | None) -> dict[str, Facet]:
        """Return the most frequent values of each field, at most so many."""
        return {field: _facet(numbers, limit) for field, numbers in self._numbers.items()}


def _facet(numbers: dict[str, int], limit: int | None) -> Facet:
    ranked = sorted(numbers.items(), key=lambda item: (-item[1], item[0]))[:limit]
    return Facet(dict(ranked), len(numbers) - len(ranked))


def checked_fields(of: Any) -> tuple[str, ...]:
    """Return the fields of an argument, each once; raises InvalidQuery."""
    remedy = "pass a list of 'flags' and 'source'"
    if isinstance(of, (str, bytes)):
        refuse("of", of, remedy)
    try:
        fields = list(members(of))
    except TypeError:
        refuse("of", of, remedy)
    for field in fields:
        if not isinstance(field, str) or str.__str__(field) not in {FLAGS, SOURCE}:
            refuse("of", field, remedy)
    return tuple(dict.fromkeys(map(str.__str__, fields)))
