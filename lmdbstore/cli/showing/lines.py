"""The lines that events are printed as.

Rules: a pipe gets the unchanged bytes of the contents. A terminal gets no control characters. A
line of JSON, or a row of CSV, has exactly the fields of an event, so that `import` can read it.
"""

from __future__ import annotations

import re
import sys
import time
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from lmdbstore.cli.terminal import coloured, colourful, is_terminal, visible
from lmdbstore.patterns.pattern import compile_pattern
from lmdbstore.rows import HEADER, csv_row, json_row

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from lmdbstore.contract.api import EventView
    from lmdbstore.contract.event import Event

__all__ = ["Colour", "Form", "Look", "form_of", "header_of", "line_maker"]

Form = Literal["default", "raw", "jsonl", "csv"]
Colour = Literal["auto", "always", "never"]
_BY_NAME: dict[str, Form] = {".csv": "csv", ".jsonl": "jsonl"}
_UNSAFE_IN_JSON = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class Look(NamedTuple):
    """What the lines look like."""

    form: Form = "default"
    colour: Colour = "auto"
    only_matching: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether whole events are printed, for programs."""
        return self.form in {"jsonl", "csv"}

    @property
    def is_colourful(self) -> bool:
        """Whether there are colours."""
        return self.colour == "always" or (self.colour == "auto" and colourful())


def form_of(file: Path) -> Form:
    """Return the form of a file by its name."""
    return _BY_NAME.get(file.suffix.lower(), "default")


def header_of(look: Look) -> bytes:
    """Return what comes before the first line."""
    return f"{HEADER}\n".encode() if look.form == "csv" else b""


def line_maker(view: EventView, sought: Mapping[str, Any], look: Look) -> Callable[[Event], bytes]:
    """Return a function that makes the lines of events that are sought in `view`, in bytes."""
    terminal = is_terminal(sys.stdout)
    if look.form == "jsonl":
        return _safe_json_line if terminal else json_row
    if look.form == "csv":
        return _visible_row if terminal else csv_row
    match = sought["match"]
    if look.only_matching:
        return _parts_maker(match or "", terminal=terminal)
    spans = compile_pattern(match).spans if match and look.is_colourful else None
    if look.form == "default" and terminal:
        from .on_terminal import TerminalLines  # it needs rich, which takes long to import

        with_source = sought["source"] is None and len(view.sources()) > 1
        colour = look.is_colourful
        lines = TerminalLines(spans, time.time(), with_source=with_source, colour=colour)
        return lambda event: _encoded(lines.line(event))
    if spans is not None:
        return lambda event: _encoded(coloured(event.content, spans))
    return _visible_line if terminal else _plain_line


def _parts_maker(match: str, *, terminal: bool) -> Callable[[Event], bytes]:
    """Return a function that makes a line of each part of an event that matches, as grep does."""
    spans = compile_pattern(match).spans

    def parts(event: Event) -> bytes:
        text = event.content
        found = [text[start:end] for start, end in spans(text) if start < end]
        return b"".join(
            _encoded(visible(one)) if terminal else one.encode() + b"\n" for one in found
        )

    return parts


def _plain_line(event: Event) -> bytes:
    return event.content.encode() + b"\n"


def _visible_line(event: Event) -> bytes:
    return _encoded(visible(event.content))


def _visible_row(event: Event) -> bytes:
    return _encoded(visible(csv_row(event).decode()[:-1]))


def _encoded(text: str) -> bytes:
    # A terminal may lack a character in its encoding; an escape is printed instead of an error.
    return text.encode(sys.stdout.encoding or "utf-8", "backslashreplace") + b"\n"


def _safe_json_line(event: Event) -> bytes:
    text = _UNSAFE_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", json_row(event).decode())
    return _encoded(text[:-1])
