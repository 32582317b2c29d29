"""The query: the arguments of a search, checked and turned into plain data.

Rules: every error in an argument is found here, before a store is touched, and named in an
`InvalidQuery`. A `Query` does not depend on a store. Events are ordered by their `Position`: by
timestamp, and by the order of saving among equal timestamps.
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn
from uuid import UUID

from lmdbstore.errors import EventReadException, InvalidQuery, shown
from lmdbstore.threads.deadline import limit_of
from lmdbstore.threads.re2_gate import run_engine
from lmdbstore.threads.reentry import half_imported

from .asking.where import JSONConditions, checked_where
from .checking import checked_id
from .event import NAIVE, members, seconds_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmdbstore.patterns.pattern import Pattern

    from .event import Event

__all__ = [
    "LOCAL_IDS",
    "Position",
    "Query",
    "checked_around",
    "checked_conditions",
    "checked_flags",
    "checked_number",
    "checked_pattern",
    "checked_query",
    "checked_seconds",
    "checked_text",
    "checked_timeout",
    "refuse",
    "whole",
]

LOCAL_IDS = 1 << 48  # every local id is below; no store gives out so many


class Position(NamedTuple):
    """The place of an event in the timeline: unique in its store, and never used again."""

    timestamp: float
    local_id: int

    @property
    def token(self) -> str:
        """The position as a short string, exact and the same on every machine."""
        return f"{self.local_id}@{self.timestamp!r}"

    @classmethod
    def from_token(cls, token: str) -> Position:
        """Read a token back.

        Raises:
            InvalidQuery: it is not the token of a search.
        """
        local_id, _, timestamp = token.partition("@")
        try:
            position = cls(float(timestamp), int(local_id))
        except ValueError:
            position = None
        # Only what `token` has written is valid: " 7_0@1" and "1@nan" would parse as numbers too.
        if position is None or not position.possible or position.token != token:
            refuse("after", token, "pass the token of an earlier search, or one of its events")
        return position

    @property
    def possible(self) -> bool:
        """Whether an event can have this position."""
        timestamp, local_id = self
        negative_zero = timestamp == 0 and math.copysign(1, timestamp) < 0
        return math.isfinite(timestamp) and not negative_zero and 0 < local_id < LOCAL_IDS


class Query(NamedTuple):
    """The conditions of a search; all of them must hold. Both time bounds are inclusive."""

    ts_start: float = -math.inf
    ts_end: float = math.inf
    flags: tuple[str, ...] = ()
    pattern: Pattern | None = None
    descending: bool = False
    source: str | None = None
    limit: int | None = None
    after: Position | None = None
    skip_damaged: bool = False
    any_flags: tuple[str, ...] = ()
    not_flags: tuple[str, ...] = ()
    where: JSONConditions | None = None
    at: int | None = None  # the highest local id of an event that shows

    def admits(self, event: Event) -> bool:
        """Whether the flags, the source and the content of an event are those asked for."""
        tags = set(event.tags)
        return (
            tags.issuperset(self.flags)
            and not (self.any_flags and tags.isdisjoint(self.any_flags))
            and tags.isdisjoint(self.not_flags)
            and self.source in (None, event.source)
            and (self.pattern is None or self.pattern.found_in(event.content))
            and (self.where is None or self.where.matches(event.content.encode()))
        )

    @property
    def impossible(self) -> bool:
        """Whether no event can match, whatever the store holds."""
        return self.ts_start > self.ts_end or self.limit == 0

    def __str__(self) -> str:
        """The conditions, in the words of `EventView.search`."""
        given = {
            "ts_start": self.ts_start if self.ts_start > -math.inf else None,
            "ts_end": self.ts_end if self.ts_end < math.inf else None,
            "flags": list(self.flags) or None,
            "match": self.pattern and self.pattern.text,
            "order": "desc" if self.descending else None,
            "source": self.source,
            "any_flags": list(self.any_flags) or None,
            "not_flags": list(self.not_flags) or None,
            "where": self.where and str(self.where),
            "limit": self.limit,
            "damaged": "skip" if self.skip_damaged else None,
            "at": self.at,
        }
        words = [f"{name}={shown(value)}" for name, value in given.items() if value is not None]
        return f"events with {', '.join(words)}" if words else "all events"


def checked_query(  # noqa: PLR0913  the parameters of the contract
    ts_start: object,
    ts_end: object,
    flags: object,
    match: object,
    order: object,
    *,
    source: object,
    limit: object,
    after: object,
    damaged: object = "raise",
    any_flags: object = None,
    not_flags: object = None,
    where: object = None,
    at: object = None,
    locate: Callable[[str], Position],
    number_of: Callable[[object], int],
) -> Query:
    """Check the arguments of a search and return them as a `Query`.

    `locate` returns the position of an event of the store by its id; it is called only when
    `after` is an event. `number_of` returns the number in `at`, if that is given.

    Raises:
        InvalidQuery: naming the argument, its value and the remedy.
        EventNotFound: `after` is an event that is not in the store.
    """
    descending = _descending(order)
    # What is not given is not checked: most searches have few conditions, and are short.
    every = checked_flags("flags", flags)
    some = () if any_flags is None else checked_flags("any_flags", any_flags)
    if some and not set(some).isdisjoint(every):  # it says nothing more
        some = ()
    elif len(some) == 1:
        every, some = (*every, *some), ()
    return Query(
        ts_start=-math.inf if ts_start is None else checked_seconds("ts_start", ts_start),
        ts_end=math.inf if ts_end is None else checked_seconds("ts_end", ts_end),
        flags=every,
        pattern=None if match is None else checked_pattern(match),
        descending=descending,
        source=None if source is None else checked_text("source", source),
        limit=checked_number("limit", limit),
        skip_damaged=_skip_damaged(damaged),
        any_flags=some,
        not_flags=() if not_flags is None else checked_flags("not_flags", not_flags),
        where=None if where is None else checked_where(where),
        at=None if at is None else number_of(at),
        after=_after(after, locate),
    )


def checked_conditions(flags: object, match: object, source: object) -> Query:
    """Check the arguments that choose events, and return them as a `Query`; raises InvalidQuery."""
    return Query(
        flags=checked_flags("flags", flags),
        pattern=None if match is None else checked_pattern(match),
        source=None if source is None else checked_text("source", source),
    )


def checked_around(
    event: Any, before: object, after: object, same_source: object
) -> tuple[str, int | None, int | None]:
    """Check the arguments of `EventView.around`; return the id of the event, and two numbers."""
    if type(same_source) is not bool:
        refuse("same_source", same_source, "pass True or False")
    numbers = checked_number("before", before), checked_number("after", after)
    return checked_id(getattr(event, "id", event)), *numbers


def refuse(name: str, value: object, remedy: str) -> NoReturn:
    """Raise InvalidQuery for an argument."""
    raise InvalidQuery(f"{name}: {shown(value)} cannot be used; {remedy}")


def checked_seconds(name: str, value: Any) -> float:
    """Return a time as a number, possibly infinite; raises InvalidQuery."""
    remedy = "pass seconds since 1970 as a number, an aware datetime, or None for no bound"
    if isinstance(value, str) and name in ("ts_start", "ts_end"):
        remedy += " (a pattern is passed as match=)"
    if isinstance(value, (str, bytes, bytearray, bool)):
        refuse(name, value, remedy)
    if isinstance(value, datetime):
        moment = seconds_of(value)
        return refuse(name, value, NAIVE) if moment is None else moment
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        refuse(name, value, remedy)
    if math.isnan(seconds):
        refuse(name, value, remedy)
    return seconds + 0.0  # -0.0 becomes 0.0


def _descending(order: object) -> bool:
    plain = str.__str__(order) if isinstance(order, str) else None
    if plain not in ("asc", "desc"):
        refuse("order", order, "pass 'asc' or 'desc'")
    return plain == "desc"


def _skip_damaged(damaged: object) -> bool:
    plain = str.__str__(damaged) if isinstance(damaged, str) else None
    if plain not in ("raise", "skip"):
        refuse("damaged", damaged, "pass 'raise' or 'skip'")
    return plain == "skip"


def checked_text(name: str, value: object) -> str:
    """Return a text that an event may have; raises InvalidQuery."""
    if not isinstance(value, str):
        refuse(name, value, "pass a str")
    text = str.__str__(value)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        refuse(name, value, "it has a lone surrogate, which no event can hold; remove it")
    return text


def checked_flags(name: str, value: Any) -> tuple[str, ...]:
    """Return flags, each once; raises InvalidQuery."""
    if value is None:
        return ()
    remedy = "pass a list of strings, such as ['door', 'alarm']"
    if isinstance(value, (str, bytes)):
        refuse(name, value, remedy)
    try:
        return tuple(dict.fromkeys(checked_text(name, flag) for flag in members(value)))
    except TypeError:
        refuse(name, value, remedy)


def checked_pattern(value: object) -> Pattern:
    """Return a compiled pattern; raises InvalidQuery."""
    if not isinstance(value, str):
        refuse("match", value, "pass a regular expression as a str")
    return run_engine(_compiled, value)


def _compiled(match: str) -> Pattern:
    try:
        from lmdbstore.patterns.pattern import (
            compile_pattern,  # RE2 is loaded only for a pattern
        )
    except ImportError as error:
        raise half_imported(EventReadException, "a pattern", error) from error
    return compile_pattern(match)


def checked_number(name: str, value: object) -> int | None:
    """Return a number of things, or None for no limit; raises InvalidQuery."""
    if value is None:
        return None
    number = whole(value)
    if number is None or number < 0:
        refuse(name, value, "pass a whole number, 0 or more, or None for no limit")
    return min(number, LOCAL_IDS)  # no store has more events, or bytes


def checked_timeout(value: object) -> float | None:
    """Return a time limit in seconds, or None for no limit; raises InvalidQuery."""
    try:
        return limit_of(value)
    except ValueError:
        refuse("timeout", value, "pass seconds as a number, 0 or more, or None to wait for ever")


def whole(value: object) -> int | None:
    """Return a whole number as a plain int; None for anything else."""
    # Operators that a subclass overrides have no effect.
    return int.__int__(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _after(value: Any, locate: Callable[[str], Position]) -> Position | None:
    if value is None:
        return None
    if isinstance(value, str):
        return Position.from_token(str.__str__(value))
    event_id = getattr(value, "id", None)
    if not isinstance(event_id, (str, UUID)):
        refuse("after", value, "pass the token of an earlier search, or one of its events")
    return locate(checked_id(event_id))
