"""Events as they are in the JSON: contents cut to a length, matches marked.

Rules: offsets are in units of UTF-16, as in the strings of a browser.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lmdbstore.contract.event import Event
    from lmdbstore.patterns.pattern import Pattern

    from .limits import Limits

__all__ = ["encoded", "event_object", "units"]

BEYOND = "\U00010000"  # the first character that takes two units


def encoded(answer: object) -> bytes:
    """Return an answer in JSON."""
    return orjson.dumps(answer)


def event_object(
    event: Event, pattern: Pattern | None, limits: Limits, *, whole: bool = False
) -> dict[str, Any]:
    """Return an event as an object of JSON; its content is cut unless it is asked for `whole`."""
    shown = event._asdict()
    content = event.content
    if len(content) > limits.shown and not whole:
        shown["length"] = len(content)
        shown["content"] = content = content[: limits.shown]
    if pattern is not None:
        # The time to find all matches in a text may grow with the square of its length.
        found = islice(pattern.each_span(content[: limits.shown]), limits.marks)
        places = units(content, [place for span in found for place in span])
        shown["marks"] = list(zip(places[::2], places[1::2], strict=True))
    return shown


def units(text: str, places: Sequence[int]) -> list[int]:
    """Return offsets in characters, which rise, as offsets in units of UTF-16."""
    if text.isascii() or not places:
        return list(places)
    return list(_units(text, places))


def _units(text: str, places: Sequence[int]) -> Iterable[int]:
    done = further = 0
    for place in places:
        further += sum(character >= BEYOND for character in text[done:place])
        done = place
        yield place + further
