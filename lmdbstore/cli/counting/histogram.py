"""The command `histogram`: how many events there are in each period.

Rules: on a pipe, a line is the start of a period in ISO 8601 and a plain number. On a terminal it
is the start as the local clock shows it, the number and a bar; where two periods have one name, the
clock was set, and each has its offset from UTC. JSON is one list.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

from lmdbstore.cli.opening import open_to_read
from lmdbstore.cli.progress import pulse
from lmdbstore.cli.terminal import is_terminal

from .bars import draw
from .periods import fitting, moment_of

if TYPE_CHECKING:
    from datetime import tzinfo

    from lmdbstore.cli.opening import Location
    from lmdbstore.contract.api import EventView

    from .periods import Period

__all__ = ["print_histogram"]

FOUND, NOTHING = 0, 1  # exit statuses, as those of `search`


def print_histogram(  # noqa: PLR0913
    db: Location,
    period: Period | None,
    zone: tzinfo,
    conditions: dict[str, Any],
    timeout: float | None,
    *,
    as_json: bool,
    colour: bool,
) -> int:
    """Print a histogram; without a period, one that fits. Return the exit status."""
    with open_to_read(db, timeout) as store, pulse("counting"), store.snapshot() as view:
        chosen = period or fitting(_span(view, conditions))
        pairs = view.histogram(chosen.bucket, zone, **conditions)
    if as_json:
        rows = [{"start": start, "events": number} for start, number in pairs]
        sys.stdout.write(json.dumps(rows) + "\n")
    elif is_terminal(sys.stdout):
        sys.stdout.writelines(draw(_labelled(pairs, chosen, zone), colour=colour))
    else:
        sys.stdout.writelines(f"{_iso(start, zone)}  {number}\n" for start, number in pairs)
    return FOUND if pairs else NOTHING


def _span(view: EventView, conditions: dict[str, Any]) -> float:
    """Return the seconds from the first event to the last."""
    first = next(view.search(**conditions, limit=1), None)
    last = next(view.search(**conditions, limit=1, order="desc"), None)
    return 0.0 if first is None or last is None else last.timestamp - first.timestamp


def _labelled(
    pairs: list[tuple[float, int]], period: Period, zone: tzinfo
) -> list[tuple[str, int]]:
    labels = [period.label(start, zone) for start, _ in pairs]
    times = Counter(labels)
    return [
        (f"{label} {period.offset(start, zone)}" if times[label] > 1 else label, number)
        for label, (start, number) in zip(labels, pairs, strict=True)
    ]


def _iso(seconds: float, zone: tzinfo) -> str:
    moment = moment_of(seconds, zone)
    return repr(seconds) if moment is None else moment.isoformat()
