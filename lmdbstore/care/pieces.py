"""The size of the pieces of a purge: smaller where the map, the disk or the file is full.

A deletion copies the pages that it changes, and the pages that it frees are used again only by a
later transaction. So in a full store, or on a full disk, a large piece does not fit, and a small
one does. What it frees makes room for larger ones.
"""

from __future__ import annotations

from lmdbstore.disk.lmdb_errors import lacks_space
from lmdbstore.errors import EventWriteException, StoreFull

__all__ = ["Pieces"]

GROW_AFTER = 4  # pieces that fitted, before the next is twice as large


class Pieces:
    """The size of the next piece."""

    def __init__(self, path: str, largest: int) -> None:
        """Begin with the largest, for the store in the folder `path`."""
        self.size = largest
        self._largest = largest
        self._path = path
        self._fitted = 0  # since one was too large

    def shrink(self, error: EventWriteException, size: int, events: int) -> None:
        """Halve the size after a piece of `size` events failed, and `events` were deleted before.

        Raises:
            EventWriteException: that cannot help.
        """
        if not lacks_space(error, self._path):
            raise error
        self.size, self._fitted = size // 2, 0
        if not self.size:
            raise _too_full(error, events) from error

    def grow(self) -> None:
        """Note that a piece fitted; double the size from time to time."""
        self._fitted += 1
        if self.size < self._largest and self._fitted >= GROW_AFTER:
            self.size, self._fitted = min(2 * self.size, self._largest), 0


def _too_full(error: EventWriteException, events: int) -> EventWriteException:
    done = f"; {events:,} events were deleted before, and stay deleted" if events else ""
    if not isinstance(error, StoreFull):
        return EventWriteException(f"not even one event can be deleted{done}: {error}")
    return StoreFull(
        f"the store is so full that not even one event can be deleted{done}: close the snapshots "
        "that keep space from being used again (`stats` names them), or close the store in this "
        f"process and open it with a larger map_size ({error})"
    )
