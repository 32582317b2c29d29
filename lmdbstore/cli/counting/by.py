"""The option `--count-by` of `search`: by what events are counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lmdbstore.times.zones import LocalZone

from .caught import print_caught
from .histogram import print_histogram
from .periods import period_of
from .top import print_top

if TYPE_CHECKING:
    from lmdbstore.cli.opening import Location

__all__ = ["print_counts"]

FIELDS = {"flag": "flags", "flags": "flags", "source": "source"}


def print_counts(  # noqa: PLR0913
    db: Location,
    by: str,
    conditions: dict[str, Any],
    timeout: float | None,
    *,
    as_json: bool,
    colour: bool,
) -> int:
    """Print how many of the events that are sought there are by `by`; return the exit status.

    It is a period, `flag`, `source`, or else a regular expression: what that catches is counted.
    """
    if (period := period_of(by)) is not None:
        zone = LocalZone()
        return print_histogram(
            db, period, zone, conditions, timeout, as_json=as_json, colour=colour
        )
    if (field := FIELDS.get(by.strip().lower())) is not None:
        return print_top(db, (field,), None, conditions, timeout, as_json=as_json, colour=colour)
    return print_caught(db, by, conditions, timeout, as_json=as_json, colour=colour)
