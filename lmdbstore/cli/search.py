"""The command `search`: passes the conditions to the store, and prints the events as lines.

Rules: what is printed on standard output does not depend on what else is there. If nothing is
found, a terminal gets the reasons on standard error.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal, TypedDict

from lmdbstore.errors import StoreDamaged

from .opening import open_to_read
from .showing.lines import Look, line_maker
from .terminal import complain, is_terminal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lmdbstore import Event, EventView, LeftOut
    from lmdbstore.contract.types import Damaged, Order

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
    limit: int | None
    damaged: Damaged


def run_search(
    db: Path, sought: Sought, mode: Mode, look: Look, timeout: float | None = None
) -> int:
    """Print the events, or their number, or the plan of the search; return the exit status."""
    with open_to_read(db, timeout) as store:
        if mode == "explain":
            print(store.explain(**sought))  # noqa: T201
            return FOUND
        try:
            if mode == "count":
                number = store.count(**sought)
                print(number)  # noqa: T201
                return _status(number.left_out, any_found=number > 0)
            status = _print_events(store, sought, line_maker(store, sought, look))
            if status == NOTHING and is_terminal(sys.stdout) and is_terminal(sys.stderr):
                from .showing.nothing_found import explained  # few searches need it

                complain(f"nothing was found: {explained(store, sought)}")
            return status
        except StoreDamaged:
            complain(
                "the result is incomplete; 'lmdbstore verify' names the damage, and "
                "--damaged skip leaves it out"
            )
            raise


def _print_events(view: EventView, sought: Sought, line: Callable[[Event], bytes]) -> int:
    any_found = False
    write = sys.stdout.buffer.write
    search = view.search(**sought)
    for event in search:
        any_found = True
        write(line(event))
    return _status(search.left_out, any_found=any_found)


def _status(left_out: LeftOut, *, any_found: bool) -> int:
    """Report what is not in the result, and return the exit status."""
    if left_out:
        complain(f"left out {left_out}; 'lmdbstore verify' names the damage")
        return INCOMPLETE
    return FOUND if any_found else NOTHING
