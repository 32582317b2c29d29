"""The event: its five fields, its id when none is given, and what makes it valid.

Rules: an `Event` is a named tuple, so that a page of them is built without running Python code
for each; it holds what it was given, and `checked` is the one place that decides whether that
can be stored. Validation never writes and never changes the caller's object.
"""

from __future__ import annotations

import math
import os
import time
import uuid
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Self

from lmdbstore.errors import InvalidEvent, InvalidQuery, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["Columns", "Event", "checked", "checked_all", "checked_columns", "checked_id", "new_id"]


SPARE = 256  # ids for which random bytes are fetched at once


class _Fields(NamedTuple):
    id: str
    source: str
    timestamp: float
    tags: list[str]
    content: str


class Event(_Fields):
    """One event.

    `id` is unique in a store; left out, it is a new time-ordered UUIDv7. `source` names what
    produced the event. `timestamp` is in seconds since 1970-01-01 UTC (a float; negative is
    before); left out, it is now. `tags` are strings, called flags where a query asks for them.
    `content` is the text.

    Events compare equal by value, pickle, and unpack in the order of the fields; `_replace`
    makes a changed copy. They are not hashable, since `tags` is a list as in Theia's events; use
    the id as a key. The constructor takes what it is given: an event is checked when it is saved.
    """

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]  # as typeshed does for list: tags are mutable

    def __new__(
        cls,
        id: str | None = None,  # noqa: A002  the field's name in the contract
        source: str = "",
        timestamp: float | None = None,
        tags: Iterable[str] | None = (),
        content: str | None = "",
    ) -> Self:
        """Make an event; `None` means the field was left out."""
        return tuple.__new__(
            cls,
            (
                new_id() if id is None else id,
                source,
                time.time() if timestamp is None else timestamp,
                _as_list(tags),
                "" if content is None else content,
            ),
        )


def _as_list(tags: Any) -> Any:
    # A string is no list of tags; it stays what it is, for save to refuse by name.
    if isinstance(tags, (str, bytes)):
        return tags
    try:
        # By no length, which may be a lie: so it is no list(...).
        return [] if tags is None else [tag for tag in members(tags)]  # noqa: C416
    except TypeError:
        return tags


def members(value: Any) -> Iterator[Any]:
    """Return an iterator; TypeError where there is none.

    Of an object that only has `__getitem__` there is none here: it need never end.
    """
    if not hasattr(type(value), "__iter__"):
        raise TypeError
    return iter(value)


def new_id() -> str:
    """Return a new UUIDv7 (RFC 9562): 48 bits of milliseconds, 12 of their fraction, 62 random.

    Ids made by one process sort in the order they were made, to about a quarter microsecond.
    """
    milliseconds, nanoseconds = divmod(time.time_ns(), 1_000_000)
    fraction = (nanoseconds << 12) // 1_000_000
    random = int.from_bytes(_random(), "big") >> 2
    number = (milliseconds << 80) | (7 << 76) | (fraction << 64) | (2 << 62) | random
    return str(uuid.UUID(int=number))


# Eight random bytes each, from the operating system, fetched for many ids at once: a system call
# gives the interpreter's lock away, and among busy threads it takes long to come back.
_spare: list[bytes] = []
_spare_owner = 0  # the process that fetched them: no two may use the same


def _random() -> bytes:
    global _spare, _spare_owner
    if _spare_owner != os.getpid():
        _spare, _spare_owner = [], os.getpid()
    try:
        return _spare.pop()
    except IndexError:
        fetched = os.urandom(8 * SPARE)
        _spare.extend([fetched[n : n + 8] for n in range(8, len(fetched), 8)])
        return fetched[:8]


def checked(event: object) -> Event:
    """Return `event` as an `Event` that can be stored as it is.

    `event` is any object with the five attributes. A `uuid.UUID` becomes its text, a numeric
    string a timestamp, a missing (None) `tags` or `content` an empty one; a repeated tag is kept
    in its first place.

    Raises:
        InvalidEvent: naming the field, the value and the remedy.
    """
    plain = _plain(event) if type(event) is Event else None
    return _checked(event) if plain is None else plain


def _plain(event: Event) -> Event | None:
    """Return a copy of an event whose fields are as plain as nearly all are; None: look closer.

    It lets nothing through that `_checked` would refuse or change; it is there for speed alone.
    """
    id_, source, timestamp, tags, content = event
    if (
        type(id_) is str is type(source) is type(content)
        and type(timestamp) is float
        and type(tags) is list
        and id_
        and id_.isascii()
        and source.isascii()
        and content.isascii()
        and timestamp - timestamp == 0.0 != timestamp  # finite, and not a zero with a sign
    ):
        tags = tags.copy()
        for tag in tags:
            if type(tag) is not str or not tag.isascii():
                return None
        if len(tags) < 2 or len(set(tags)) == len(tags):  # noqa: PLR2004
            return tuple.__new__(Event, (id_, source, timestamp, tags, content))
    return None


def _checked(event: object) -> Event:
    try:
        fields: Any = event
        id_, source, timestamp = fields.id, fields.source, fields.timestamp
        tags, content = fields.tags, fields.content
    except AttributeError as error:
        raise InvalidEvent(
            f"{shown(event)} is not an event: it has no attribute {error.name!r}; "
            "pass an lmdbstore.Event, or an object with id, source, timestamp, tags and content"
        ) from None
    return tuple.__new__(
        Event,
        (
            _id(id_),
            _text("source", source),
            _seconds(timestamp),
            _tags(tags),
            "" if content is None else _text("content", content),
        ),
    )


