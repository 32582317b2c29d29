"""What makes an event valid: one at a time, or field by field for many.

Rules: `checked` is the one place that decides whether an event can be stored. The faster checks
accept nothing that it would refuse or change. Checking never writes and never changes the caller's
object. A refusal names the field, the value and the remedy.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping
from datetime import datetime
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, cast

from lmdbstore.errors import InvalidEvent, InvalidQuery, shown

from .event import NAIVE, Event, members, seconds_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from .types import OnDuplicate

__all__ = [
    "Columns",
    "are_shared",
    "checked",
    "checked_all",
    "checked_checkpoints",
    "checked_columns",
    "checked_id",
    "checked_ids",
    "checked_name",
    "checked_on_duplicate",
    "checked_prefix",
]

FEW = 16  # events whose tags show whether lists are shared
_ON_DUPLICATE: tuple[OnDuplicate, ...] = ("raise", "ignore", "replace")


def checked(event: object) -> Event:
    """Return `event` as an `Event` that can be stored as it is.

    `event` is any object with the five attributes. A `uuid.UUID` becomes its text, a numeric string
    or an aware `datetime` a timestamp, missing (None) `tags` or `content` become empty, and a
    repeated tag is kept in its first place.

    Raises:
        InvalidEvent: naming the field, the value and the remedy.
    """
    plain = _plain(event) if type(event) is Event else None
    return _checked(event) if plain is None else plain


def _plain(event: Event) -> Event | None:
    """Return a copy of an event if its fields are plain, as nearly all are; None: use `_checked`.

    It accepts nothing that `_checked` would refuse or change; its only purpose is speed.
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
    """Check events one after the other; a refusal gives the number of the event."""
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
    is_list = type(events) is list
    # Checked events are released before more are read.
    while columns := _next_columns(iterator, size, first, is_list=is_list):
        first += len(columns.ids)
        yield columns


def _next_columns(
    events: Iterator[object], size: int, first: int, *, is_list: bool
) -> Columns | None:
    if is_list:  # no code of the caller runs between two of its events
        listed = list(islice(events, size))
        if set(map(type, listed)) == {Event}:
            return _columns_of(cast("list[Event]", listed), _copies(listed), first)
        events = iter(listed)
    some: list[Event] = []
    # The caller may change tags before the next event is read, so they are copied at once.
    tags: list[Any] = []
    try:
        for number, event in enumerate(islice(events, size), first):
            one = event if type(event) is Event else next(_checked_each([event], number))
            some.append(one)
            tags.append(_copied(one[3]))
    except InvalidEvent:
        _check_each(some, tags, first)  # if two are wrong, the first is named
        raise
    return _columns_of(some, tags, first) if some else None


def _columns_of(events: list[Event], tags: list[Any], first: int) -> Columns:
    if plain := _plain_columns(events, tags):
        return plain
    valid = _check_each(events, tags, first)
    return _columns(valid, [event.tags for event in valid])


def are_shared(lists: Sequence[object]) -> bool:
    """Whether it is worth it to handle the tags of many events once for each list.

    The first ones decide: an import gives all events of a level one list, and a program mostly
    gives each event its own.
    """
    few = lists[:FEW]
    return len(set(map(id, few))) * 2 <= len(few)


def _copies(events: Sequence[Any]) -> list[Any]:
    """Return copies of the tags of events; events that share a list share its copy."""
    lists = [event[3] for event in events]
    if not are_shared(lists):
        return list(map(_copied, lists))
    copies = {key: _copied(tags) for key, tags in zip(map(id, lists), lists, strict=True)}
    return list(map(copies.__getitem__, map(id, lists)))


def _copied(tags: Any) -> Any:
    return tags.copy() if type(tags) is list else tags


def _check_each(some: list[Event], tags: list[Any], first: int) -> list[Event]:
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
            raise InvalidEvent(f"{error} (number {number} of the events, counted from 0)") from None
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
    """Return the fields of events that are all plain, with these tags; None: check each of them.

    It accepts nothing that `checked` would refuse or change; its only purpose is speed.
    """
    different = tags
    if are_shared(tags):
        different = list(dict(zip(map(id, tags), tags, strict=True)).values())
    if set(map(type, different)) != {list}:
        return None
    columns = ids, sources, timestamps, _, contents = _columns(events, tags)
    flat = list(chain.from_iterable(different))
    plain = (
        all(map(_plain_texts, (ids, sources, contents, flat)))
        and all(ids)
        and set(map(type, timestamps)) == {float}
        and all(map(math.isfinite, timestamps))
        and 0.0 not in timestamps  # a zero may have a sign
        and len(flat) == sum(map(len, map(set, different)))
    )
    return columns if plain else None


