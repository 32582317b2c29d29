"""JSON: a line is an object, or objects go on over lines.

Rules: what a line holds decides, not the name of the file; `objects` says what an object has. A
line that is not JSON is kept as text, or refused if lines of JSON were asked for; so is an object
that is damaged, or too long.
"""

from __future__ import annotations

from itertools import compress
from typing import TYPE_CHECKING, Any

import orjson

from .common import Batch, UncutReader
from .objects import Objects, Row, Shape, UnreadableLine, known, loaded, logged
from .records import bare, few

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from lmdbstore.inputs.lines import Block

    from .common import Maker
    from .documents import Documents

__all__ = ["JsonReader", "is_json"]

SAMPLE = 100  # lines


def is_json(lines: Sequence[str]) -> bool:
    """Return whether most of the first lines that are not blank are JSON objects."""
    sample = [line for line in lines if line and not line.isspace()][:SAMPLE]
    objects = sum(type(loaded(line)) is dict for line in sample)
    return objects * 2 > len(sample)


class JsonReader(UncutReader):
    """Makes objects of JSON into events."""

    def __init__(
        self,
        maker: Maker,
        refuse: Callable[[int, str], None],
        *,
        strict: bool,
        hold: bool,
        documents: Documents | None = None,
    ) -> None:
        """Read lines of JSON, or with `documents` objects over several lines.

        Lines are reported to `refuse`, by number and reason; with `strict`, all that are not JSON.
        With `hold`, lines at the start of the input wait for the first time.
        """
        super().__init__(maker)
        self._refuse, self._strict, self._hold = refuse, strict, hold
        self._objects = Objects(maker)
        self._documents = documents
        self._held: list[tuple[int, str, Row]] = []  # before the first time

    @property
    def open_record(self) -> int | None:
        """See `Reader.open_record`: a line is whole, but an object may go on."""
        return None if self._documents is None else self._documents.open_line

    def read(self, block: Block) -> Batch:
        """Return the events of the objects that end in a block."""
        texts: Iterable[tuple[int, str]] = enumerate(bare(block.lines), block.first)
        if self._documents is not None:
            texts = self._documents.split(texts)
        self._add(texts)
        rows = self._held
        if self._time is None and self._hold and few([line for _, line, _ in rows]):
            self._time = next((row.time for *_, row in rows if known(row.time)), None)
            if self._time is None:
                return Batch([], [])
        return self._events()

    def end(self) -> Batch:
        """Return the events that have waited for a time, and that of an unfinished object."""
        if self._documents is not None:
            self._add(self._documents.end())
        return self._events()

    def _add(self, texts: Iterable[tuple[int, str]]) -> None:
        objects = self._objects
        objects.begin()
        parsed: list[tuple[int, str, Any]] = []
        shapes: list[Shape | None] = []
        for item in self._parsed(texts):
            shape = objects.shape(item[2]) if type(item[2]) is dict else None
            parsed.append(item)
            shapes.append(shape)
            if shape is not None and not shape.plain:  # it may say where the next have their times
                self._add_parsed(parsed, shapes)
                parsed, shapes = [], []
        self._add_parsed(parsed, shapes)

    def _add_parsed(self, parsed: list[tuple[int, str, Any]], shapes: list[Shape | None]) -> None:
        """Add the rows of lines with their values; only the last object may not be plain."""
        objects = self._objects
        plain = [shape is not None and shape.plain for shape in shapes]
        times = iter(objects.times([value for *_, value in compress(parsed, plain)]))
        rows = self._held
        for (number, line, value), shape in zip(parsed, shapes, strict=True):
            if shape is not None and shape.plain:
                row = objects.dated_row(value, logged(value, line), next(times), shape)
                rows.append((number, line, row))
                continue
            try:
                rows += [(number, text, row) for text, row in self._rows(line, value)]
            except UnreadableLine as error:
                self._refuse(number, str(error))

    def _parsed(self, texts: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str, Any]]:
        """Give the lines that are not blank, with their values, or errors."""
        loads = orjson.loads
        for number, line in texts:
            if not line or line.isspace():
                self._report.blank += 1
                continue
            try:
                yield number, line, loads(line)
            except orjson.JSONDecodeError as error:
                yield number, line, error

    def _events(self) -> Batch:
        rows, self._held = self._held, []
        if not rows:
            return Batch([], [])
        numbers, lines, found = map(list, zip(*rows, strict=True))
        # One by one: the fields of many rows at once would be as many arguments of `zip`.
        times, tags, contents, sources, owns = ([row[n] for row in found] for n in range(5))
        made = self._maker.events(
            numbers, lines, self._times(times), tags, contents, sources if any(sources) else None
        )
        if any(owns):
            events = made.events
            for n, (own, event) in enumerate(zip(owns, events, strict=True)):
                if own is not None:
                    of_line = own if own.id else own._replace(id=event.id)
                    events[n] = of_line._replace(timestamp=event.timestamp)
        return made

    def _times(self, found: list[float | None]) -> list[float]:
        """Return the times of rows, for a row without one that of the row before it."""
        if self._time is None:
            first = next(filter(known, found), None)
            self._time = self._maker.setting.mtime if first is None else first
        times, last = [], self._time
        undated = contradictory = 0
        for time in found:
            if time is None:
                undated += 1
            elif time != time:  # noqa: PLR0124  NaN
                contradictory += 1
            else:
                last = time
            times.append(last)
        self._time = last
        self._report.undated += undated
        self._report.contradictory += contradictory
        self._report.own += len(times) - undated - contradictory
        return times

    def _rows(self, line: str, value: Any) -> list[tuple[str, Row]]:
        """Return the texts of the records of a line that is not plain, and what they have."""
        if type(value) is dict:
            return self._objects.rows(line, value)
        reason = ""
        if isinstance(value, orjson.JSONDecodeError):
            reason = f"not JSON: {value.msg} at column {value.colno}"
        if self._strict:
            raise UnreadableLine(reason or "not a JSON object")
        if reason:
            self._report.not_json += 1
        else:
            self._report.not_object += 1
        return [(line, Row(self._objects.text_time(line), self._maker.tags, line))]
