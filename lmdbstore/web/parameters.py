"""The parameters of a request: which there may be, and what they say.

Rules: a parameter that is unknown, given twice or invalid is refused; nothing is guessed. The store
checks patterns, tokens, positions, flags and sources.
"""

from __future__ import annotations

import math
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl

import orjson

from lmdbstore.contract.query import checked_seconds
from lmdbstore.errors import InvalidQuery

from .refusals import refuse

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["CONDITIONS", "FOLLOWED", "Conditions", "Parameters"]

REPEATABLE = frozenset({"flag", "any_flag", "not_flag"})
FOLLOWED = ("match", "flag", "any_flag", "not_flag", "source", "where")
CONDITIONS = ("since", "until", "at", *FOLLOWED)
MOST = 200  # parameters
_is_number = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII).fullmatch
ENCODED = "(a + in an address is written %2B)"


class Conditions(NamedTuple):
    """Which events are asked for, by the parameters of `EventView.search`."""

    ts_start: float | None = None
    ts_end: float | None = None
    at: str | None = None
    match: str | None = None
    flags: tuple[str, ...] = ()
    any_flags: tuple[str, ...] = ()
    not_flags: tuple[str, ...] = ()
    source: str | None = None
    where: dict[str, Any] | None = None

    @property
    def only_time(self) -> bool:
        """Whether only time and position decide."""
        return self == Conditions(self.ts_start, self.ts_end, self.at)


class Parameters:
    """The parameters of one request."""

    def __init__(self, query: bytes, allowed: Iterable[str]) -> None:
        """Read the query of an address; raises Refusal."""
        known = tuple(allowed)
        self._given: dict[str, list[str]] = {}
        for name, value in _pairs(query):
            if name not in known:
                refuse(name or "parameter", value, f"there is no such one; give {', '.join(known)}")
            values = self._given.setdefault(name, [])
            if values and name not in REPEATABLE:
                refuse(name, value, "it is given twice; give it once")
            values.append(value)

    def text(self, name: str) -> str | None:
        """Return a text; None: it was not given."""
        values = self._given.get(name)
        return values[0] if values else None

    def _texts(self, name: str) -> tuple[str, ...]:
        return tuple(self._given.get(name, ()))

    def number(self, name: str, default: int, least: int, most: int) -> int:
        """Return a whole number."""
        text = self.text(name)
        if text is None:
            return default
        number = int(text) if re.fullmatch(r"\d{1,9}", text, re.ASCII) else -1
        if not least <= number <= most:
            refuse(name, text, f"give a whole number from {least:,} to {most:,}")
        return number

    def choice(self, name: str, *choices: str) -> str:
        """Return one of some words, of which the first is the default."""
        text = self.text(name)
        if text is not None and text not in choices:
            refuse(name, text, f"give {' or '.join(map(repr, choices))}")
        return text or choices[0]

    def conditions(self) -> Conditions:
        """Return which events are asked for."""
        return Conditions(
            self._time("since"),
            self._time("until"),
            self.text("at"),
            self.text("match"),
            self._texts("flag"),
            self._texts("any_flag"),
            self._texts("not_flag"),
            self.text("source"),
            self._where(),
        )

    def _time(self, name: str) -> float | None:
        text = self.text(name)
        if text is None:
            return None
        remedy = f"give seconds since 1970, or ISO 8601 with a zone {ENCODED}"
        try:
            moment = float(text) if _is_number(text) else datetime.fromisoformat(text)
            seconds = checked_seconds(name, moment)
        except (ValueError, InvalidQuery):
            refuse(name, text, remedy)
        if not math.isfinite(seconds):
            refuse(name, text, remedy)
        return seconds

    def _where(self) -> dict[str, Any] | None:
        text = self.text("where")
        if text is None:
            return None
        try:
            found = orjson.loads(text)
        except orjson.JSONDecodeError:
            found = None
        if not isinstance(found, dict):
            refuse("where", text, 'give an object of JSON, such as {"status":500}')
        return {path: _compared(value) for path, value in found.items()}


def _compared(value: Any) -> Any:
    """Return what a field must be: a list that begins with a text is an operator and a value."""
    if not isinstance(value, list):
        return value
    if value and isinstance(value[0], str):
        return tuple(value)
    return [tuple(pair) if isinstance(pair, list) else pair for pair in value]


def _pairs(query: bytes) -> list[tuple[str, str]]:
    try:
        text = query.decode("ascii")
        return parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MOST)
    except UnicodeError:
        refuse("parameters", query, "they are not UTF-8 in percent encoding; correct them")
    except ValueError:
        refuse("parameters", len(query), f"they are too many; give at most {MOST}")
