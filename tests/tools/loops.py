"""Event loops: each kind in which an `AsyncEventStore` must work."""

from __future__ import annotations

import asyncio
import importlib
import threading
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from lmdbstore import MemoryEventStore

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from lmdbstore import Event, SaveResult

__all__ = ["KINDS", "HeldStore", "run_in"]

T = TypeVar("T")
KINDS = ["asyncio", "uvloop", "anyio on asyncio", "anyio on trio", "trio"]


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        pytest.skip(f"{name} is not installed")


def run_in(kind: str, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine in a new event loop of a kind; skip the test if it is not installed."""
    if kind == "asyncio":
        return asyncio.run(main())
    if kind == "uvloop":
        with asyncio.Runner(loop_factory=_module("uvloop").new_event_loop) as runner:
            return runner.run(main())
    found: T
    if kind == "trio":
        found = _module("trio").run(main)
    else:
        backend = kind.rpartition(" ")[2]
        _module(backend)
        found = _module("anyio").run(main, backend=backend)
    return found


class HeldStore(MemoryEventStore):
    """A store whose writes wait until `free` is set; `entered` says that one has begun."""

    def __init__(self) -> None:
        super().__init__()
        self.free, self.entered = threading.Event(), threading.Event()
        self.batches: list[list[str]] = []
        self.error: Exception | None = None

    def save(self, event: Event, **named: Any) -> None:
        self.save_many([event], **named)

    def save_many(self, events: Iterable[Event], **named: Any) -> SaveResult:
        given = list(events)
        self.batches.append([event.id for event in given])
        self.entered.set()
        self.free.wait()
        if self.error is not None:
            raise self.error
        return super().save_many(given, **named)
