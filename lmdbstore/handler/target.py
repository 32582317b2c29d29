"""The store that a handler writes to: one that was given, or one that it opens, and opens again.

Rules: a store that was given belongs to the caller, and is never closed here. A store that was
opened here, by a path or a factory, is opened again when it was closed, or when its path leads to
another store: then it is the one at the path that the records are meant for, as in a log file that
was rotated. Events are saved so that it does no harm to save them again: the same id is saved once.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from lmdbstore.contract.api import EventStore
from lmdbstore.errors import EventStoreException, InvalidOption, StoreClosed, StoreMoved, shown
from lmdbstore.store import LMDBEventStore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lmdbstore.contract.event import Event

__all__ = ["Target"]


class Target:
    """A store to which one thread writes."""

    def __init__(
        self, store: EventStore | str | os.PathLike[str] | Callable[[], EventStore]
    ) -> None:
        """Use `store`, or open the one that it says."""
        self._make = None if isinstance(store, EventStore) else _factory(store)
        self._store: EventStore | None = store if isinstance(store, EventStore) else self._opened()

    @property
    def reopens(self) -> bool:
        """Whether the store is opened here, and so again."""
        return self._make is not None

    def save(self, events: Sequence[Event], timeout: float | None) -> None:
        """Save the events that are not in the store yet, all of them or none.

        Raises what `save_many` raises, but not StoreMoved if they were saved in the store that
        moved, and the next call opens the other one.
        """
        store = self._store
        if store is None:
            store = self._store = self._opened()
        try:
            store.save_many(events, on_duplicate="ignore", timeout=timeout)
        except (StoreMoved, StoreClosed) as error:
            if self._make is None:
                raise
            self._release(0)
            if not (isinstance(error, StoreMoved) and error.committed):
                raise

    def close(self, timeout: float | None) -> None:
        """Close the store if it was opened here; raises what its `close` raises."""
        if self._make is not None:
            store, self._store = self._store, None
            if store is not None:
                store.close(timeout=timeout)

    def _release(self, timeout: float) -> None:
        with suppress(EventStoreException):  # it is of no use any more
            self.close(timeout)

    def _opened(self) -> EventStore:
        assert self._make is not None  # noqa: S101  else there is always a store
        store = self._make()
        if not isinstance(store, EventStore):
            raise InvalidOption(
                f"store: the function returned {shown(store)}; return an EventStore"
            )
        return store


def _factory(store: object) -> Callable[[], EventStore]:
    if isinstance(store, str | os.PathLike):
        path = os.fspath(store)
        return lambda: LMDBEventStore(path)
    if callable(store):
        return store
    raise InvalidOption(
        f"store: {shown(store)} is no store; pass an EventStore, the path of a folder, or a "
        "function that returns an EventStore"
    )
