"""Lines of JSON: events of our own export, and the lines of loggers.

Rules: what a line holds decides, not the name of the file. An object with exactly the five fields
of an event is one, and is taken unchanged. An object with `content` and only such fields is an
event whose other fields are left out. Any other object is a line of a logger: its time, level and
logger are found by their usual names, and the whole line is the content; of Docker's json-file the
content is its `log`, of journald's JSON its `MESSAGE`. A line that is not JSON is kept as text, or
refused if JSON was asked for.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from lmdbstore.contract.checking import checked
from lmdbstore.contract.event import Event
from lmdbstore.errors import InvalidEvent, shown
from lmdbstore.times.clock import Clock
from lmdbstore.times.dater import Dater
from lmdbstore.times.text import EARLIEST, TextClock, number_seconds

from .common import Batch
from .fields import JOURNAL_TIME, LEVELS, LOGGERS, TIMES, at_path, first_field, level_of_value
from .records import bare, few

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lmdbstore.inputs.lines import Block

    from .common import Maker

__all__ = ["JsonReader", "is_json"]

SAMPLE = 100  # lines
_EVENT = frozenset(Event._fields)
_OWN_FIELDS = {
    "--time-field": "timestamp",
    "--message-field": "content",
    "--tags-field": "tags",
    "--source-field": "source",
}
_RECORDS = frozenset({"Records"})
_DOCKER = frozenset({"log", "stream", "time", "attrs"})


def is_json(lines: Sequence[str]) -> bool:
    """Return whether most of the first lines that are not blank are JSON objects."""
    sample = [line for line in lines if line and not line.isspace()][:SAMPLE]
    objects = sum(type(_loaded(line)) is dict for line in sample)
    return objects * 2 > len(sample)


def _loaded(line: str) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return None


class UnreadableLine(Exception):
    """A line that cannot be made into an event; the message gives the reason."""


class _Row(NamedTuple):
    """What is found in an object; `own` is an event of our own export, or None."""

    time: float | None
    tags: list[str]
    content: str
    source: str | None = None
    own: Event | None = None


class JsonReader:
    """Makes lines of JSON into events."""

    def __init__(
        self,
        maker: Maker,
        refuse: Callable[[int, str], None],
        *,
        strict: bool,
        hold: bool,
    ) -> None:
        """Report lines to `refuse`, by number and reason; with `strict`, all that are not JSON.

        With `hold`, lines at the start of the input wait for the first time.
        """
        self._maker, self._refuse, self._strict, self._hold = maker, refuse, strict, hold
        self._options, self._report = maker.options, maker.report
        self._clock = TextClock(maker.setting, maker.given)
        self._dater = Dater(maker.setting, maker.options.time_format)
        self._given = None if maker.given is None else Clock(maker.given, maker.setting)
        self._time: float | None = None  # of the line before
        self._held: list[tuple[int, str, _Row]] = []  # before the first time
        self._path: str | None = maker.options.time_field

    @property
    def open_record(self) -> None:
        """See `Reader.open_record`: each line is whole."""
        return

    def resume(self, head: Sequence[str], time: float | None) -> None:  # noqa: ARG002  see Reader
        """See `Reader.resume`."""
        self._time = self._maker.setting.mtime if time is None else time

    def read(self, block: Block) -> Batch:
        """Return the events of the lines of a block."""
        rows = self._held
        for number, line in enumerate(bare(block.lines), block.first):
            if not line or line.isspace():
                self._report.blank += 1
                continue
            try:
                rows += [(number, text, row) for text, row in self._rows(line)]
            except UnreadableLine as error:
                self._refuse(number, str(error))
        if self._time is None and self._hold and few([line for _, line, _ in rows]):
            self._time = next((row.time for *_, row in rows if _known(row.time)), None)
            if self._time is None:
                return Batch([], [])
        return self.end()

    def end(self) -> Batch:
        """Return the events that have waited for a time."""
        rows, self._held = self._held, []
        if not rows:
            return Batch([], [])
        numbers, lines, found = map(list, zip(*rows, strict=True))
        made = self._maker.events(
            numbers,
            lines,
            self._times(found),
            [row.tags for row in found],
            [row.content for row in found],
        )
        events = made.events
        for n, (row, event) in enumerate(zip(found, events, strict=True)):
            if row.own is not None:
                own = row.own if row.own.id else row.own._replace(id=event.id)
                events[n] = own._replace(timestamp=event.timestamp)
            elif row.source is not None:
                events[n] = event._replace(source=row.source)
        return made

    def _times(self, rows: list[_Row]) -> list[float]:
        """Return the times of rows, for a row without one that of the row before it."""
        if self._time is None:
            first = next((row.time for row in rows if _known(row.time)), None)
            self._time = self._maker.setting.mtime if first is None else first
        times, last = [], self._time
        for row in rows:
            if row.time is None:
                self._report.undated += 1
            elif math.isnan(row.time):
                self._report.contradictory += 1
            else:
                self._report.own += 1
                last = row.time
            times.append(last)
        self._time = last
        return times

    def _rows(self, line: str) -> list[tuple[str, _Row]]:
        try:
            found, reason = orjson.loads(line), ""
        except orjson.JSONDecodeError as error:
            found, reason = None, f"not JSON: {error.msg} at column {error.colno}"
        if type(found) is not dict:
            if self._strict:
                raise UnreadableLine(reason or "not a JSON object")
            if reason:
                self._report.not_json += 1
            else:
                self._report.not_object += 1
            return [(line, _Row(self._text_time(line), self._maker.tags, line))]
        if found.keys() <= _EVENT and "content" in found:
            return [(line, self._own(found))]
        if found.keys() == _RECORDS and _are_objects(found["Records"]):  # a file of CloudTrail
            texts = [orjson.dumps(one).decode() for one in found["Records"]]
            rows = zip(texts, found["Records"], strict=True)
            return [(text, self._row(text, one)) for text, one in rows]
        return [(line, self._row(line, found))]

    def _text_time(self, text: str) -> float | None:
        (time,), _ = self._dater.date([text])
        if time is not None:
            self._found("--time-format")
        return time

    def _found(self, option: str) -> None:
        """Note that a line has what an option asks for."""
        self._report.missing.pop(option, None)

    # -- our own events ------------------------------------------------------------------------

    def _own(self, found: dict[str, Any]) -> _Row:
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
        return _Row(event.timestamp if _known(time) else time, tags, event.content, own=event)

    def _stated(self, stated: float | str | None, content: str, *, whole: bool) -> float | None:
        """Return the time of an event; a whole event has seconds, else the size decides."""
        if stated is None:
            return self._text_time(content)
        if not isinstance(stated, str):
            return stated if whole else number_seconds(stated)
        time = self._read_time(stated)
        if time is None:
            remedy = "give seconds since 1970, or ISO 8601"
            raise UnreadableLine(f"timestamp: {shown(stated)} is not a time; {remedy}")
        return time

    # -- lines of loggers ----------------------------------------------------------------------

    def _row(self, line: str, found: dict[str, Any]) -> _Row:
        options = self._options
        level = first_field(found, LEVELS, level_of_value) if options.levels else None
        tags = self._maker.with_level(level)
        more = []
        if options.levels and (logger := first_field(found, LOGGERS, _text)):
            more.append(f"logger:{logger}")
        if options.tags_field and (value := at_path(found, options.tags_field)) is not None:
            self._found("--tags-field")
            more += _texts(value)
        source = None
        if options.source_field and (value := at_path(found, options.source_field)) is not None:
            self._found("--source-field")
            source = _as_text(value) or None
        return _Row(
            self._time_of(found),
            list(dict.fromkeys([*tags, *more])) if more else tags,
            self._content(line, found),
            source,
        )

    def _content(self, line: str, found: dict[str, Any]) -> str:
        if name := self._options.message_field:
            value = at_path(found, name)
            if value is None:
                return line
            self._found("--message-field")
            return _as_text(value)
        if "log" in found and found.keys() <= _DOCKER and isinstance(found["log"], str):
            return _storable(found["log"].removesuffix("\n"))
        if JOURNAL_TIME in found and "MESSAGE" in found:
            return _as_text(found["MESSAGE"])
        return line

    def _time_of(self, found: dict[str, Any]) -> float | None:
        if self._options.time_field:
            time = self._read_time(at_path(found, self._options.time_field))
            if time is not None:
                self._found("--time-field")
            return time
        if self._path and (time := self._read_time(at_path(found, self._path))) is not None:
            return time
        for name in TIMES:
            if (value := at_path(found, name)) is not None:
                time = self._read_time(value)
                if time is not None:
                    self._path = name
                    return time
        return None

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


def _are_objects(value: Any) -> bool:
    return isinstance(value, list) and all(type(one) is dict for one in value)


def _known(time: float | None) -> bool:
    return time is not None and time == time  # noqa: PLR0124  NaN


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
