"""Helpers of the contract's tests: events, their ids, and threads with a time limit."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lmdbstore.contract.api import EventStore, EventView
    from lmdbstore.contract.event import Event

__all__ = ["HANG", "LONE", "assert_empty", "ids", "in_threads", "like", "save_all"]

LONE = "a\ud800z"  # a lone surrogate: a str that UTF-8 cannot carry
HANG = 120  # seconds; only a hang takes this long


def like(**fields: Any) -> Any:
    """Return an object with the attributes of an event; `fields` replace the usual values."""
    usual = {"id": "a", "source": "s", "timestamp": 1.0, "tags": ["t"], "content": "text"}
    return SimpleNamespace(**{**usual, **fields})


def ids(events: Iterable[Event]) -> list[str]:
    """Return the ids of events, in the order of the events."""
    return [event.id for event in events]


def save_all(store: EventStore, events: Iterable[Event]) -> list[Event]:
    """Save events one by one and return them."""
    saved = list(events)
    for event in saved:
        store.save(event)
    return saved


def assert_empty(store: EventView) -> None:
    """Check that every reading call finds the store empty."""
    assert len(store) == 0
    assert store.count() == 0
    assert list(store.search()) == []
    assert store.flags() == store.sources() == {}
    assert store.histogram("day") == []


def in_threads(*calls: Callable[[], object]) -> None:
    """Run each call in its own thread, all at once; raise the first exception of a call."""
    errors: list[BaseException] = []
    start = threading.Barrier(len(calls))

    def run(call: Callable[[], object]) -> None:
        try:
            start.wait(HANG)
            call()
        except BaseException as error:  # noqa: BLE001  raised again below
            errors.append(error)

    threads = [threading.Thread(target=run, args=(call,), daemon=True) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG)
    if errors:
        raise errors[0]
    assert not any(thread.is_alive() for thread in threads), "a thread hangs"
