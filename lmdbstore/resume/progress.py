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
        self._last = (0, "")  # the number and content of the last event
        self._lines = begun.lines
        self._ended = False

    @property
    def name(self) -> str:
        """The name of the checkpoint."""
        return self._checkpoint.name

    def begin(self, marks: Marks) -> None:
        """Begin at the mark of `marks`."""
        self._marks = marks

    def pass_block(self, block: Block, open_record: int | None) -> None:
        """Go behind a block, whose events were added; not beyond the record that is open."""
        self._lines = block.following.number - 1
        self._marks.pass_block(block, open_record)

    def add(self, numbers: Sequence[int], events: Sequence[Event], new: int) -> None:
        """Note events that are stored with the next checkpoint, or were before; so many are new."""
        if events:
            self._last = (numbers[-1], events[-1].content)
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
            redo=False,
        )
        status = self._opened.status
        if status is not None and complete:
            self._checkpoint = replace(
                self._checkpoint,
                path=self._opened.path,
                device=status.st_dev,
                inode=status.st_ino,
                size=status.st_size,
                mtime=status.st_mtime_ns,
            )
        self._ended = True

    def checkpoint(self) -> Checkpoint:
        """Return the checkpoint for all events that were added."""
        if self._ended:
            return self._checkpoint
        place, content, window = self._marks.mark
        number, last = self._last
        stored = number >= place.number  # of a record that may still grow
        return replace(
            self._checkpoint,
            offset=place.offset,
            number=place.number,
            chain=content.chain.hex(),
            base=content.base,
            end=place.offset,
            digest=content.digest().hex(),
            lines=place.number - 1,
            last_number=number if stored else 0,
            last_digest=content_digest(last) if stored else "",
            window=window,
        )
