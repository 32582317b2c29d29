"""Loggers with a handler of ours, and stores that do as a test says."""

from __future__ import annotations

import logging
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lmdbstore import LoggingHandler, MemoryEventStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from lmdbstore import Event, EventStore, SaveResult

__all__ = ["Failing", "Held", "Kept", "contents", "logging_to"]


class Kept(LoggingHandler):
    """A handler that keeps the exceptions of which it was told, instead of printing them."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self.errors: list[str] = []
        self.told = threading.Event()
        super().__init__(*arguments, **named)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        self.errors.append(f"{sys.exc_info()[1]!r}: {record.msg}")
        self.told.set()


@contextmanager
def logging_to(store: Any, *arguments: Any, **named: Any) -> Iterator[tuple[logging.Logger, Kept]]:
    """Yield a logger that nothing else has, and its handler."""
    handler = Kept(store, *arguments, **named)
    logger = logging.Logger("app.door")  # noqa: LOG001  known to nothing else
    logger.addHandler(handler)
    try:
        yield logger, handler
    finally:
        handler.close()


class Held(MemoryEventStore):
    """A store whose writes wait until `free` is set; `entered` says that one waits."""

    def __init__(self) -> None:
        super().__init__()
        self.free, self.entered = threading.Event(), threading.Event()
        self.batches: list[int] = []

    def save_many(self, events: Iterable[Event], **named: Any) -> SaveResult:
        self.entered.set()
        self.free.wait()
        given = list(events)
        self.batches.append(len(given))
        return super().save_many(given, **named)


class Failing(MemoryEventStore):
    """A store whose writes fail while `error` says with what."""

    def __init__(self, error: Callable[[], Exception] | None) -> None:
        super().__init__()
        self.error = error
        self.tries = 0

    def save_many(self, events: Iterable[Event], **named: Any) -> SaveResult:
        self.tries += 1
        if self.error is not None:
            raise self.error()
        return super().save_many(events, **named)


def contents(store: EventStore, **conditions: Any) -> list[str]:
    """Return the contents of the events that a search finds."""
    return [event.content for event in store.search(**conditions)]
