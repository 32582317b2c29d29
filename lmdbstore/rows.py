"""An event as a row of text, from which the same event can be read: a line of JSON, or CSV.

Rules: a line of JSON is an object with the fields of `Event`, in their order. CSV begins with their
names (`HEADER`). A row ends with a newline. Its text fields are quoted, a quotation mark in them is
doubled, and every other character stays as it is, a newline and NUL too. The timestamp is the
shortest decimal number that is exactly it. The tags are a list in JSON. Fields without quotation
marks are read too, as other programs write them.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from .contract.checking import checked
from .contract.event import Event
from .errors import InvalidEvent, shown

__all__ = ["HEADER", "STARTS", "csv_row", "event_of", "json_row"]

HEADER = ",".join(Event._fields)
STARTS = (f'{{"{Event._fields[0]}":"'.encode(), f"{HEADER}\n".encode())  # of JSON, and of CSV
_cell = re.compile(r'"([^"]*+(?:""[^"]*+)*+)"|([^",]*+)').match


def json_row(event: Event) -> bytes:
    """Return an event as a line of JSON."""
    fields = dict(zip(Event._fields, event, strict=True))
    return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)


def csv_row(event: Event) -> bytes:
    """Return an event as a row of CSV."""
    id_, source, timestamp, tags, content = event
    cells = _quoted(id_), _quoted(source), repr(timestamp), _quoted(orjson.dumps(tags).decode())
    return f"{','.join(cells)},{_quoted(content)}\n".encode()


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def event_of(row: str) -> Event | None:
    """Return the event of a row of CSV, without its end; None for the header.

    Raises:
        InvalidEvent: it is not the row of an event; the message gives the reason.
    """
    cells = _cells(row)
    if len(cells) != len(Event._fields):
        raise InvalidEvent(f"it has {len(cells)} columns instead of {HEADER}")
    if tuple(cells) == Event._fields:
        return None
    id_, source, timestamp, tags, content = cells
    fields = id_, source, timestamp, _list(tags), content
    return checked(tuple.__new__(Event, fields))


def _cells(row: str) -> list[str]:
    cells, at = [], 0
    while found := _cell(row, at):
        quoted, plain = found.groups()
        cells.append(plain if quoted is None else quoted.replace('""', '"'))
        at = found.end()
        if at == len(row):
            break
        if row[at] != ",":
            raise InvalidEvent(f"a quotation mark is out of place before {shown(row[at:])}")
        at += 1
    return cells


def _list(text: str) -> Any:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        found = None
    if type(found) is not list:
        raise InvalidEvent(f'tags: {shown(text)} is not a list in JSON, such as ["door"]')
    return found
