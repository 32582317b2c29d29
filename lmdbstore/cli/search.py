"""The command `search`: passes the conditions to the store, and prints the events as lines.

Rules: a pipe gets the unchanged bytes of the contents. A terminal gets no control characters. A
line of JSON has exactly the fields of an event, so that `import` can read it.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, TypedDict

import orjson

from lmdbstore.errors import StoreDamaged
from lmdbstore.patterns.pattern import compile_pattern

from .opening import open_to_read
from .terminal import colourful, complain, highlighted, is_terminal, visible

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lmdbstore import Event, EventView, LeftOut
    from lmdbstore.contract.types import Damaged, Order

__all__ = ["FOUND", "NOTHING", "Sought", "line_maker", "run_search"]

FOUND, NOTHING = 0, 1  # exit statuses, as in grep
INCOMPLETE = 3  # damaged events were left out
# Characters. The time to find all matches in a text may grow with the square of its length.
LONGEST_COLOURED = 10_000
_UNSAFE_IN_JSON = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


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


def run_search(db: Path, sought: Sought, mode: str, timeout: float | None = None) -> int:
    """Print the result as `mode` ("text", "json", "count", "explain"); return the exit status."""
    with open_to_read(db, timeout) as store:
        if mode == "explain":
            print(store.explain(**sought))  # noqa: T201
            return FOUND
        try:
            if mode == "count":
                number = store.count(**sought)
                print(number)  # noqa: T201
                return _status(number.left_out, any_found=number > 0)
            return _print_events(store, sought, line_maker(sought["match"], mode))
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


def line_maker(match: str | None, mode: str) -> Callable[[Event], bytes]:
    """Return a function that makes the line of an event, in bytes."""
    terminal = is_terminal(sys.stdout)
    if mode == "json":
        return _safe_json_line if terminal else _json_line
    if not terminal:
        return _plain_line
    if not match or not colourful():
        return _visible_line
    pattern = compile_pattern(match)

    def coloured(event: Event) -> bytes:
        if len(event.content) > LONGEST_COLOURED:
            return _visible_line(event)
        return _encoded(highlighted(event.content, pattern.spans(event.content)))

    return coloured


def _plain_line(event: Event) -> bytes:
    return event.content.encode() + b"\n"


def _visible_line(event: Event) -> bytes:
    return _encoded(visible(event.content))


def _encoded(text: str) -> bytes:
    # A terminal may lack a character in its encoding; an escape is printed instead of an error.
    return text.encode(sys.stdout.encoding or "utf-8", "backslashreplace") + b"\n"


def _json_line(event: Event) -> bytes:
    return orjson.dumps(event._asdict(), option=orjson.OPT_APPEND_NEWLINE)


def _safe_json_line(event: Event) -> bytes:
    text = _UNSAFE_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", _json_line(event).decode())
    return _encoded(text[:-1])
