"""What of a record of `logging` becomes what of an event.

Rules: the time, the name of the logger and the level become the timestamp, the source and a flag;
the flag is that of imported logs (`level:error`), so one search finds both. What the caller may
change later is made text in the caller's thread; the rest is done by the thread that writes.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from lmdbstore.contract.event import Event, new_id
from lmdbstore.errors import shown
from lmdbstore.logs.fields import LEVEL, level_named

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Line", "as_json", "cleaned", "dropped_event", "event_of", "json_of", "level_flag"]

# What every record has; the rest came by `extra=`.
_OWN = frozenset({*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"})
_JSON = orjson.OPT_NON_STR_KEYS
DEPTH = 2  # of dicts, beginning with the object itself: attributes of OpenTelemetry are in one


class Line(NamedTuple):
    """What is handed to the thread that writes."""

    timestamp: float
    source: str
    tags: list[str]
    content: str


def level_flag(name: str) -> str:
    """Return the flag of a level, such as `level:warning`; a level of the program has its name."""
    return LEVEL + (level_named(name) or name.lower())


def json_of(text: str, record: logging.LogRecord) -> str:
    """Return a JSON object of the formatted text, as `message`, and of the fields of `extra=`.

    See `as_json`.
    """
    extra = {name: value for name, value in vars(record).items() if name not in _OWN}
    return as_json({"message": text, **extra})


def as_json(fields: dict[str, Any]) -> str:
    """Return a JSON object.

    Values that JSON does not have become their `repr`, and numbers that are not finite null.
    """
    try:
        return orjson.dumps(fields, default=_shown, option=_JSON).decode()
    except TypeError:  # a number that is too large, half a character, or a list inside of itself
        return orjson.dumps(_plain(fields, DEPTH), default=_shown, option=_JSON).decode()


def _plain(value: object, depth: int) -> object:
    """Return a value that JSON has; of a dict, to a depth, only what needs it is changed."""
    if isinstance(value, str):
        return _clean(value)
    try:
        orjson.dumps(value, default=_shown, option=_JSON)
    except TypeError:
        if depth and type(value) is dict:
            return {_clean(name): _plain(inner, depth - 1) for name, inner in value.items()}
        return _shown(value)
    return value


def _shown(value: object) -> str:
    try:
        return _clean(repr(value))
    except Exception:  # noqa: BLE001  any __repr__ may raise anything
        return shown(value)  # which says so


def event_of(line: Line) -> Event:
    """Return the event of a line, with a new id."""
    return Event(new_id(), line.source, line.timestamp, line.tags, line.content)


def cleaned(event: Event) -> Event:
    """Return an event whose texts can be stored: half a character is written as its escape."""
    tags = [_clean(tag) for tag in event.tags]
    return Event(event.id, _clean(event.source), event.timestamp, tags, _clean(event.content))


def _clean(text: object) -> str:
    return str(text).encode("utf-8", "backslashreplace").decode("utf-8")


def dropped_event(number: int, reasons: Iterable[str], tags: list[str]) -> Event:
    """Return the event that says how many records were dropped, and why."""
    event = Event(
        source="lmdbstore.LoggingHandler",
        tags=[level_flag("warning"), "dropped", *tags],
        content=f"{number} log records were dropped: {', '.join(reasons)}",
    )
    return cleaned(event)
