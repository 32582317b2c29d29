"""What an object has: that of a line of JSON, or the fields of another line.

Rules: an object with exactly the five fields of an event is one, and is taken unchanged. An object
with `content` and only such fields is an event whose other fields are left out. Any other object is
a line of a logger: its time, level and logger are found by their usual names, and the whole line is
the content; of Docker's json-file the content is its `log`, of journald's JSON its `MESSAGE`.
"""

from __future__ import annotations

import math
from functools import partial
from types import NoneType
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from lmdbstore.contract.checking import checked
from lmdbstore.contract.event import Event
from lmdbstore.errors import InvalidEvent, shown
from lmdbstore.times.clock import Clock
from lmdbstore.times.dater import Dater
from lmdbstore.times.text import EARLIEST, TextClock, number_seconds

from .fields import JOURNAL_TIME, LEVELS, LOGGERS, TIMES, at_path, first_field, level_of_value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .common import Maker

__all__ = ["Objects", "Row", "Shape", "UnreadableLine", "known", "loaded", "logged"]

_EVENT = frozenset(Event._fields)
_OWN_FIELDS = {
    "--time-field": "timestamp",
    "--message-field": "content",
    "--tags-field": "tags",
    "--source-field": "source",
}
_RECORDS = frozenset({"Records"})
_DOCKER = frozenset({"log", "stream", "time", "attrs"})


class UnreadableLine(Exception):
    """A line that cannot be made into an event; the message gives the reason."""


class Row(NamedTuple):
    """What is found in an object; `own` is an event of our own export, or None."""

    time: float | None
    tags: list[str]
    content: str
    source: str | None = None
    own: Event | None = None


_row = partial(tuple.__new__, Row)
_NUMBERS = {int, float}  # not bool
_SIMPLE = {str, int, NoneType}


