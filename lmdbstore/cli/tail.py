"""The command `tail`: the newest events, and then those that come.

Rules: the newest are by time, and what comes is in the order of commits. No event is left out
between the two, and none is printed twice: what was saved while the newest were looked up is given
by both, and skipped then. Later nothing is: the same event may be saved again.
"""

from __future__ import annotations

import sys
from itertools import chain
from typing import TYPE_CHECKING, TypedDict

from .opening import open_to_read
from .search import FOUND, NOTHING
from .showing.lines import header_of, line_maker

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmdbstore.contract.api import EventStore
    from lmdbstore.contract.event import Event

    from .opening import Location
    from .showing.lines import Look

__all__ = ["Chosen", "run_tail"]


class Chosen(TypedDict):
    """The conditions, by the parameters of `follow`."""

    flags: tuple[str, ...]
    match: str | None
    source: str | None


def run_tail(  # noqa: PLR0913
    db: Location, number: int, chosen: Chosen, look: Look, timeout: float | None, *, follow: bool
) -> int:
    """Print the last `number` events; return the exit status."""
    with open_to_read(db, timeout) as store:
        line = line_maker(store, chosen, look)
        place = store.position()
        newest = list(store.search(order="desc", limit=number, **chosen))
        sys.stdout.buffer.write(header_of(look))
        for event in reversed(newest):
            sys.stdout.buffer.write(line(event))
        if follow:
            _follow(store, place, newest, chosen, line)
    return FOUND if newest else NOTHING


def _follow(
    store: EventStore,
    place: str,
    newest: list[Event],
    chosen: Chosen,
    line: Callable[[Event], bytes],
) -> None:
    """Print what comes after `place`, as it comes, except what is printed already."""
    printed = {event.id: event for event in newest}
    sys.stdout.buffer.flush()
    reached = store.position()
    both = store.changes(place, reached, **chosen)
    new = (event for event in both if printed.get(event.id) != event)
    for event in chain(new, store.follow(reached, **chosen)):
        sys.stdout.buffer.write(line(event))
        sys.stdout.buffer.flush()
