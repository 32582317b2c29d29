"""A store of each kind, and the application that shows it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from lmdbstore import Event, LMDBEventStore, MemoryEventStore
from tests.tools.asking import Asking
from tests.tools.children import LONG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lmdbstore import EventStore
    from lmdbstore.web.limits import Limits

EVENTS = [
    Event(
        f"e{n}",
        f"s{n % 3}",
        1000.0 + n // 2,  # two at a time
        ["all", *["even"] * (n % 2 == 0), *["fifth"] * (n % 5 == 0)],
        f'{{"status": {n}}}' if n % 10 == 0 else f"line {n} \U0001f600 red {n % 7}",
    )
    for n in range(100)
]


@pytest.fixture(autouse=True)
def threads_end(nothing_leaks: None) -> Iterator[None]:
    """Wait for the threads, before what is left counts as a leak."""
    assert nothing_leaks is None
    yield
    for thread in threading.enumerate():
        if thread.name.startswith(("lmdbstore.aio", "AnyIO")):
            thread.join(LONG)


@pytest.fixture(params=["memory", "lmdb"])
def store(request: pytest.FixtureRequest) -> Iterator[EventStore]:
    """Yield an empty store, of each kind."""
    if request.param == "memory":
        with MemoryEventStore() as memory:
            yield memory
    else:
        with LMDBEventStore(request.getfixturevalue("path")) as opened:
            yield opened


@pytest.fixture
def asking_with(store: EventStore) -> Iterator[Callable[[Limits], Asking]]:
    """Yield a function that makes the application with some limits."""
    made: list[Asking] = []

    def make(limits: Limits) -> Asking:
        made.append(Asking(store, limits))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def asking(store: EventStore) -> Iterator[Asking]:
    """Yield the application of a store with `EVENTS`."""
    store.save_many(EVENTS)
    made = Asking(store)
    yield made
    made.close()
