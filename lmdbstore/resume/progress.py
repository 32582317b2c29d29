"""How far the import of one input is, as the checkpoint that says so."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from .tracked import content_digest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmdbstore.contract.event import Event
    from lmdbstore.inputs.lines import Block
    from lmdbstore.inputs.opened import Input

    from .checkpoint import Checkpoint
    from .tracked import Marks

__all__ = ["Progress"]


class Progress:
    """The progress of one input, from the checkpoint with which its import began."""

    _marks: Marks

    def __init__(self, opened: Input, begun: Checkpoint) -> None:
        """Continue from the checkpoint `begun`."""
        self._opened = opened
        self._checkpoint = begun
        self._last: tuple[int, Event] | None = None  # with the number of its line
        self._lines = begun.lines
        self._directives = begun.directives
        self._ended = False

    @property
    def name(self) -> str:
        """The name of the checkpoint."""
        return self._checkpoint.name

    def begin(self, marks: Marks) -> None:
        """Begin at the mark of `marks`."""
        self._marks = marks

    def pass_block(
        self,
        block: Block,
        open_record: int | None,
        cut: Sequence[str] | None = None,
        directives: tuple[str, ...] = (),
    ) -> None:
        """Go behind a block, whose events were added; not beyond the record that is open.

        `cut` has the tags of that record, if its front was cut off. `directives` are those of the
        reader.
        """
        self._directives = directives
        self._lines = block.following.number - 1
        self._marks.pass_block(block, open_record, cut)

    def add(self, numbers: Sequence[int], events: Sequence[Event], new: int) -> None:
        """Note events that are stored with the next checkpoint, or were before; so many are new."""
        if events:
            self._last = numbers[-1], events[-1]
            count = self._checkpoint.events + new
            self._checkpoint = replace(
                self._checkpoint, events=count, time=float(events[-1].timestamp)
            )

    def end(self, *, complete: bool) -> None:
        """Note that all events were added, also that of the last record.

        The input was read to its end, unless it is not `complete`.
        """
        text = self._marks.end()
        self._checkpoint = replace(
            self.checkpoint(),
            end=text.offset,
            digest=text.digest().hex(),
            lines=self._lines,
        )
        status = self._opened.status
        if status is not None and complete:
            self._checkpoint = self._checkpoint.read_to_end(self._opened.path, status)
        self._ended = True

    def checkpoint(self) -> Checkpoint:
        """Return the checkpoint for all events that were added."""
        if self._ended:
            return self._checkpoint
        place, content, window, cut = self._marks.mark
        number, last = self._last or (0, None)
        if number < place.number:  # it cannot grow any more
            number, last = 0, None
        return replace(
            self._checkpoint,
            offset=place.offset,
            number=place.number,
            chain=content.chain.hex(),
            base=content.base,
            end=place.offset,
            digest=content.digest().hex(),
            lines=place.number - 1,
            last_number=number,
            last_digest="" if last is None else content_digest(last.content),
            last_id="" if last is None else last.id,
            cut=cut,
            directives=self._directives,
            window=window,
        )