def loaded(text: str) -> Any:
    """Return the value of a text that is JSON, else None."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def known(time: float | None) -> bool:
    """Return whether there is a time that does not contradict itself."""
    return time is not None and time == time  # noqa: PLR0124  NaN


class Shape(NamedTuple):
    """What the names of the fields of an object say, whatever is in the fields."""

    plain: bool  # it is the line of a logger: no event, and not several records
    levels: list[str]  # of the usual names those that it has, or may have
    loggers: list[str]
    times: list[str]
    level: str | None  # the field of the level, if there is one such name at most
    logger: str | None
    is_simple: bool  # `level` and `logger` say all


class Objects:
    """Finds what the objects of one input have."""

    def __init__(self, maker: Maker) -> None:
        """Find it as the options of the input say."""
        self._maker, self._options, self._report = maker, maker.options, maker.report
        self._clock = TextClock(maker.setting, maker.given)
        self._dater = Dater(maker.setting, maker.options.time_format)
        self._given = None if maker.given is None else Clock(maker.given, maker.setting)
        self._path: str | None = maker.options.time_field
        self.begin()

    def begin(self) -> None:
        """Begin another block: what is remembered to save time is of the objects of one block."""
        self._shapes: dict[tuple[str, ...], Shape] = {}
        self._tags: dict[tuple[Any, Any], list[str]] = {}  # by what level and logger are

    def shape(self, found: dict[str, Any]) -> Shape:
        """Return the shape of an object; of objects with the same names it is the same."""
        names = tuple(found)
        return self._shapes.get(names) or self._new_shape(names, found)

    def _new_shape(self, names: tuple[str, ...], found: dict[str, Any]) -> Shape:
        is_own = found.keys() <= _EVENT and "content" in found
        levels, loggers, times = (_of(found, some) for some in (LEVELS, LOGGERS, TIMES))
        few = len(levels) <= 1 and len(loggers) <= 1
        shape = self._shapes[names] = Shape(
            plain=not is_own and found.keys() != _RECORDS,
            levels=levels,
            loggers=loggers,
            times=times,
            level=levels[0] if levels else None,
            logger=loggers[0] if loggers else None,
            is_simple=few and all(name in found for name in levels + loggers),
        )
        return shape

    def rows(self, text: str, found: dict[str, Any]) -> list[tuple[str, Row]]:
        """Return the texts of the records of an object, and what they have.

        Raises:
            UnreadableLine: it is an event that cannot be stored.
        """
        if found.keys() <= _EVENT and "content" in found:
            return [(text, self._own(found))]
        if found.keys() == _RECORDS and _are_objects(found["Records"]):  # a file of CloudTrail
            texts = [orjson.dumps(one).decode() for one in found["Records"]]
            rows = zip(texts, found["Records"], strict=True)
            return [(text, self.row(one, text)) for text, one in rows]
        return [(text, self.row(found, logged(found, text)))]

    def text_time(self, text: str) -> float | None:
        """Return the time of a line that is no object."""
        (time,), _ = self._dater.date([text])
        if time is not None:
            self._found("--time-format")
        return time

    def row(self, found: dict[str, Any], content: str) -> Row:
        """Return what the line of a logger has; `content` is it unless an option names a field."""
        shape = self.shape(found)
        return self.dated_row(found, content, self._time_of(found, shape), shape)

    def dated_row(
        self, found: dict[str, Any], content: str, time: float | None, shape: Shape
    ) -> Row:
        """Return what `row` does, for an object of this shape of which `times` gave the time."""
        options, source = self._options, None
        tags = self._tags_of(found, shape)
        if options.tags_field and (value := at_path(found, options.tags_field)) is not None:
            self._found("--tags-field")
            tags = list(dict.fromkeys([*tags, *_texts(value)]))
        if options.source_field and (value := at_path(found, options.source_field)) is not None:
            self._found("--source-field")
            source = _as_text(value) or None
        if options.message_field and (value := at_path(found, options.message_field)) is not None:
            self._found("--message-field")
            content = _as_text(value)
        return _row((time, tags, content, source, None))

    def _tags_of(self, found: dict[str, Any], shape: Shape) -> list[str]:
        """Return the tags for the level and the logger of an object; equal ones share a list."""
        level, logger = found.get(shape.level), found.get(shape.logger)  # type: ignore[arg-type]  # no field is None
        if not (shape.is_simple and type(level) in _SIMPLE and type(logger) in _SIMPLE):
            return self._new_tags(found, shape)
        tags = self._tags.get((level, logger))
        if tags is None:
            tags = self._tags[level, logger] = self._new_tags(found, shape)
        return tags

    def _new_tags(self, found: dict[str, Any], shape: Shape) -> list[str]:
        if not self._options.levels:
            return self._maker.tags
        tags = self._maker.with_level(first_field(found, shape.levels, level_of_value))
        if logger := first_field(found, shape.loggers, _text):
            tags = list(dict.fromkeys([*tags, f"logger:{logger}"]))
        return tags

    def _found(self, option: str) -> None:
        """Note that a line has what an option asks for."""
        self._report.missing.pop(option, None)

    # -- our own events ------------------------------------------------------------------------

    def _own(self, found: dict[str, Any]) -> Row:
        stated: Any = found.get("timestamp")
        for option, wish in list(self._report.missing.items()):
            if wish == _OWN_FIELDS.get(option) and found.get(wish) is not None:
                self._found(option)
        try:
            event = checked(
                Event(
                    "any" if found.get("id") is None else found["id"],
                    self._maker.source if found.get("source") is None else found["source"],
                    0.0 if type(stated) in {type(None), str, int, float} else stated,
                    found.get("tags"),
                    found["content"],
                )
            )
            time = self._stated(stated, event.content, whole=len(found) == len(_EVENT))
            tags = list(dict.fromkeys([*event.tags, *self._maker.tags]))
            seconds = 0.0 if time is None or math.isnan(time) else time
            event = checked(event._replace(tags=tags, timestamp=seconds))
        except InvalidEvent as error:
            raise UnreadableLine(str(error)) from None
        if found.get("id") is None:
            event = event._replace(id="")  # one made from the line
        return Row(event.timestamp if known(time) else time, tags, event.content, own=event)

    def _stated(self, stated: float | str | None, content: str, *, whole: bool) -> float | None:
        """Return the time of an event; a whole event has seconds, else the size decides."""
        if stated is None:
            return self.text_time(content)
        if not isinstance(stated, str):
            return stated if whole else number_seconds(stated)
        time = self._read_time(stated)
        if time is None:
            remedy = "give seconds since 1970, or ISO 8601"
            raise UnreadableLine(f"timestamp: {shown(stated)} is not a time; {remedy}")
        return time

    # -- times ----------------------------------------------------------------------------------

    def times(self, found: Sequence[dict[str, Any]]) -> list[float | None]:
        """Return the times of lines of loggers, in their order."""
        times: list[float | None] = []
        while len(times) < len(found):
            times += self._times_alike(found, len(times))
            if len(times) < len(found):
                one = found[len(times)]
                times.append(self._time_of(one, self.shape(one)))
        return times

    def _times_alike(self, found: Sequence[dict[str, Any]], start: int) -> list[float | None]:
        """Return the times of some objects that have it where the one before had it."""
        name = self._path
        if self._options.time_field or self._given is not None or name is None:
            return []
        texts: list[str] = []
        numbers: list[float | None] = []
        for n in range(start, len(found)):
            one = found[n]
            value = one.get(name) or at_path(one, name)
            if type(value) in _NUMBERS and EARLIEST <= value < 2**63 and not texts:
                numbers.append(number_seconds(value))
            elif type(value) is str and not (name == "time" and "date" in one) and not numbers:
                texts.append(value)
            else:
                break
        if numbers:
            return numbers
        return self._clock.read_alike(texts)

    def _time_of(self, found: dict[str, Any], shape: Shape) -> float | None:
        if self._options.time_field:
            time = self._read_time(at_path(found, self._options.time_field))
            if time is not None:
                self._found("--time-field")
            return time
        if self._path and (time := self._usual_time(found, self._path)) is not None:
            return time
        for name in shape.times:
            if (time := self._usual_time(found, name)) is not None:
                self._path = name
                return time
        return None

    def _usual_time(self, found: dict[str, Any], name: str) -> float | None:
        """Return the time in a field; a time of day may have its date in another one."""
        value = at_path(found, name)
        if value is None:
            return None
        if name == "time" and isinstance(value, str) and ":" in value[:3] and "date" in found:
            time = self._read_time(f"{found['date']} {value}")
            if time is not None:
                return time
        return self._read_time(value)

    def _read_time(self, value: Any) -> float | None:
        if isinstance(value, str):
            if self._given is not None and self._given.match(value):
                self._given = None  # it has to fit only once
                self._found("--time-format")
            return self._clock.read(value)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return number_seconds(value) if EARLIEST <= value < 2**63 else None
        if isinstance(value, dict):
            if "$date" in value:  # MongoDB
                return self._read_time(value["$date"])
            if isinstance(second := value.get("epochSecond"), int):  # log4j2
                nano = value.get("nanoOfSecond")
                return (second * 10**9 + (nano if isinstance(nano, int) else 0)) / 10**9
            if "$numberLong" in value:
                return self._read_time(value["$numberLong"])
        return None


def _of(found: dict[str, Any], names: Sequence[str]) -> list[str]:
    """Return those of the names that an object has, and paths of which it has the beginning."""
    return [name for name in names if name in found or name.partition(".")[0] in found]


def _are_objects(value: Any) -> bool:
    return isinstance(value, list) and all(type(one) is dict for one in value)


def logged(found: dict[str, Any], text: str) -> str:
    """Return what was logged: of Docker and journald it is in a field."""
    if "log" in found and found.keys() <= _DOCKER and isinstance(found["log"], str):
        return _storable(found["log"].removesuffix("\n"))
    if JOURNAL_TIME in found and "MESSAGE" in found:
        return _as_text(found["MESSAGE"])
    return text


def _text(value: Any) -> str | None:
    return _storable(value) if isinstance(value, str) and value else None


def _texts(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [_as_text(one) for one in values if one is not None]


def _as_text(value: Any) -> str:
    """Return a value as text; journald gives bytes that are not UTF-8 as numbers."""
    if value is None:
        return ""
    if isinstance(value, str):
        return _storable(value)
    if isinstance(value, list) and value and all(type(n) is int and 0 <= n < 256 for n in value):  # noqa: PLR2004  bytes
        return bytes(value).decode("utf-8", "backslashreplace")
    return orjson.dumps(value).decode()


def _storable(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