def checked_all(events: Iterable[object]) -> Iterator[Event]:
    """Check events one after the other; a refusal tells which of them it is."""
    return _checked_each(_iterator(events), 0)


class Columns(NamedTuple):
    """Checked events, field by field."""

    ids: list[str]
    sources: list[str]
    timestamps: list[float]
    tags: list[list[str]]
    contents: list[str]


def checked_columns(events: Iterable[object], size: int) -> Iterator[Columns]:
    """Check events, `size` of them at once; raises as `checked_all` does."""
    iterator, first = _iterator(events), 0
    # What is checked is let go of before more is read.
    while columns := _next_columns(iterator, size, first):
        first += len(columns.ids)
        yield columns


def _next_columns(events: Iterator[object], size: int, first: int) -> Columns | None:
    some: list[Event] = []
    # What can be changed before the next event is read is copied as it is read.
    tags: list[Any] = []
    try:
        for number, event in enumerate(islice(events, size), first):
            one = event if type(event) is Event else next(_checked_each([event], number))
            some.append(one)
            tags.append(one[3].copy() if type(one[3]) is list else one[3])
    except InvalidEvent:
        _look_at_each(some, tags, first)  # of two that are wrong, the first is named
        raise
    if not some:
        return None
    if plain := _plain_columns(some, tags):
        return plain
    valid = _look_at_each(some, tags, first)
    return _columns(valid, [event.tags for event in valid])


def _look_at_each(some: list[Event], tags: list[Any], first: int) -> list[Event]:
    copies = (event._replace(tags=copy) for event, copy in zip(some, tags, strict=True))
    return list(_checked_each(copies, first))


def _iterator(events: Iterable[object]) -> Iterator[object]:
    if isinstance(events, Event):  # a tuple: its fields would be taken for events
        raise InvalidEvent(f"events: {shown(events)} is one event; pass a list, or use save")
    try:
        return iter(events)
    except TypeError:
        raise InvalidEvent(
            f"events: {shown(events)} is not iterable; pass a list of events"
        ) from None


def _checked_each(events: Iterable[object], first: int) -> Iterator[Event]:
    for number, event in enumerate(events, first):
        try:
            valid = checked(event)
        except InvalidEvent as error:
            raise InvalidEvent(f"{error} (number {number} of the events, from 0)") from None
        yield valid


def _columns(events: Sequence[Event], tags: list[list[str]]) -> Columns:
    """Return the fields of events, with these tags."""
    # Comprehensions: zip would make an iterator for each event.
    return Columns(
        [event[0] for event in events],
        [event[1] for event in events],
        [event[2] for event in events],
        tags,
        [event[4] for event in events],
    )


def _plain_columns(events: Sequence[Event], tags: list[list[str]]) -> Columns | None:
    """Return the fields of events that are all plain, with these tags; None: look at each of them.

    It lets nothing through that `checked` would refuse or change; it is there for speed alone.
    """
    if set(map(type, tags)) != {list}:
        return None
    columns = ids, sources, timestamps, tags, contents = _columns(events, tags)
    flat = list(chain.from_iterable(tags))
    plain = (
        all(map(_plain_texts, (ids, sources, contents, flat)))
        and all(ids)
        and set(map(type, timestamps)) == {float}
        and all(map(math.isfinite, timestamps))
        and 0.0 not in timestamps  # which may have a sign
        and len(flat) == sum(map(len, map(set, tags)))
    )
    return columns if plain else None


def _plain_texts(texts: list[str]) -> bool:
    return set(map(type, texts)) <= {str} and "".join(texts).isascii()


def checked_id(event_id: object) -> str:
    """Return the id of an event as its text (a `uuid.UUID` is taken too), to look it up by.

    Raises:
        InvalidQuery: it is neither a string nor a UUID.
    """
    if isinstance(event_id, str):
        return str.__str__(event_id)
    if isinstance(event_id, uuid.UUID):
        return str(event_id)
    raise InvalidQuery(f"event_id: {shown(event_id)} is not a string; pass the event's id")


def _refuse(field: str, value: object, remedy: str) -> NoReturn:
    raise InvalidEvent(f"{field}: {shown(value)} cannot be stored; {remedy}")


def _id(value: object) -> str:
    text = _text("id", str(value) if isinstance(value, uuid.UUID) else value)
    if not text:
        _refuse("id", value, "give a string that is not empty, or None for a new id")
    return text


def _text(field: str, value: object) -> str:
    if type(value) is not str:
        if not isinstance(value, str):
            _refuse(field, value, "give a str")
        value = str.__str__(value)
    if not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            _refuse(field, value, "it has a lone surrogate, which UTF-8 cannot carry; replace it")
    return value


def _seconds(value: Any) -> float:
    remedy = "give seconds since 1970 as a finite number"
    if type(value) is not float:
        if isinstance(value, (bool, bytes, bytearray, memoryview)):
            _refuse("timestamp", value, remedy)
        try:
            value = float(value)
        except (TypeError, ValueError, OverflowError):
            _refuse("timestamp", value, remedy)
    if not math.isfinite(value):
        _refuse("timestamp", value, remedy)
    seconds: float = value + 0.0  # -0.0 becomes 0.0
    return seconds


def _tags(value: Any) -> list[str]:
    if value is None:
        return []
    if isinstance(value, (str, bytes)):
        _refuse("tags", value, "give a list of strings, such as ['door', 'alarm']")
    try:
        tags = [_text("tags", tag) for tag in members(value)]
    except TypeError:
        _refuse("tags", value, "give a list of strings")
    return tags if len(tags) < 2 else list(dict.fromkeys(tags))  # noqa: PLR2004
