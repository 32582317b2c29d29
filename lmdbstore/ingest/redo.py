"""Reading a file again, to replace the events that it gave before.

Rules: a record that begins in the same line takes the place of the former one, batch by batch. What
the file gave before and does not give again is deleted at the end. Until then its checkpoint stays
as it was, with a note: so if the import is stopped, each line is stored, in its old form or in the
new one, and the import can be run again.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from lmdbstore.errors import EventNotFound

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lmdbstore.contract.api import EventStore
    from lmdbstore.contract.event import Event
    from lmdbstore.resume.checkpoint import Checkpoint

    from .saving import Saver

__all__ = ["Redo"]

_NUMBER = r"[0-9a-f]{8,}(?:-[0-9]+)?"  # of a line, as in `LineIds`
THREADS = 64  # that delete at once: they share a flush


class Redo:
    """Replaces the events of one file."""

    def __init__(self, store: EventStore, saver: Saver, checkpoint: Checkpoint) -> None:
        """Begin; raises EventStoreException."""
        self._store, self._saver = store, saver
        self._key = checkpoint.key
        self._given: set[str] = set()  # ids
        saver.flush()
        self.noted = replace(checkpoint, redo=True)
        store.save_many([], checkpoint=(self.noted.name, self.noted.text()))
        saver.on_duplicate = "replace"

    def add(self, events: Iterable[Event]) -> None:
        """Note events that the file gives."""
        self._given.update(event.id for event in events)

    def end(self, *, complete: bool) -> None:
        """Save the last events, and delete what the file does not give again.

        If it could not be read to its end, nothing is deleted.

        Raises:
            EventStoreException: the store failed.
        """
        self._saver.flush()
        self._saver.on_duplicate = "ignore"
        if complete:
            with ThreadPoolExecutor(THREADS) as pool:
                for _ in pool.map(self._delete, list(self._old())):
                    pass

    def _old(self) -> Iterator[str]:
        """Give the ids of events of the file that it did not give again."""
        of_line = re.compile(self._key + _NUMBER)
        for event in self._store.search():
            if of_line.fullmatch(event.id) and event.id not in self._given:
                yield event.id

    def _delete(self, event_id: str) -> None:
        with suppress(EventNotFound):  # another process was faster
            self._store.delete(event_id)
