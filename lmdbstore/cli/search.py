"""The command `search`: passes the conditions to the store, and prints the events as lines.

Rules: what is printed on standard output does not depend on what else is there. If nothing is
found, a terminal gets the reasons on standard error. Between events that do not follow each other,
`-A`, `-B` and `-C` print `--`, as grep does, but not among whole events.
"""

from __future__ import annotations

import sys
from itertools import islice
from typing import TYPE_CHECKING, Literal, TypedDict

from lmdbstore.errors import StoreDamaged
from lmdbstore.patterns.pattern import compile_pattern

from .opening import open_to_read
from .progress import pulse
from .searching.coming import coming
from .searching.context import Neighbours
from .searching.options import Printed
from .showing.lines import Look, header_of, line_maker
from .terminal import complain, is_terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmdbstore.contract.api import EventStore
    from lmdbstore.contract.event import Event
    from lmdbstore.contract.left_out import LeftOut
    from lmdbstore.contract.search import Search
    from lmdbstore.contract.types import Damaged, Order, Where

    from .opening import Location

__all__ = ["FOUND", "NOTHING", "Sought", "run_search"]

Mode = Literal["events", "count", "explain"]
FOUND, NOTHING = 0, 1  # exit statuses, as in grep
INCOMPLETE = 3  # damaged events were left out


class Sought(TypedDict):
    """The conditions of a search, by the parameters of `EventView.search`."""

    ts_start: float | None
    ts_end: float | None
    flags: tuple[str, ...]
    match: str | None
    order: Order
    source: str | None
    any_flags: tuple[str, ...]
    not_flags: tuple[str, ...]
    where: Where | None
    limit: int | None
    damaged: Damaged


def run_search(  # noqa: PLR0913
    db: Location,
    sought: Sought,
    mode: Mode,
    look: Look,
    timeout: float | None = None,
    *,
    printed: Printed = Printed(),  # noqa: B008  never changed
) -> int:
    """Print the events, or their number, or the plan of the search; return the exit status."""
    unlike = printed.unlike
    with open_to_read(db, timeout) as store:
        if mode == "explain":
            print(store.explain(**sought))  # noqa: T201
            if unlike is not None:
                print(f"  leave out what matches {unlike!r}")  # noqa: T201
            return FOUND
        try:
            if mode == "count":
                with pulse("counting"):
                    number, left_out = _count(store, sought, unlike)
                print(number)  # noqa: T201
                return _status(left_out, any_found=number > 0)
            status = _print_events(store, sought, look, printed)
            on_terminal = is_terminal(sys.stdout) and is_terminal(sys.stderr)
            if status == NOTHING and on_terminal:
                from .showing.nothing_found import explained  # few searches need it

                complain(f"nothing was found: {explained(store, sought)}")
            return status
        except StoreDamaged:
            complain(
                "the result is incomplete; 'lmdbstore verify' names the damage, and "
                "--damaged skip leaves it out"
            )
            raise


def _count(store: EventStore, sought: Sought, unlike: str | None) -> tuple[int, LeftOut]:
    if unlike is None:
        number = store.count(**sought)
        return number, number.left_out
    everything, matching, limit = _unlimited(sought), _unlimited(sought), sought["limit"]
    matching["match"] = unlike
    with store.snapshot() as view:  # both numbers are of one state
        number = view.count(**everything)
        like_it = view.count(**matching)
    unlike_it = number - like_it
    return unlike_it if limit is None else min(unlike_it, limit), number.left_out


def _unlimited(sought: Sought) -> Sought:
    unlimited = sought.copy()
    unlimited["limit"] = None
    return unlimited


def _print_events(store: EventStore, sought: Sought, look: Look, printed: Printed) -> int:
    any_found, alone = False, 0
    write, line = sys.stdout.buffer.write, line_maker(store, sought, look)
    write(header_of(look))
    position = store.position() if printed.follow else None
    search, found = _found(store, sought, printed, position)
    if not any(printed.context):
        for event in found:
            any_found = True
            write(line(event))
    else:
        descending = sought["order"] == "desc"
        skip = sought["damaged"] == "skip"
        neighbours = Neighbours(store, printed.context, descending=descending, skip_damaged=skip)
        for one in neighbours.of(found):
            any_found = True
            if one is not None:
                write(line(one))
            elif not look.is_whole:
                write(b"--\n")
        alone = neighbours.damaged
    if position is not None:
        sys.stdout.buffer.flush()
        for event in coming(store, position, sought, printed.unlike):
            write(line(event))
            sys.stdout.buffer.flush()
    return _status(search.left_out, any_found=any_found, alone=alone)


def _found(
    store: EventStore, sought: Sought, printed: Printed, position: str | None
) -> tuple[Search, Iterator[Event]]:
    """Return a search as of a position, and the events of it that are printed."""
    limit = sought["limit"] if printed.newest is None else printed.newest
    conditions = sought.copy()
    if printed.newest is not None:
        conditions["order"] = "desc"
    conditions["limit"] = limit if printed.unlike is None else None
    search = store.search(**conditions, at=position)
    found: Iterator[Event] = search
    if printed.unlike is not None:
        found = islice(_unlike(search, printed.unlike), limit)
    return search, found if printed.newest is None else reversed(list(found))


def _unlike(search: Search, match: str) -> Iterator[Event]:
    pattern = compile_pattern(match)
    return (event for event in search if not pattern.found_in(event.content))


def _status(left_out: LeftOut, *, any_found: bool, alone: int = 0) -> int:
    """Report what is not in the result, and return the exit status."""
    if left_out:
        complain(f"left out {left_out}; 'lmdbstore verify' names the damage")
    if alone:
        complain(f"left out the neighbours of {alone:,} events, of which some are damaged")
    if left_out or alone:
        return INCOMPLETE
    return FOUND if any_found else NOTHING
