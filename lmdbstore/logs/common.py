"""What all readers of an input share: the options, the ids of records, and their events.

Rules: an event without an id gets one made from the key of its file and the number of its first
line (`LineIds`). A record that is read again, or that was not complete, is thus the same event.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol

from lmdbstore.contract.event import Event
from lmdbstore.times.zones import Zones

from .fields import LEVEL, caught

if TYPE_CHECKING:
    import re
    from collections.abc import Sequence

    from lmdbstore.inputs.lines import Block
    from lmdbstore.times.clock import Setting
    from lmdbstore.times.learning import Learnt
    from lmdbstore.times.template import Compiled

    from .input_report import InputReport

__all__ = ["Batch", "LineIds", "Maker", "Options", "Reader", "UncutReader"]

_events = partial(tuple.__new__, Event)


@dataclass(frozen=True)
class Options:
    """How the lines of inputs are read; what is not given is found out."""

    zones: Zones = field(default_factory=Zones)
    year: int | None = None
    time_format: Learnt | None = None
    time_field: str | None = None
    message_field: str | None = None
    tags_field: str | None = None
    source_field: str | None = None
    record_start: re.Pattern[str] | None = None
    each_line: bool = False
    strip_colours: bool = False
    flag_from: re.Pattern[str] | None = None
    levels: bool = True

    def wishes(self) -> dict[str, str]:
        """Return what some line must have for an option to have an effect, by the option."""
        time_format, start = self.time_format, self.record_start
        given = {
            "--time-format": None if time_format is None else time_format.format.name,
            "--time-field": self.time_field,
            "--message-field": self.message_field,
            "--tags-field": self.tags_field,
            "--source-field": self.source_field,
            "--record-start": None if start is None else start.pattern,
        }
        return {option: wish for option, wish in given.items() if wish is not None}


class Batch(NamedTuple):
    """Events, and for each the number of its first line."""

    events: list[Event]
    numbers: list[int]


class Reader(Protocol):
    """Makes the lines of one input into events."""

    @property
    def open_record(self) -> int | None:
        """The number of the first line of the record that the next line may continue."""

    @property
    def cut(self) -> list[str] | None:
        """The tags of the open record, if it is the rest of one that was too long; else None."""

    @property
    def directives(self) -> tuple[str, ...]:
        """The lines that say how the next lines are read."""

    def resume(
        self,
        head: Sequence[str],
        time: float | None,
        cut: Sequence[str] | None,
        directives: Sequence[str],
    ) -> None:
        """Go on in the middle of the input, of which `head` are the first lines.

        `time` is that of the record before, in seconds since 1970; `cut` and `directives` are what
        they were there.
        """

    def read(self, block: Block) -> Batch:
        """Return the events that are complete with this block."""

    def end(self) -> Batch:
        """Return the events that the end of the input completes."""


class LineIds:
    """The ids for records of a file that have none: its key, and the number of the first line.

    The key has 16 hexadecimal digits, and the number 8 or more. Of several records in one line the
    second id ends with `-1`, and so on. The ids of a file therefore ascend, and a batch touches few
    pages of the index of ids.
    """

    def __init__(self, key: str) -> None:
        """Make ids for the records of the file with this key."""
        self._key = key

    def of(self, numbers: Sequence[int]) -> list[str]:
        """Return the ids of the records that begin in these lines."""
        key = self._key
        ids = [f"{key}{number:08x}" for number in numbers]
        if len(set(ids)) < len(ids):
            seen: Counter[str] = Counter()
            for n, one in enumerate(ids):
                if seen[one]:
                    ids[n] = f"{one}-{seen[one]}"
                seen[one] += 1
        return ids


class Maker:
    """Makes records of one input into events."""

    def __init__(  # noqa: PLR0913, PLR0917  what is known of an input
        self,
        source: str,
        key: str,
        tags: list[str],
        setting: Setting,
        options: Options,
        report: InputReport,
    ) -> None:
        """Every event gets `tags`, and `source` if it has none itself; `key` is for its id."""
        self.source, self.tags = source, tags
        self.setting, self.options, self.report = setting, options, report
        self.ids = LineIds(key)
        report.missing = options.wishes()
        self._of_level: dict[str | None, list[str]] = {None: tags}

    @property
    def given(self) -> Compiled | None:
        """The pattern of the format of times that was given, if one was."""
        given = self.options.time_format
        return None if given is None else given.pattern

    def with_level(self, level: str | None) -> list[str]:
        """Return the tags of an event of this level; equal levels share one list."""
        tags = self._of_level.get(level)
        if tags is None:
            tags = self._of_level[level] = [*self.tags, f"{LEVEL}{level}"]
        return tags

    def events(  # noqa: PLR0913, PLR0917  the columns of records
        self,
        numbers: list[int],
        texts: Sequence[str],
        times: Sequence[float],
        tags: list[list[str]],
        contents: Sequence[str] | None = None,
        sources: Sequence[str | None] | None = None,
    ) -> Batch:
        """Return events of records; the content is the text, if it is not given.

        A source that is None is that of the input.
        """
        contents = texts if contents is None else contents
        if pattern := self.options.flag_from:
            tags = [
                list(dict.fromkeys([*some, *caught(pattern, content)]))
                for some, content in zip(tags, contents, strict=True)
            ]
        of_each = [self.source] * len(numbers)
        if sources is not None:
            of_each = [one or self.source for one in sources]
        rows = zip(self.ids.of(numbers), of_each, times, tags, contents, strict=True)
        return Batch(list(map(_events, rows)), numbers)


class UncutReader:
    """What readers share that never cut a record: the time of the record before, for the next."""

    def __init__(self, maker: Maker) -> None:
        """Begin at the start of an input, where no time is known."""
        self._maker, self._report = maker, maker.report
        self._time: float | None = None  # of the record before

    @property
    def cut(self) -> None:
        """See `Reader.cut`: no record is cut."""
        return

    @property
    def directives(self) -> tuple[str, ...]:
        """See `Reader.directives`."""
        return ()

    def resume(
        self,
        head: Sequence[str],  # noqa: ARG002  see Reader
        time: float | None,
        cut: Sequence[str] | None,  # noqa: ARG002
        directives: Sequence[str],  # noqa: ARG002
    ) -> None:
        """See `Reader.resume`."""
        self._time = self._maker.setting.mtime if time is None else time
