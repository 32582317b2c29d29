"""`copy_events`: the events of one store in another one, compared before it returns.

Rules: what is copied is one state of the source. The events of a batch and the place that the copy
has reached are one `save_many`, so that a copy that was stopped anywhere goes on. The place only
saves work: what it lets a copy pass over by mistake, the comparison finds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, cast

import xxhash

from lmdbstore.contract.query import checked_text, refuse
from lmdbstore.contract.tables.chosen import Filters
from lmdbstore.contract.tables.columns import pieces
from lmdbstore.errors import DuplicateEvent, EventWriteException, shown
from lmdbstore.rows import json_row

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Unpack

    from lmdbstore.contract.api import EventStore, EventView
    from lmdbstore.contract.event import Event

__all__ = ["Copied", "copy_events"]

NAME = "copy_events"
SHOWN_IDS = 3  # of events that differ, in a message
_DIGESTS = 1 << 128
Progress = Callable[[int, int], object]


class Copied(NamedTuple):
    """What `copy_events` has copied, and found equal in both stores."""

    events: int
    """Events of the source that were to be copied: all of them are in the target now."""
    saved: int
    """Of these, the events that this call saved."""
    present: int
    """Of these, the events that were in the target before, of an earlier copy perhaps."""
    others: int
    """Events of the target that meet the conditions, and that the state of the source has not."""
    digest: str
    """The sum of the digests (XXH3, 128 bits) of all fields of the events, in any order."""


class _Sum(NamedTuple):
    """How many events there are, and the sum of their digests: the same in any order."""

    events: int
    digest: int


def copy_events(
    source: EventStore,
    target: EventStore,
    /,
    *,
    name: str = NAME,
    progress: Progress | None = None,
    **conditions: Unpack[Filters],
) -> Copied:
    """Copy the events of one store to another one, compare both, and return what was copied.

    Copied are the events of `source` at the time of the call that meet the conditions, which are
    those of `search`, by keyword: in the order of the timeline, with their ids. Others may write to
    both stores in the meantime. What is saved to the source, or deleted there, after the call does
    not count. The source holds a snapshot until the end.

    The target is written in batches of at most 16,384 events. With each it saves, in the same
    transaction, the place that the copy has reached, as the checkpoint `name`. A copy that was
    stopped in any way goes on there when it is called again, and saves no event twice. Events that
    the source got in the meantime are copied too, wherever they are in the timeline; those that it
    lost stay in the target. Call it again to bring a copy up to date.

    At the end all fields of the events are compared, by their number and a digest; where these
    differ, because the target has others too, one by one. So it reads both stores as a whole, even
    if nothing is new. When it returns, the target had every event of that state, as it was there.

    Args:
        source: The store to copy from.
        target: Where to; any store of the contract. Events with ids that it has are not saved.
        name: The checkpoint's name. Give each source of a target its own: with another one's place
            a copy is right as well, but takes longer.
        progress: Called after each batch with the events done, those before the place too, and the
            number of all.
        **conditions: As in `search`.

    Raises:
        DuplicateEvent: the target has other events with the ids of some; all others are copied.
            The message has some of the ids.
        EventWriteException: events that were copied are not in the target any more.
        InvalidQuery: an argument is invalid; nothing was written.
        EventStoreException: one of the stores failed; what was copied stays.
    """
    for given in conditions.keys() - Filters.__annotations__.keys():
        raise TypeError(f"copy_events() got an unexpected keyword argument {given!r}")
    if not checked_text("name", name):
        refuse("name", name, "give the checkpoint a name")
    if progress is not None and not callable(progress):
        refuse("progress", progress, "pass a function of two numbers")
    with source.snapshot() as state:
        copy = _Copy(state, target, name, progress, conditions)
        return copy.run()


class _Copy:
    """One call of `copy_events`."""

    def __init__(
        self,
        state: EventView,
        target: EventStore,
        name: str,
        progress: Progress | None,
        conditions: Filters,
    ) -> None:
        self._state, self._target, self._name = state, target, name
        self._conditions, self._progress = conditions, progress
        self._saved = 0

    def run(self) -> Copied:
        self._total = self._state.count(**self._conditions)
        place = self._target.checkpoint(self._name)
        self._copy(place)
        compared = self._compared()
        if compared is None and place is not None:  # events came before the place since
            self._copy(None)
            compared = self._compared()
        if compared is None:
            raise EventWriteException(
                "events that were copied are not in the target any more; let nothing delete them, "
                "and copy again"
            )
        whole, others = compared
        present = whole.events - self._saved
        return Copied(whole.events, self._saved, present, others, f"{whole.digest:032x}")

    def _copy(self, place: str | None) -> None:
        """Save what follows a place, and note how far it is."""
        found = self._state.search(after=place, **self._conditions)
        done = 0
        if place is not None and self._progress is not None:
            done = self._total - self._state.count(after=place, **self._conditions)
        for piece in pieces(found):
            noted = self._name, cast("str", found.token)
            result = self._target.save_many(piece, on_duplicate="ignore", checkpoint=noted)
            self._saved += result.saved
            done += len(piece)
            if self._progress is not None:
                self._progress(done, self._total)

    def _compared(self) -> tuple[_Sum, int] | None:
        """Compare; return what both have, and how many others the target has; None: some lack.

        Raises:
            DuplicateEvent: the target has others with the same ids.
        """
        whole = _sum(self._state.search(**self._conditions))
        with self._target.snapshot() as copied:
            found = _sum(copied.search(**self._conditions))
            if found == whole:
                return whole, 0
            different: list[str] = []
            number = 0
            for event in self._state.search(**self._conditions):
                other = copied.get(event.id, None)
                if other is None:
                    return None
                if other != event:
                    number += 1
                    different += [event.id][: SHOWN_IDS - len(different)]
        if number:
            ids = ", ".join(map(shown, different))
            raise DuplicateEvent(
                f"the target has other events with the ids of {number:,} of the source, such as "
                f"{ids}; delete those on one side, and copy again"
            )
        return whole, found.events - whole.events


def _sum(events: Iterable[Event]) -> _Sum:
    number = total = 0
    for event in events:
        number += 1
        total += xxhash.xxh3_128_intdigest(json_row(event))
    return _Sum(number, total % _DIGESTS)
