"""The limits of a purge, and which events it may delete: the arguments, checked.

Rules: every error in an argument is found here, before the store is touched.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from lmdbstore.contract.query import (
    checked_flags,
    checked_number,
    checked_pattern,
    checked_seconds,
    checked_text,
    refuse,
)
from lmdbstore.disk import format as fmt

from .choice import Chosen

if TYPE_CHECKING:
    from lmdbstore.patterns.pattern import Pattern

__all__ = ["Retention", "checked_retention"]


class Retention(NamedTuple):
    """The limits of a purge, and which events it may delete."""

    before: bytes  # the first timeline key that is not too old
    max_events: int | None
    max_bytes: int | None
    terms: tuple[bytes, ...]  # the keys of flags, and of a source, that an event must have
    keep_flags: tuple[bytes, ...]
    any_flags: tuple[bytes, ...]
    pattern: Pattern | None

    @property
    def chosen(self) -> Chosen:
        """The events that it may delete."""
        return Chosen(self.terms, self.keep_flags, self.any_flags, self.pattern)

    @property
    def counted(self) -> Chosen:
        """The events that `max_events` counts."""
        return Chosen(self.terms, (), self.any_flags, self.pattern)


def checked_retention(  # noqa: PLR0913  the arguments of a purge
    before: object,
    max_events: object,
    max_bytes: object,
    flags: object,
    keep_flags: object,
    *,
    any_flags: object,
    source: object,
    match: object,
    dry_run: object,
    progress: object,
) -> Retention:
    """Check the arguments of a purge; raises InvalidQuery."""
    if type(dry_run) is not bool:
        refuse("dry_run", dry_run, "pass True or False")
    if progress is not None and not callable(progress):
        refuse("progress", progress, "pass a function of two numbers")
    terms = checked_flags("flags", flags)
    some = checked_flags("any_flags", any_flags)
    if before is None and max_events is None and max_bytes is None:
        if not (terms or some) and source is None and match is None:
            refuse(
                "before",
                None,
                "pass before=, max_events= or max_bytes=, or flags=, any_flags=, source= or match= "
                "to delete all such events",
            )
        before = math.inf
    sources = () if source is None else (fmt.source_key(checked_text("source", source)),)
    return Retention(
        fmt.FIRST_KEY if before is None else fmt.first_key(checked_seconds("before", before)),
        checked_number("max_events", max_events),
        checked_number("max_bytes", max_bytes),
        (*map(fmt.flag_key, terms), *sources),
        tuple(map(fmt.flag_key, checked_flags("keep_flags", keep_flags))),
        tuple(map(fmt.flag_key, some)),
        None if match is None else checked_pattern(match),
    )
