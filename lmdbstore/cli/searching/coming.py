"""The events that come after a search, for `search -f`: those that meet its conditions.

Rules: the search is as of a position, and what comes is what was committed after it, so that no
event is left out between the two, and none is printed twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lmdbstore.contract.asking.where import checked_where
from lmdbstore.patterns.pattern import compile_pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from lmdbstore.contract.api import EventStore
    from lmdbstore.contract.event import Event

__all__ = ["coming"]


def coming(
    store: EventStore, position: str, sought: Mapping[str, Any], unlike: str | None
) -> Iterator[Event]:
    """Give the events that are committed after `position`, as they come; does not end.

    What matches the pattern `unlike` is left out.
    """
    meets = _conditions(sought, unlike)
    events = store.follow(
        position, flags=sought["flags"], match=sought["match"], source=sought["source"]
    )
    return filter(meets, events)


def _conditions(sought: Mapping[str, Any], unlike: str | None) -> Callable[[Event], bool]:
    """Return the conditions that `EventStore.follow` does not have."""
    start, end = sought["ts_start"], sought["ts_end"]
    some, none = set(sought["any_flags"]), set(sought["not_flags"])
    where = checked_where(sought["where"])
    pattern = None if unlike is None else compile_pattern(unlike)

    def meets(event: Event) -> bool:
        return (
            (start is None or event.timestamp >= start)
            and (end is None or event.timestamp <= end)
            and (not some or not some.isdisjoint(event.tags))
            and none.isdisjoint(event.tags)
            and (where is None or where.matches(event.content.encode()))
            and (pattern is None or not pattern.found_in(event.content))
        )

    return meets
