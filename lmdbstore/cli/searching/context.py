"""The neighbours of the events that a search finds, as `grep -C` prints lines.

Rules: neighbours are of the source of an event, in the order of the timeline. Sources keep their
names when logs are rotated, so they come from all files of a log. No event is given twice, and of
one source all come in order.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from lmdbstore.errors import EventNotFound, StoreDamaged

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lmdbstore.contract.api import EventView
    from lmdbstore.contract.event import Event

    from .options import Context

__all__ = ["Neighbours"]


class Neighbours:
    """Adds neighbours to the events of a search."""

    def __init__(
        self, view: EventView, context: Context, *, descending: bool, skip_damaged: bool
    ) -> None:
        """Look for neighbours in a store; with `skip_damaged`, damaged ones are counted."""
        self._view = view
        self._context = context
        self._descending = descending
        self._skip_damaged = skip_damaged
        self.damaged = 0  # events that were given without their neighbours

    def of(self, found: Iterable[Event]) -> Iterator[Event | None]:
        """Give events with their neighbours; None where one does not follow the one before it."""
        most = sum(self._context) + 1
        given: dict[str, deque[str]] = {}  # the last ids of each source
        last = None  # the id of the event given last
        for event in found:
            known = given.setdefault(event.source, deque(maxlen=most))
            before, group = self._group(event)
            new = [one for one in group if one.id not in known]
            if not new:
                continue
            if len(new) < len(group):
                before = group[len(group) - len(new) - 1]
            if last is not None and (before is None or before.id != last):
                yield None
            yield from new
            known.extend(one.id for one in new)
            last = new[-1].id

    def _group(self, event: Event) -> tuple[Event | None, list[Event]]:
        """Return an event with its neighbours in order, and the event before these."""
        earlier, later = self._context
        first, rest = (later, earlier) if self._descending else (earlier, later)
        numbers = (rest, first + 1) if self._descending else (first + 1, rest)
        try:
            group = self._view.around(event, *numbers)
        except EventNotFound:  # it was deleted in the meantime
            return None, [event]
        except StoreDamaged:
            if not self._skip_damaged:
                raise
            self.damaged += 1
            return None, [event]
        if self._descending:
            group.reverse()
        place = [one.id for one in group].index(event.id)
        return (group[0], group[1:]) if place > first else (None, group)
