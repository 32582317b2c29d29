"""Saves that run at the same time join in one transaction and one flush.

Rules: saves of the same round of an event loop, and those that come while others are written, wait
together. One thread takes all that wait, in their order, and saves them with `save_many`. If one of
them is refused, nothing was written: then each half is tried for itself, until each refused event
is alone, and its caller gets the error. A save that no thread has taken can be withdrawn. A save
with a time limit of its own is not among them: it would wait for others without the limit.
"""

from __future__ import annotations

import copy
import os
import threading
from typing import TYPE_CHECKING, NamedTuple

from lmdbstore.errors import DuplicateEvent, InvalidEvent, StoreDamaged, StoreFull
from lmdbstore.threads.run_locked import run_locked

from .cancelling import soon
from .outcome import Outcome

if TYPE_CHECKING:
    from lmdbstore.contract.api import EventStore
    from lmdbstore.contract.event import Event

    from .workers import Workers

__all__ = ["Saves"]

BATCH = 1024  # events; bounds the time that a save waits for those before it

# For these, one event is to blame, or there are too many; nothing was written.
OF_ONE = DuplicateEvent, InvalidEvent, StoreDamaged, StoreFull


class _Save(NamedTuple):
    event: Event
    future: Outcome[None]


class Saves:
    """The saves of one store that wait for their thread."""

    def __init__(self, store: EventStore, workers: Workers) -> None:
        """Save in `store`."""
        self._store = store
        self._workers = workers
        self._renew()

    def _renew(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.RLock()  # around what follows; held for a moment only
        self._waiting: list[_Save] = []
        self._thread_comes = False

    def add(self, event: Event) -> Outcome[None]:
        """Have an event saved."""
        if self._pid != os.getpid():  # the thread that was to come is the parent's
            self._renew()
        future = Outcome[None]()
        if run_locked(self._lock, self._added, _Save(event, future)):
            soon(self._begin)
        return future

    def _added(self, save: _Save) -> bool:
        """Let a save wait; return whether a thread has to come for it.

        Until one comes, each save asks for it: the loop of another one may be closed before.
        """
        self._waiting.append(save)
        return not self._thread_comes

    def _begin(self) -> None:
        if run_locked(self._lock, self._needed):
            self._workers.take_turns(self._save_all)

    def _needed(self) -> bool:
        """Note that a thread comes; return whether none did yet."""
        needed, self._thread_comes = not self._thread_comes, True
        return needed

    def _save_all(self) -> None:
        while batch := run_locked(self._lock, self._taken):
            begun = [save for save in batch if save.future.set_running_or_notify_cancel()]
            if begun:
                self._save(begun)

    def _taken(self) -> list[_Save]:
        batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
        self._thread_comes = bool(batch)
        return batch

    def _save(self, saves: list[_Save]) -> None:
        try:
            self._save_together(saves)
        except OF_ONE as error:
            if len(saves) == 1:
                saves[0].future.set_exception(error)
            else:
                half = len(saves) // 2
                self._save(saves[:half])
                self._save(saves[half:])
        except BaseException as error:  # noqa: BLE001  whatever a store raises is for the callers
            for save in saves:
                save.future.set_exception(_own(error))
        else:
            for save in saves:
                save.future.set_result(None)

    def _save_together(self, saves: list[_Save]) -> None:
        if len(saves) == 1:
            self._store.save(saves[0].event)
        else:
            self._store.save_many([save.event for save in saves])


def _own(error: BaseException) -> BaseException:
    """Return a copy: each caller raises its own, with its own traceback."""
    own = copy.copy(error)
    own.__cause__ = error.__cause__
    return own
