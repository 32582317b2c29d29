"""The command `top`: the most frequent flags and sources.

Rules: on a pipe, a line is `flag:` or `source:` and the text as one word, and a plain number; how
many values there are besides comes last, as `others:flags`. On a terminal each field has a heading
and bars. JSON is one object.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from lmdbstore.cli.opening import open_to_read
from lmdbstore.cli.progress import pulse
from lmdbstore.cli.terminal import is_terminal, one_word

from .bars import draw

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmdbstore.cli.opening import Location
    from lmdbstore.contract.counting.facets import Facet

__all__ = ["print_top"]

FOUND, NOTHING = 0, 1  # exit statuses, as those of `search`
_ONE = {"flags": "flag", "source": "source"}
_MANY = {"flags": "flags", "source": "sources"}


def print_top(  # noqa: PLR0913
    db: Location,
    of: tuple[str, ...],
    number: int | None,
    conditions: dict[str, Any],
    timeout: float | None,
    *,
    as_json: bool,
    colour: bool,
) -> int:
    """Print the most frequent values of some fields, or all of them; return the exit status."""
    with open_to_read(db, timeout) as store, pulse("counting"):
        facets = store.facets(of, number, **conditions)
    if as_json:
        shown = {field: facet._asdict() for field, facet in facets.items()}
        sys.stdout.write(json.dumps(shown) + "\n")
    else:
        terminal = is_terminal(sys.stdout)
        sys.stdout.writelines(_drawn(facets, colour=colour) if terminal else _plain(facets))
    return FOUND if any(facet.values or facet.others for facet in facets.values()) else NOTHING


def _plain(facets: dict[str, Facet]) -> Iterator[str]:
    rows = [
        (f"{_ONE[field]}:{one_word(value)}", events)
        for field, facet in facets.items()
        for value, events in facet.values.items()
    ]
    rows += [(f"others:{_MANY[field]}", facet.others) for field, facet in facets.items()]
    width = max(len(key) for key, _ in rows)
    for key, events in rows:
        yield f"{key:{width}}  {events}\n"


def _drawn(facets: dict[str, Facet], *, colour: bool) -> Iterator[str]:
    for place, (field, facet) in enumerate(facets.items()):
        yield f"{chr(10) if place else ''}{_MANY[field]}\n"
        yield from draw(list(facet.values.items()), "  ", cut=True, colour=colour)
        if facet.others:
            yield f"  and {facet.others:,} more\n"
        elif not facet.values:
            yield "  none\n"