def _plain_texts(texts: list[str]) -> bool:
    return set(map(type, texts)) <= {str} and "".join(texts).isascii()


def checked_id(event_id: object) -> str:
    """Return the id of an event as text, for looking it up; a `uuid.UUID` is accepted too.

    Raises:
        InvalidQuery: it is neither a string nor a UUID.
    """
    if isinstance(event_id, str):
        return str.__str__(event_id)
    if isinstance(event_id, uuid.UUID):
        return str(event_id)
    raise InvalidQuery(f"event_id: {shown(event_id)} is not a string; pass the event's id")


def checked_ids(ids: Any) -> list[str]:
    """Return the ids of events as texts, each once, for looking them up; raises InvalidQuery."""
    remedy = f"ids: {shown(ids)} cannot be used; pass a list of ids"
    if isinstance(ids, (str, bytes, Event)):  # their parts would be taken for ids
        raise InvalidQuery(remedy)
    try:
        each = members(ids)
    except TypeError:
        raise InvalidQuery(remedy) from None
    return list(dict.fromkeys(map(checked_id, each)))


def checked_name(name: object) -> str:
    """Return the name of a checkpoint, for looking it up; raises InvalidQuery."""
    if not isinstance(name, str):
        raise InvalidQuery(f"name: {shown(name)} is not a string; pass the checkpoint's name")
    return str.__str__(name)


def checked_prefix(prefix: object) -> str:
    """Return the beginning of names of checkpoints, for looking them up; raises InvalidQuery."""
    if not isinstance(prefix, str):
        raise InvalidQuery(f"prefix: {shown(prefix)} is not a string; pass how the names begin")
    return str.__str__(prefix)


def checked_on_duplicate(on_duplicate: object) -> OnDuplicate:
    """Return what a save does about duplicates; raises InvalidQuery."""
    for known in _ON_DUPLICATE:
        if isinstance(on_duplicate, str) and str.__str__(on_duplicate) == known:
            return known
    raise InvalidQuery(
        f"on_duplicate: {shown(on_duplicate)} is not known; pass 'raise', 'ignore' or 'replace'"
    )


def checked_checkpoints(checkpoint: object) -> dict[str, str]:
    """Return the checkpoints of an argument, which can be stored: each name with its text.

    Raises:
        InvalidQuery: it is something else. So a caller who catches InvalidEvent, to leave out
            invalid events, does not catch this.
    """
    pairs = [checkpoint]
    if checkpoint is None or isinstance(checkpoint, Mapping):
        pairs = list((checkpoint or {}).items())
    remedy = "give a pair of strings: a name that is not empty, and a text; or a dict of such pairs"
    checked = {}
    for pair in pairs:
        if not isinstance(pair, tuple) or len(pair) != 2 or not pair[0]:  # noqa: PLR2004
            raise InvalidQuery(f"checkpoint: {shown(checkpoint)} cannot be stored; {remedy}")
        try:
            name, text = (_text("checkpoint", part) for part in pair)
        except InvalidEvent as error:
            raise InvalidQuery(*error.args) from None
        checked[name] = text
    return checked


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
            _refuse(field, value, "it has a lone surrogate, which UTF-8 cannot encode; replace it")
    return value


def _seconds(value: Any) -> float:
    remedy = "give seconds since 1970 as a finite number, or an aware datetime"
    if type(value) is not float:
        if isinstance(value, datetime):
            seconds = seconds_of(value)
            return _refuse("timestamp", value, NAIVE) if seconds is None else seconds
        if isinstance(value, (bool, bytes, bytearray, memoryview)):
            _refuse("timestamp", value, remedy)
        try:
            value = float(value)
        except (TypeError, ValueError, OverflowError):
            _refuse("timestamp", value, remedy)
    if not math.isfinite(value):
        _refuse("timestamp", value, remedy)
    return float(value + 0.0)  # -0.0 becomes 0.0


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
