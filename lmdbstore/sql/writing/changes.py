"""What a batch of changes does to a store, given which of its ids are there.

Rules: pure. A batch has the changes of several threads, in their order: each sees what those before
it did. A change that is refused does nothing and fails for its caller alone. The outcome of all is
what is to be inserted, in the order of saving, and which of the events that are there are to go.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from lmdbstore.contract.types import SaveResult
from lmdbstore.errors import DuplicateEvent, EventNotFound, shown
from lmdbstore.sql.texts import key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lmdbstore.contract.event import Event
    from lmdbstore.contract.types import OnDuplicate
    from lmdbstore.errors import EventStoreException

__all__ = ["SAVES", "Batch", "Change", "Remove", "RemoveNumbered", "RemoveOne"]


class Batch:
    """What the changes of a batch have done so far; events are known by the keys of their ids."""

    def __init__(self, present: Mapping[str, int]) -> None:
        """Begin with the keys in the store, of those that the changes are about, and numbers."""
        self._present = present
        self.new: dict[str, Event] = {}  # in the order of saving
        self.gone: set[str] = set()  # of those that are in the store
        self.checkpoints: dict[str, str] = {}

    @property
    def changes_something(self) -> bool:
        """Whether anything is to be written."""
        return bool(self.new or self.gone or self.checkpoints)

    def has(self, key_: str) -> bool:
        """Whether there is an event with this key."""
        return key_ in self.new or (key_ in self._present and key_ not in self.gone)

    def is_stored(self, key_: str, number: int) -> bool:
        """Whether the event with this key is the one with this number, in the store."""
        return key_ not in self.gone and self._present.get(key_) == number

    def add(self, key_: str, event: Event) -> None:
        """Add an event, whose key is free."""
        self.new[key_] = event

    def remove(self, key_: str) -> None:
        """Remove an event, which is there."""
        if self.new.pop(key_, None) is None:
            self.gone.add(key_)


class Change(ABC):
    """The change of one caller, checked in its own thread."""

    removes: ClassVar[bool] = False  # whether it may remove events that are in the store
    keys: Sequence[str]  # of all events that it is about

    @abstractmethod
    def apply(self, batch: Batch) -> EventStoreException | None:
        """Carry it out; return None, or the error if it is refused and nothing was changed."""


class Save(Change):
    """Save events; duplicates are refused."""

    def __init__(self, events: Sequence[Event], noted: dict[str, str]) -> None:
        """Save `events`, which are checked, and checkpoints with them."""
        self.events = events
        self.keys = [key(event.id) for event in events]
        self.result = SaveResult()
        self._noted = noted

    def apply(self, batch: Batch) -> EventStoreException | None:
        """See `Change.apply`."""
        seen = set[str]()
        for key_, event in zip(self.keys, self.events, strict=True):
            if key_ in seen or batch.has(key_):
                return DuplicateEvent(f"id: {shown(event.id)} is in the store already")
            seen.add(key_)
        self._apply(batch)
        return None

    def _apply(self, batch: Batch) -> None:
        saved = ignored = replaced = 0
        for key_, event in zip(self.keys, self.events, strict=True):
            if not batch.has(key_):
                saved += 1
            elif not self.removes:
                ignored += 1
                continue
            else:
                replaced += 1
                batch.remove(key_)
            batch.add(key_, event)
        batch.checkpoints |= self._noted
        self.result = SaveResult(saved, ignored, replaced)


class SaveNew(Save):
    """Save events; those whose ids are there are left out."""

    def apply(self, batch: Batch) -> EventStoreException | None:
        """See `Change.apply`."""
        self._apply(batch)
        return None


class Replace(SaveNew):
    """Save events; those whose ids are there go."""

    removes = True


SAVES: dict[OnDuplicate, type[Save]] = {"raise": Save, "ignore": SaveNew, "replace": Replace}


class Remove(Change):
    """Delete the events with some ids."""

    removes = True

    def __init__(self, ids: Sequence[str]) -> None:
        """Delete those that are there."""
        self.ids = ids
        self.keys = list(dict.fromkeys(map(key, ids)))
        self.removed = 0

    def apply(self, batch: Batch) -> EventStoreException | None:
        """See `Change.apply`."""
        there = [key_ for key_ in self.keys if batch.has(key_)]
        for key_ in there:
            batch.remove(key_)
        self.removed = len(there)
        return None


class RemoveOne(Remove):
    """Delete the event with an id."""

    def apply(self, batch: Batch) -> EventStoreException | None:
        """See `Change.apply`."""
        super().apply(batch)
        if not self.removed:
            return EventNotFound(f"there is no event with the id {shown(self.ids[0])}")
        return None


class RemoveNumbered(Change):
    """Delete events by their keys and numbers: not another one that has got the id since."""

    removes = True

    def __init__(self, numbers: Mapping[str, int]) -> None:
        """Delete those that are there."""
        self.keys = list(numbers)
        self._numbers = numbers
        self.removed = 0

    def apply(self, batch: Batch) -> EventStoreException | None:
        """See `Change.apply`."""
        there = [key_ for key_, number in self._numbers.items() if batch.is_stored(key_, number)]
        for key_ in there:
            batch.remove(key_)
        self.removed = len(there)
        return None
