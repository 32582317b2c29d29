"""What a purge leaves and what it deletes: its arguments, checked, for every kind of store.

Rules: every error in an argument is found here, before a store is touched.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from lmdbstore.contract.query import (
    Query,
    checked_conditions,
    checked_flags,
    checked_number,
    checked_seconds,
    refuse,
)

__all__ = ["Retained", "checked_retained"]


class Retained(NamedTuple):
    """The limits of a purge."""

    before: float | None  # seconds; what is older is too old; None: nothing is
    max_events: int | None
    max_bytes: int | None
    counted: Query
    """The events that `max_events` counts."""
    chosen: Query
    """Those of them that may be deleted."""


def checked_retained(  # noqa: PLR0913  the arguments of a purge
    before: object,
    max_events: object,
    flags: object,
    keep_flags: object,
    any_flags: object,
    *,
    source: object,
    match: object,
    dry_run: object,
    progress: object,
    max_bytes: object = None,
    limits: str,
) -> Retained:
    """Check the arguments of a purge; `limits` are the names of those it has, for a message.

    Raises:
        InvalidQuery: one is invalid, or none says which events to delete.
    """
    if type(dry_run) is not bool:
        refuse("dry_run", dry_run, "pass True or False")
    if progress is not None and not callable(progress):
        refuse("progress", progress, "pass a function of two numbers")
    counted = checked_conditions(flags, match, source)
    counted = counted._replace(any_flags=checked_flags("any_flags", any_flags))
    if before is None and max_events is None and max_bytes is None:
        if counted == Query():
            refuse(
                "before",
                None,
                f"pass {limits}, or flags=, any_flags=, source= or match= to delete all such "
                "events",
            )
        before = math.inf
    kept = checked_flags("keep_flags", keep_flags)
    return Retained(
        None if before is None else checked_seconds("before", before),
        checked_number("max_events", max_events),
        checked_number("max_bytes", max_bytes),
        counted,
        counted._replace(not_flags=kept),
    )
