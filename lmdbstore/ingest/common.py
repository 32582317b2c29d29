"""What all readers of an input share: the options, the ids of records, and their events.

Rules: an event without an id gets one made from its source, the number of its first line and its
text (`LineIds`). The same record of the same source is thus the same event in every import.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from itertools import repeat
from typing import TYPE_CHECKING, NamedTuple, Protocol

from lmdbstore.contract.event import Event
from lmdbstore.times.zones import Zones

from .fields import LEVEL, caught

if TYPE_CHECKING:
    import re
    from collections.abc import Sequence

    from lmdbstore.times.clock import Setting
    from lmdbstore.times.learning import Learnt
    from lmdbstore.times.template import Compiled

    from .lines import Block
    from .report import InputReport

__all__ = ["Batch", "LineIds", "Maker", "Options", "Reader"]

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

    def read(self, block: Block) -> Batch:
        """Return the events that are complete with this block."""

    def end(self) -> Batch:
        """Return the events that the end of the input completes."""


class LineIds:
    """The ids for records of a source that have none: 32 hexadecimal digits.

    The first 8 are the BLAKE2b digest, of 4 bytes, of the source in UTF-8. The next 8 are the
    number of the first line, from 1. The last 16 are the BLAKE2b digest, of 8 bytes, of the source,
    a NUL, the number in decimal digits, a NUL, and the text in UTF-8 with newlines between its
    lines. The ids of a file therefore ascend, and a batch touches few pages of the index of ids.
    """

    def __init__(self, source: str) -> None:
        """Make ids for the records of `source`."""
        name = source.encode()
        self._first = blake2b(name, digest_size=4).hexdigest()
        self._digest = blake2b(name + b"\0", digest_size=8)

    def of(self, numbers: Sequence[int], texts: Sequence[str]) -> list[str]:
        """Return the ids of records with these first lines and texts."""
        first, copy, ids = self._first, self._digest.copy, []
        for number, text in zip(numbers, texts, strict=True):
            digest = copy()
            digest.update(b"%d\0%b" % (number, text.encode()))
            ids.append(f"{first}{number:08x}{digest.hexdigest()}")
        return ids


class Maker:
    """Makes records of one input into events."""

    def __init__(
        self, source: str, tags: list[str], setting: Setting, options: Options, report: InputReport
    ) -> None:
        """Every event gets `tags`, and `source` if it has none itself."""
        self.source, self.tags = source, tags
        self.setting, self.options, self.report = setting, options, report
        self.ids = LineIds(source)
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

    def events(
        self,
        numbers: list[int],
        texts: Sequence[str],
        times: Sequence[float],
        tags: list[list[str]],
        contents: Sequence[str] | None = None,
    ) -> Batch:
        """Return events of records; the content is the text, if it is not given."""
        contents = texts if contents is None else contents
        if pattern := self.options.flag_from:
            tags = [
                list(dict.fromkeys([*some, *caught(pattern, content)]))
                for some, content in zip(tags, contents, strict=True)
            ]
        ids = self.ids.of(numbers, texts)
        rows = zip(ids, repeat(self.source), times, tags, contents)
        return Batch(list(map(_events, rows)), numbers)
