"""A record and what is noted of it: the one place that decides which of them is damaged.

Rules: verification and repair decide by the same rules. A record that does not agree with its
checksum may have changed. A live record agrees with its own checksum even in a page of a former
state, when its event may have been deleted since: so an index must have it too. Which events of a
run are deleted is noted in `dead`, counted in `summaries`, and seen in `ids`: two of the three
decide, and `ids` if all three differ, or if the numbers agree and the events do not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lmdbstore.disk import format as fmt
from lmdbstore.records.pack import bitmap
from lmdbstore.records.run import positions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lmdbstore.contract.event import Event

__all__ = ["Deleted", "Evidence", "counted_in", "deleted_in", "own_entry"]


class Evidence(NamedTuple):
    """A live record that can be read, and its index entries."""

    key: bytes
    event: Event
    entry: bytes | None  # in `ids`
    posted: bool  # whether the posting set of its source names its key

    @property
    def time(self) -> bytes:
        """The event's timestamp, as it is in keys."""
        return fmt.encode_time(self.event.timestamp)

    @property
    def local_id(self) -> bytes:
        """The local id in the key."""
        return fmt.local_id_of(self.key)

    @property
    def by_event(self) -> bytes:
        """The key with the timestamp of the event."""
        return fmt.join_key(self.time, self.local_id)

    @property
    def is_known(self) -> bool:
        """Whether an index has the record."""
        return self.entry is not None or self.posted

    @property
    def is_impossible(self) -> bool:
        """Whether no event can be at its key."""
        return self.key != self.by_event or not fmt.is_local_id(self.local_id)

    @property
    def belongs_elsewhere(self) -> bool:
        """Whether `ids` has the true key, if there is no event with its id."""
        entry = self.entry
        if entry is None or entry == self.key or fmt.time_of(entry) != self.time:
            return False
        return self.is_impossible or not self.posted


class Deleted(NamedTuple):
    """The deleted events of a run."""

    slots: frozenset[int]
    noted: bool  # whether `dead` has these


def own_entry(
    entries: Sequence[bytes], key: bytes, is_of_another: Callable[[bytes], bool]
) -> bytes | None:
    """Return where the id of the event at `key` leads; None: nowhere.

    Its id key leads to `entries`; `is_of_another` says of one of them whether it leads to an event
    with another id and the same id key.
    """
    if key in entries:
        return key
    return next((entry for entry in entries if not is_of_another(entry)), None)


def counted_in(summary: fmt.Summary | None, highest: int) -> int | None:
    """Return how many events are not deleted according to a summary; None: it is of another run.

    `highest` is the highest local id of the run.
    """
    return None if summary is None or summary.highest != highest else summary.events


def deleted_in(
    bits: bytes | None, events: int, counted: int | None, leads: Sequence[bool] | None
) -> Deleted:
    """Decide which events of a run are deleted.

    `bits` is its entry in `dead`, and `counted` how many are not deleted (see `counted_in`).
    `leads` says of each event whether its id leads to it; None: `ids` is lost.
    """
    noted = frozenset() if bits is None else frozenset(positions(bits))
    valid = bits is None or (bool(noted) and max(noted) < events and bits == bitmap(noted, events))
    if leads is None:
        return Deleted(frozenset(slot for slot in noted if slot < events), noted=valid)
    by_ids = frozenset(slot for slot, here in enumerate(leads) if not here)
    if valid and counted == events - len(noted) != events - len(by_ids):
        return Deleted(noted, noted=True)  # an id is lost
    return Deleted(by_ids, noted=valid and by_ids == noted)
