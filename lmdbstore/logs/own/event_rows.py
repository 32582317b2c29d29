"""CSV of events, as `export` writes it: every row is one event, which comes back unchanged.

Rules: a row goes on over lines while a quotation is open, with the line ends as they are. A row
that is not one of an event is reported, and so is one that is longer than a line may be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmdbstore.errors import InvalidEvent
from lmdbstore.inputs.lines import LONGEST_LINE
from lmdbstore.logs.common import Batch, UncutReader
from lmdbstore.rows import HEADER, event_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lmdbstore.inputs.lines import Block
    from lmdbstore.logs.common import Maker, Options

__all__ = ["EventRows", "is_event_table"]

QUOTED = ",".join(f'"{name}"' for name in HEADER.split(","))  # as some programs write it


def is_event_table(lines: Sequence[str], options: Options) -> bool:
    """Return whether an input that begins with these lines is a table of events.

    It is another table if options say which column has what.
    """
    return bool(lines) and lines[0] in {HEADER, QUOTED} and not options.wishes()


class EventRows(UncutReader):
    """Reads the rows of a table of events."""

    def __init__(self, maker: Maker, refuse: Callable[[int, str], None]) -> None:
        """Give all events the tags of `maker`, too; rows are reported to `refuse`, by number."""
        super().__init__(maker)
        self._refuse = refuse
        self._row: list[str] = []  # the lines of a row that goes on
        self._number = 0  # of its first line
        self._size = 0  # bytes of it
        self._quotes = 0
        self._may_go_on = False

    @property
    def open_record(self) -> int | None:
        """See `Reader.open_record`: a line without an end may go on, and the row with it."""
        return self._number if self._row or self._may_go_on else None

    def read(self, block: Block) -> Batch:
        """Return the events of the rows that end in a block."""
        batch = Batch([], [])
        skipped, latin = set(block.skipped), set(block.latin)
        for number, line in enumerate(_lines(block), block.first):
            if not self._row and (number in skipped or line.strip() == b""):
                self._report.blank += 1
                continue
            if not self._row:
                self._number, self._size, self._quotes = number, 0, 0
            self._row.append(line.decode("latin-1" if number in latin else "utf-8", "replace"))
            self._size += len(line) + 1
            self._quotes += line.count(b'"')
            if self._size > LONGEST_LINE + 1 or number in skipped:
                self._give_up(f"longer than {LONGEST_LINE >> 20} MiB")
            elif self._quotes % 2 == 0:
                self._end_row(batch)
        self._may_go_on = block.is_open
        return batch

    def end(self) -> Batch:
        """Report a row that is not complete."""
        if self._row:
            self._give_up("the row is not complete: a quotation is open at the end")
        return Batch([], [])

    def _give_up(self, reason: str) -> None:
        self._row = []
        self._refuse(self._number, reason)

    def _end_row(self, batch: Batch) -> None:
        text, self._row = "\n".join(self._row).removesuffix("\r"), []
        try:
            event = event_of(text)
        except InvalidEvent as error:
            self._refuse(self._number, str(error))
            return
        if event is not None:
            event.tags[:] = dict.fromkeys([*event.tags, *self._maker.tags])
            batch.events.append(event)
            batch.numbers.append(self._number)
            self._report.own += 1
            self._time = event.timestamp


def _lines(block: Block) -> Iterator[bytes]:
    """Give the lines of a block with the carriage returns at their ends, which may be content."""
    lines = block.data.split(block.end) if block.end else [block.data]
    if len(lines) > len(block.lines):
        lines.pop()
    return iter(lines or [b""] * len(block.lines))
