"""Why a search found nothing: what it looked through, and which of its conditions excludes all."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from lmdbstore.cli.times import local_time
from lmdbstore.errors import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lmdbstore.contract.api import EventView

__all__ = ["explained"]

MOST_NAMES = 5


def explained(view: EventView, sought: Mapping[str, Any]) -> str:
    """Return the reason why a search with these arguments finds nothing in `view`."""
    if not (events := len(view)):
        return "the store is empty"
    for reason in (_range(view, sought), _flags(view, sought), _source(view, sought)):
        if reason:
            return reason
    if sought["limit"] == 0:
        return "the limit is 0"
    others = view.count(**{**sought, "match": None}) if sought["match"] is not None else 0
    if others:
        case = "" if sought["match"].startswith("(?i)") else "; -i ignores case"
        return f"none of {_number(others)} matches {shown(sought['match'])}{case}"
    return f"none of {_number(events)} meets all conditions"


def _number(events: int) -> str:
    return f"{events:,} event{'s' * (events != 1)}"


def _range(view: EventView, sought: Mapping[str, Any]) -> str:
    start, end = sought["ts_start"], sought["ts_end"]
    if start is not None and end is not None and start > end:
        return f"--since, {local_time(start)}, is after --until, {local_time(end)}"
    oldest, newest = (next(view.search(order=order, limit=1)) for order in ("asc", "desc"))
    if start is not None and start > newest.timestamp:
        return f"--since, {local_time(start)}, is after the newest event, {_when(newest)}"
    if end is not None and end < oldest.timestamp:
        return f"--until, {local_time(end)}, is before the oldest event, {_when(oldest)}"
    return ""


def _when(event: Any) -> str:
    return local_time(event.timestamp)


def _flags(view: EventView, sought: Mapping[str, Any]) -> str:
    all_of, one_of = sought["flags"], sought["any_flags"]
    if not all_of and not one_of:
        return ""
    known = view.flags()
    unknown = [flag for flag in all_of if flag not in known]
    if one_of and known.keys().isdisjoint(one_of):
        unknown += one_of
    return f"no event has the flag {shown(unknown[0])}{_near(unknown[0], known)}" if unknown else ""


def _source(view: EventView, sought: Mapping[str, Any]) -> str:
    if (source := sought["source"]) is None or source in (known := view.sources()):
        return ""
    return f"no event has the source {shown(source)}{_near(source, known)}"


def _near(name: str, known: Iterable[str]) -> str:
    """Return the names that are similar to one that is not known, or else some of all."""
    names = list(known)
    near = get_close_matches(name, names, MOST_NAMES)
    near += [one for one in names if name.lower() in one.lower() and one not in near]
    if near:
        return f"; similar: {', '.join(map(shown, near[:MOST_NAMES]))}"
    more = f", and {len(names) - MOST_NAMES:,} more" if len(names) > MOST_NAMES else ""
    return (
        f"; there are {', '.join(map(shown, names[:MOST_NAMES]))}{more}" if names else "; none is"
    )
