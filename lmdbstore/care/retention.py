"""The limits of a purge, and which events it may delete, by the keys that they have on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lmdbstore.disk import format as fmt

from .choice import Chosen

if TYPE_CHECKING:
    from lmdbstore.contract.asking.retained import Retained
    from lmdbstore.patterns.pattern import Pattern

__all__ = ["Retention", "retention_of"]


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


def retention_of(limits: Retained) -> Retention:
    """Return the limits of a purge as keys."""
    counted = limits.counted
    sources = () if counted.source is None else (fmt.source_key(counted.source),)
    return Retention(
        fmt.FIRST_KEY if limits.before is None else fmt.first_key(limits.before),
        limits.max_events,
        limits.max_bytes,
        (*map(fmt.flag_key, counted.flags), *sources),
        tuple(map(fmt.flag_key, limits.chosen.not_flags)),
        tuple(map(fmt.flag_key, counted.any_flags)),
        counted.pattern,
    )
